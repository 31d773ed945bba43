//! A text classifier, loaded: texts in, scores out.

use rayon::prelude::*;

use super::batches::{Limits, batches};
use super::config::{Answers, Config};
use super::files::TextFiles;
use super::questions::{Question, ask, question};
use super::tokens::{Tokens, Truncate, Words};
use crate::error::{ModelError, Result};
use crate::rooms::{Room, Rooms};
use crate::scorer::{Elements, Session};

/// Texts that are turned into tokens, and sorted by length, at a time.
const WINDOW: usize = 4_096;

/// How texts are classified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TextSettings {
    /// How many tokens of a text are read; as many as the model can when not said.
    pub most_tokens: Option<usize>,
    /// What is left out of longer texts.
    pub truncate: Truncate,
    /// How large a batch may become.
    pub limits: Limits,
}

/// How classifying talks to its caller.
pub struct TextHooks<'a> {
    /// Hears how many texts are done.
    pub progress: &'a (dyn Fn(usize) + Sync),
    /// Asked between batches whether to stop.
    pub cancelled: &'a (dyn Fn() -> bool + Sync),
}

impl std::fmt::Debug for TextHooks<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("TextHooks")
    }
}

impl TextHooks<'_> {
    /// Hooks that hear nothing and never stop.
    pub fn silent() -> TextHooks<'static> {
        TextHooks {
            progress: &|_| (),
            cancelled: &|| false,
        }
    }
}

/// What a model answers to texts.
#[derive(Debug, Clone, PartialEq)]
pub struct Classification {
    /// What the labels are called.
    pub labels: Vec<String>,
    /// What the scores are.
    pub answers: Answers,
    /// For every text one score a label: probabilities, or the number itself. NaN where there was no text.
    pub scores: Vec<f64>,
    /// Texts that there were none of: null, or nothing but spaces.
    pub silent: usize,
    /// Texts of which a part was left out.
    pub cut: usize,
}

/// A text classifier that can be asked.
pub struct TextModel {
    words: Words,
    config: Config,
    session: Box<dyn Session>,
    questions: Vec<Question>,
    /// Where among the answers the logits are.
    logits: usize,
    /// The width of every text, when the network was exported for one.
    width: Option<usize>,
    /// Where the network runs.
    pub room: Room,
    /// What is strange about it, though it runs.
    pub warnings: Vec<String>,
    /// Why ONNX Runtime does not run it, though its library was found.
    pub note: Option<String>,
    digest: String,
}

impl std::fmt::Debug for TextModel {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("TextModel")
            .field("config", &self.config)
            .field("room", &self.room)
            .finish_non_exhaustive()
    }
}

impl TextModel {
    /// Loads a classifier; its tokenizer is compared with its network.
    ///
    /// # Errors
    /// When a file is damaged, they do not match, or no room can run the network.
    pub fn load(files: &TextFiles, rooms: &Rooms) -> Result<Self> {
        let config = Config::read(&files.config, files.tokenizer_config.as_deref())?;
        let inputs = files.network.inputs();
        let questions = inputs
            .iter()
            .map(|port| question(&port.name, port.kind))
            .collect::<Result<Vec<_>>>()?;
        let ids = questions
            .iter()
            .position(|question| *question == Question::Ids);
        let ids = ids
            .map(|place| &inputs[place])
            .ok_or_else(|| ModelError::format("its network has no input `input_ids`"))?;
        let rows = files.network.rows_looked_up(&ids.name);
        let words = Words::read(&files.tokenizer, &config, rows)?;
        let outputs = files.network.outputs();
        let logits = outputs
            .iter()
            .position(|port| port.name == "logits")
            .unwrap_or(0);
        if let (Some(width), Some(labels)) = (outputs[logits].width, &config.labels) {
            check_labels(width, labels)?;
        }
        let width = ids.width;
        let digest = files.digest();
        let opened = rooms.open_network(&files.network)?;
        Ok(Self {
            warnings: words.warning.clone().into_iter().collect(),
            note: opened.note,
            words,
            config,
            session: opened.session,
            questions,
            logits,
            width,
            room: opened.room,
            digest,
        })
    }

