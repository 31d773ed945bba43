//! `config.json`: what the labels are called, how long a text may be, how answers are read.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::error::{ModelError, Result};

/// How many tokens are read when nothing says how many can be.
const USUAL_TOKENS: usize = 512;

/// What the numbers that a classifier answers mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    /// One label of several: softmax.
    OneOf,
    /// Any number of labels: a sigmoid each.
    AnyOf,
    /// A number for its own sake.
    Number,
}

#[derive(Debug, Deserialize)]
struct Stored {
    #[serde(default)]
    model_type: Option<String>,
    #[serde(default)]
    architectures: Option<Vec<String>>,
    #[serde(default)]
    id2label: Option<BTreeMap<String, String>>,
    #[serde(default)]
    problem_type: Option<String>,
    #[serde(default)]
    max_position_embeddings: Option<usize>,
    #[serde(default)]
    pad_token_id: Option<u32>,
    #[serde(default)]
    vocab_size: Option<usize>,
}

/// `tokenizer_config.json`, where there is one. What is no limit is written as a huge number.
#[derive(Debug, Deserialize)]
struct TokenizerStored {
    #[serde(default)]
    model_max_length: Option<f64>,
}

/// What the files beside a model say of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Config {
    /// `bert`, `distilbert`, …
    pub(super) family: String,
    /// What the labels are called, in the order of the model's answers; unknown when not written down.
    pub(super) labels: Option<Vec<String>>,
    /// As `problem_type` says.
    pub(super) answers: Option<Answers>,
    /// How many tokens a text may have.
    pub(super) most_tokens: usize,
    pub(super) pad: Option<u32>,
    pub(super) vocabulary: Option<usize>,
}

impl Config {
    pub(super) fn read(config: &[u8], tokenizer_config: Option<&[u8]>) -> Result<Self> {
        let stored: Stored = serde_json::from_slice(config).map_err(|error| {
            ModelError::format(format!("its `config.json` cannot be read: {error}"))
        })?;
        let wrong_head = stored
            .architectures
            .iter()
            .flatten()
            .find(|name| name.contains("For") && !name.contains("ForSequenceClassification"));
        if let Some(name) = wrong_head {
            return Err(ModelError::format(format!(
                "its `config.json` says `{name}`, which does not classify texts; a model `…ForSequenceClassification` is \
                 wanted"
            )));
        }
        let family = stored.model_type.clone().unwrap_or_default();
        let from_tokenizer = tokenizer_config
            .and_then(|bytes| serde_json::from_slice::<TokenizerStored>(bytes).ok())
            .and_then(|stored| stored.model_max_length)
            .filter(|length| (1.0..1e6).contains(length));
        let positions = positions(&family, &stored);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between one and a million"
        )]
        let most_tokens = match (positions, from_tokenizer.map(|length| length as usize)) {
            (Some(one), Some(other)) => one.min(other),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => USUAL_TOKENS,
        };
        Ok(Self {
            family,
            labels: stored.id2label.as_ref().map(labels).transpose()?,
            answers: answers(stored.problem_type.as_deref())?,
            most_tokens,
            pad: stored.pad_token_id,
            vocabulary: stored.vocab_size,
        })
    }
}

/// Positions that can be told apart. `RoBERTa` and its kin begin to count after the padding's number.
fn positions(family: &str, stored: &Stored) -> Option<usize> {
    let positions = stored
        .max_position_embeddings
        .filter(|positions| *positions > 0)?;
    let shifted = matches!(
        family,
        "roberta" | "xlm-roberta" | "camembert" | "mpnet" | "longformer" | "xlm-roberta-xl"
    );
    Some(if shifted {
        let pad = usize::try_from(stored.pad_token_id.unwrap_or(1)).unwrap_or(1);
        positions.saturating_sub(pad + 1)
    } else {
        positions
    })
}

fn labels(stored: &BTreeMap<String, String>) -> Result<Vec<String>> {
    (0..stored.len())
        .map(|place| {
            stored.get(&place.to_string()).cloned().ok_or_else(|| {
                ModelError::format(format!(
                    "`id2label` in its `config.json` has {} labels, but none of the number {place}",
                    stored.len()
                ))
            })
        })
        .collect()
}

fn answers(problem: Option<&str>) -> Result<Option<Answers>> {
    Ok(match problem {
        None => None,
        Some("single_label_classification") => Some(Answers::OneOf),
        Some("multi_label_classification") => Some(Answers::AnyOf),
        Some("regression") => Some(Answers::Number),
        Some(other) => {
            return Err(ModelError::format(format!(
                "its `config.json` has the `problem_type` `{other}`, which is not known"
            )));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Config {
        Config::read(text.as_bytes(), None).unwrap()
    }

    #[test]
    fn labels_come_in_the_order_of_their_numbers() {
        let many: Vec<String> = (0..12)
            .map(|place| format!(r#""{place}": "L{place}""#))
            .collect();
        let config = read(&format!(r#"{{"id2label": {{{}}}}}"#, many.join(", ")));
        assert_eq!(config.labels.unwrap()[9..], ["L9", "L10", "L11"]);
        assert_eq!(read("{}").labels, None);
    }

    #[test]
    fn the_longest_text_is_what_positions_and_tokenizer_allow() {
        let cases = [
            (
                r#"{"model_type": "bert", "max_position_embeddings": 512}"#,
                None,
                512,
            ),
            (
                r#"{"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}"#,
                None,
                512,
            ),
            (
                r#"{"model_type": "bert", "max_position_embeddings": 512}"#,
                Some(r#"{"model_max_length": 128}"#),
                128,
            ),
            (
                r#"{"model_type": "bert", "max_position_embeddings": 512}"#,
                Some(r#"{"model_max_length": 1000000000000000019884624838656}"#),
                512,
            ),
            ("{}", None, 512),
        ];
        for (config, tokenizer, most) in cases {
            let read = Config::read(config.as_bytes(), tokenizer.map(str::as_bytes)).unwrap();
            assert_eq!(read.most_tokens, most, "{config}");
        }
    }

    #[test]
    fn what_does_not_classify_is_refused() {
        let message = |text: &str| Config::read(text.as_bytes(), None).unwrap_err().to_string();
        assert!(message(r#"{"architectures": ["BertForMaskedLM"]}"#).contains("BertForMaskedLM"));
        assert!(message(r#"{"problem_type": "ranking"}"#).contains("`ranking`"));
        assert!(message(r#"{"id2label": {"0": "a", "2": "b"}}"#).contains("number 1"));
        assert!(message("<html>").contains("`config.json` cannot be read"));
        read(r#"{"architectures": ["DistilBertForSequenceClassification"]}"#);
        read(r#"{"architectures": ["BertModel"]}"#);
    }
}