    /// SHA-256 of its files.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// How many tokens of a text it can read.
    pub fn most_tokens(&self) -> usize {
        let positions = self.config.most_tokens;
        self.width.map_or(positions, |width| width.min(positions))
    }

    /// The numbers of a text's tokens, special ones included.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub fn token_ids(&self, text: &str) -> Result<Vec<u32>> {
        let tokens = self.words.tokens(text, usize::MAX, Truncate::End)?;
        Ok(tokens.ids)
    }

    /// The network's own numbers for texts, before they become probabilities.
    ///
    /// # Errors
    /// When the network fails.
    pub fn logits_of(&self, texts: &[Option<&str>]) -> Result<Vec<Vec<f32>>> {
        let answered = self.answered(texts, &TextSettings::default(), &TextHooks::silent())?;
        Ok(answered
            .rows
            .into_iter()
            .map(Option::unwrap_or_default)
            .collect())
    }

    /// Classifies texts; those that are null or blank have no answer.
    ///
    /// # Errors
    /// When a text is too long and may not be cut, the network fails, or the caller wants to stop.
    pub fn classify(
        &self,
        texts: &[Option<&str>],
        settings: &TextSettings,
        hooks: &TextHooks<'_>,
    ) -> Result<Classification> {
        self.classification(self.answered(texts, settings, hooks)?)
    }

    fn answered(
        &self,
        texts: &[Option<&str>],
        settings: &TextSettings,
        hooks: &TextHooks<'_>,
    ) -> Result<Answered> {
        let most = settings
            .most_tokens
            .unwrap_or(usize::MAX)
            .min(self.most_tokens());
        let mut answered = Answered::default();
        let mut done = 0;
        for (window, texts) in texts.chunks(WINDOW).enumerate() {
            let first = window * WINDOW;
            let rows: Vec<usize> = (0..texts.len())
                .filter(|row| texts[*row].is_some_and(|text| !text.trim().is_empty()))
                .collect();
            let tokens = rows
                .par_iter()
                .map(|&row| {
                    if (hooks.cancelled)() {
                        return Err(ModelError::Cancelled);
                    }
                    let text = texts[row].unwrap_or_default();
                    let tokens = self.words.tokens(text, most, settings.truncate);
                    tokens.map_err(|error| of_row(first + row, error))
                })
                .collect::<Result<Vec<_>>>()?;
            answered.open_window(texts.len());
            done += texts.len() - rows.len();
            answered.silent += texts.len() - rows.len();
            answered.cut += tokens.iter().filter(|tokens| tokens.cut).count();
            let lengths: Vec<usize> = tokens.iter().map(|tokens| tokens.ids.len()).collect();
            for batch in batches(&lengths, settings.limits) {
                if (hooks.cancelled)() {
                    return Err(ModelError::Cancelled);
                }
                let asked: Vec<&Tokens> = batch.iter().map(|&place| &tokens[place]).collect();
                let (width, logits) = self.logits(&asked)?;
                for (&place, logits) in batch.iter().zip(logits.chunks(width)) {
                    answered.set(first + rows[place], logits);
                }
                done += batch.len();
                (hooks.progress)(done);
            }
        }
        Ok(answered)
    }

    /// The network's answer to a batch, longest first: how many numbers a text, and the numbers.
    fn logits(&self, batch: &[&Tokens]) -> Result<(usize, Vec<f32>)> {
        let longest = batch.first().map_or(0, |tokens| tokens.ids.len());
        let width = self.width.unwrap_or(longest);
        let inputs = self
            .questions
            .iter()
            .map(|question| ask(*question, batch, width, self.words.pad))
            .collect();
        let answers = self.session.run(inputs)?;
        let tensor = answers
            .into_iter()
            .nth(self.logits)
            .ok_or_else(|| ModelError::format("an output is missing"))?;
        let classes = match tensor.shape.as_slice() {
            [rows, classes] if *rows == batch.len() && *classes > 0 => *classes,
            shape => {
                return Err(ModelError::format(format!(
                    "it answers {} texts with a tensor of the shape {shape:?}; a row of logits for each is wanted",
                    batch.len()
                )));
            }
        };
        match tensor.elements {
            Elements::Float(values) => Ok((classes, values)),
            _ => Err(ModelError::format("its logits are not in single precision")),
        }
    }

    fn classification(&self, answered: Answered) -> Result<Classification> {
        let known = self.config.labels.as_ref().map(Vec::len);
        let width = answered.width.or(known).unwrap_or(2);
        let labels = match &self.config.labels {
            Some(labels) => {
                check_labels(width, labels)?;
                labels.clone()
            }
            None => (0..width).map(|place| format!("LABEL_{place}")).collect(),
        };
        // As Hugging Face's own pipeline reads a model with one number when nothing is said.
        let answers = match self.config.answers {
            Some(Answers::OneOf) | None if width == 1 => Answers::AnyOf,
            Some(answers) => answers,
            None => Answers::OneOf,
        };
        let mut scores = Vec::with_capacity(answered.rows.len() * width);
        for row in answered.rows {
            match row {
                Some(logits) => scores.extend(scores_of(&logits, answers)),
                None => scores.extend(std::iter::repeat_n(f64::NAN, width)),
            }
        }
        Ok(Classification {
            labels,
            answers,
            scores,
            silent: answered.silent,
            cut: answered.cut,
        })
    }
}

/// Answers as they come, batch after batch.
#[derive(Default)]
struct Answered {
    rows: Vec<Option<Vec<f32>>>,
    width: Option<usize>,
    silent: usize,
    cut: usize,
}

impl Answered {
    fn open_window(&mut self, rows: usize) {
        self.rows.resize(self.rows.len() + rows, None);
    }

    fn set(&mut self, row: usize, logits: &[f32]) {
        self.width = Some(logits.len());
        self.rows[row] = Some(logits.to_vec());
    }
}

fn check_labels(width: usize, labels: &[String]) -> Result<()> {
    if width == labels.len() {
        return Ok(());
    }
    Err(ModelError::format(format!(
        "its network answers {width} numbers a text, and `config.json` names {} labels; take both from one export",
        labels.len()
    )))
}

fn of_row(row: usize, error: ModelError) -> ModelError {
    match error {
        ModelError::Data(message) => {
            ModelError::Data(format!("the text of row {}: {message}", row + 1))
        }
        other => other,
    }
}

/// Probabilities of logits.
fn scores_of(logits: &[f32], answers: Answers) -> Vec<f64> {
    let logits = logits.iter().map(|value| f64::from(*value));
    match answers {
        Answers::Number => logits.collect(),
        Answers::AnyOf => logits.map(|value| 1.0 / (1.0 + (-value).exp())).collect(),
        Answers::OneOf => {
            let largest = logits.clone().fold(f64::NEG_INFINITY, f64::max);
            let powers: Vec<f64> = logits.map(|value| (value - largest).exp()).collect();
            let sum: f64 = powers.iter().sum();
            powers.into_iter().map(|power| power / sum).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn sentiment() -> TextModel {
        TextModel::load(&TextFiles::shipped("sentiment").unwrap(), &Rooms::default()).unwrap()
    }

    fn ask_model(model: &TextModel, texts: &[Option<&str>]) -> Classification {
        model
            .classify(texts, &TextSettings::default(), &TextHooks::silent())
            .unwrap()
    }

    #[test]
    fn the_model_that_ships_tells_praise_from_blame() {
        let model = sentiment();
        assert_eq!((model.room, model.warnings.len()), (Room::Embedded, 0));
        let found = ask_model(
            &model,
            &[
                Some("The battery is great, I love it."),
                None,
                Some(" \n"),
                Some("Terrible. Waste of money."),
            ],
        );
        assert_eq!(found.labels, ["negative", "positive"]);
        assert_eq!(
            (found.silent, found.cut, found.answers),
            (2, 0, Answers::OneOf)
        );
        assert!(
            found.scores[1] > 0.9 && found.scores[6] > 0.9,
            "{:?}",
            found.scores
        );
        assert!(found.scores[2..6].iter().all(|score| score.is_nan()));
    }

    #[test]
    fn the_answer_to_a_text_does_not_depend_on_its_neighbours() {
        let model = sentiment();
        let texts: Vec<String> = (0..100)
            .map(|row| {
                format!(
                    "{}the lamp is {}",
                    "I bought it. ".repeat(row % 9),
                    ["good", "bad"][row % 2]
                )
            })
            .collect();
        let texts: Vec<Option<&str>> = texts.iter().map(|text| Some(text.as_str())).collect();
        let together = ask_model(&model, &texts);
        for row in [0, 1, 57, 99] {
            let alone = ask_model(&model, &texts[row..=row]);
            for (one, other) in alone.scores.iter().zip(&together.scores[row * 2..]) {
                assert!((one - other).abs() < 1e-5, "{row}: {one} {other}");
            }
        }
    }

    #[test]
    fn a_text_of_a_megabyte_is_cut_and_one_that_may_not_be_is_named() {
        let model = sentiment();
        let long = "great lamp ".repeat(100_000);
        let word = "x".repeat(1 << 20);
        let found = ask_model(&model, &[Some(&long), Some(&word)]);
        assert_eq!(found.cut, 1);
        assert!(found.scores.iter().all(|score| score.is_finite()));
        let settings = TextSettings {
            truncate: Truncate::Never,
            ..TextSettings::default()
        };
        let error = model
            .classify(
                &[Some("good"), Some(&long)],
                &settings,
                &TextHooks::silent(),
            )
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "the text of row 2: it has 200002 tokens, the model reads 128"
        );
    }

    #[test]
    fn progress_is_told_and_who_wants_to_stop_is_heard() {
        let model = sentiment();
        let texts = vec![Some("a good lamp"); 200];
        let (calls, last) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let hooks = TextHooks {
            progress: &|done| {
                calls.fetch_add(1, Ordering::Relaxed);
                last.store(done, Ordering::Relaxed);
            },
            cancelled: &|| calls.load(Ordering::Relaxed) >= 3,
        };
        let error = model
            .classify(&texts, &TextSettings::default(), &hooks)
            .unwrap_err();
        assert!(matches!(error, ModelError::Cancelled));
        assert_eq!((calls.into_inner(), last.into_inner()), (3, 96));
    }

    #[test]
    fn logits_become_probabilities() {
        let near = |found: Vec<f64>, wanted: &[f64]| {
            assert!(
                found
                    .iter()
                    .zip(wanted)
                    .all(|(one, other)| (one - other).abs() < 1e-9),
                "{found:?}"
            );
        };
        near(scores_of(&[0.0, 0.0], Answers::OneOf), &[0.5, 0.5]);
        near(scores_of(&[1000.0, 0.0], Answers::OneOf), &[1.0, 0.0]);
        near(scores_of(&[0.0, -1000.0], Answers::AnyOf), &[0.5, 0.0]);
        near(scores_of(&[2.5], Answers::Number), &[2.5]);
    }

    #[test]
    fn labels_have_to_be_as_many_as_answers() {
        let labels = vec!["a".to_owned()];
        assert!(
            check_labels(3, &labels)
                .unwrap_err()
                .to_string()
                .contains("3 numbers a text")
        );
    }
}
