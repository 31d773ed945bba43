//! From texts to tokens.

use tokenizers::tokenizer::{Encoding, PostProcessor, Tokenizer, TruncationDirection};

use super::config::Config;
use crate::error::{ModelError, Result};

/// Families of models that want a special token before a text and one behind it.
const FRAMED: [&str; 12] = [
    "albert",
    "bert",
    "camembert",
    "deberta",
    "deberta-v2",
    "distilbert",
    "electra",
    "longformer",
    "mobilebert",
    "mpnet",
    "roberta",
    "xlm-roberta",
];

/// A hieroglyph: a letter that hardly any vocabulary has, and that no normalizer drops.
const STRANGE: &str = "\u{13000}";

/// Tokens of a special kind, by the names that models give them.
const PADDINGS: [&str; 2] = ["[PAD]", "<pad>"];

/// What is left out of a text that is longer than the model reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Truncate {
    /// Its end.
    #[default]
    End,
    /// Its beginning.
    Start,
    /// Its middle: a quarter is kept of its beginning, the rest of its end.
    Middle,
    /// Nothing: a text that is too long is an error.
    Never,
}

/// The tokens of a text, special ones included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tokens {
    pub(super) ids: Vec<u32>,
    pub(super) types: Vec<u32>,
    /// Whether a part of the text was left out.
    pub(super) cut: bool,
}

/// A tokenizer that fits its model.
pub(super) struct Words {
    tokenizer: Tokenizer,
    pub(super) pad: u32,
    pub(super) warning: Option<String>,
    /// Special tokens of every text.
    added: usize,
}

impl Words {
    /// Reads `tokenizer.json` and compares it with the model: `rows` is how many tokens its embedding knows.
    pub(super) fn read(bytes: &[u8], config: &Config, rows: Option<usize>) -> Result<Self> {
        let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(|error| {
            ModelError::format(format!("its `tokenizer.json` cannot be read: {error}"))
        })?;
        // Batches are cut and padded here.
        tokenizer.with_padding(None);
        tokenizer
            .with_truncation(None)
            .map_err(|error| ModelError::format(error.to_string()))?;
        let largest = tokenizer.get_vocab(true).into_values().max();
        let size = largest.map_or(0, |largest| largest as usize + 1);
        let rows = rows.or(config.vocabulary);
        if let Some(rows) = rows.filter(|rows| size > *rows) {
            return Err(mismatch(&format!(
                "it numbers {size} tokens, and the model knows {rows}"
            )));
        }
        let added = frame(&tokenizer, config)?;
        let words = Self {
            pad: padding(&tokenizer, config)?,
            warning: rows.filter(|rows| size * 10 < rows * 9).map(|rows| {
                format!("the tokenizer numbers {size} tokens, the model knows {rows}: is it this model's tokenizer?")
            }),
            added,
            tokenizer,
        };
        if let Err(error) = words.tokenizer.encode_fast(STRANGE, true) {
            return Err(mismatch(&format!(
                "it cannot read a letter that it does not know: {error}"
            )));
        }
        Ok(words)
    }

    /// The tokens of a text, at most `most`.
    pub(super) fn tokens(&self, text: &str, most: usize, rule: Truncate) -> Result<Tokens> {
        let failed =
            |error: tokenizers::Error| ModelError::data(format!("the tokenizer fails: {error}"));
        let encoding = self.tokenizer.encode_fast(text, false).map_err(failed)?;
        let room = most.saturating_sub(self.added).max(1);
        let cut = encoding.len() > room;
        if cut && rule == Truncate::Never {
            return Err(ModelError::data(format!(
                "it has {} tokens, the model reads {most}",
                encoding.len() + self.added
            )));
        }
        let encoding = if cut {
            shortened(encoding, room, rule)
        } else {
            encoding
        };
        let encoding = self
            .tokenizer
            .post_process(encoding, None, true)
            .map_err(failed)?;
        Ok(Tokens {
            ids: encoding.get_ids().to_vec(),
            types: encoding.get_type_ids().to_vec(),
            cut,
        })
    }
}

/// The encoding with `room` tokens.
fn shortened(encoding: Encoding, room: usize, rule: Truncate) -> Encoding {
    let side = |mut encoding: Encoding, room: usize, direction| {
        encoding.truncate(room, 0, direction);
        encoding.set_overflowing(Vec::new());
        encoding
    };
    match rule {
        Truncate::End | Truncate::Never => side(encoding, room, TruncationDirection::Right),
        Truncate::Start => side(encoding, room, TruncationDirection::Left),
        Truncate::Middle => {
            let first = room / 4;
            if first == 0 {
                return side(encoding, room, TruncationDirection::Left);
            }
            let mut whole = side(encoding.clone(), first, TruncationDirection::Right);
            let rest = side(encoding, room - first, TruncationDirection::Left);
            whole.merge_with(rest, false);
            whole
        }
    }
}

fn mismatch(why: &str) -> ModelError {
    ModelError::format(format!(
        "its `tokenizer.json` does not match its `model.onnx`: {why}; take both from one export"
    ))
}

/// How many special tokens a text gets; too few are an error.
fn frame(tokenizer: &Tokenizer, config: &Config) -> Result<usize> {
    let added = tokenizer
        .get_post_processor()
        .map_or(0, |processor| processor.added_tokens(false));
    if added < 2 && FRAMED.contains(&config.family.as_str()) {
        return Err(mismatch(&format!(
            "it puts no special tokens (such as [CLS] and [SEP]) round a text, which a model of the family `{}` wants",
            config.family
        )));
    }
    if added >= config.most_tokens {
        return Err(mismatch(&format!(
            "it adds {added} tokens to every text, and the model reads {}",
            config.most_tokens
        )));
    }
    let special = tokenizer
        .encode_fast("", true)
        .map_err(|error| mismatch(&format!("it cannot read an empty text: {error}")))?;
    let unnamed = special
        .get_ids()
        .iter()
        .find(|id| tokenizer.id_to_token(**id).is_none());
    match unnamed {
        Some(id) => Err(mismatch(&format!(
            "it puts the special token {id} round a text, which its vocabulary lacks"
        ))),
        None => Ok(added),
    }
}

/// The number of the token that fills a batch up.
fn padding(tokenizer: &Tokenizer, config: &Config) -> Result<u32> {
    let of_config = config
        .pad
        .filter(|pad| tokenizer.id_to_token(*pad).is_some());
    of_config
        .or_else(|| PADDINGS.iter().find_map(|name| tokenizer.token_to_id(name)))
        .ok_or_else(|| {
            mismatch(
                "it has no padding token ([PAD] or <pad>, or the `pad_token_id` of `config.json`)",
            )
        })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn tokenizer(vocabulary: &Value, processor: &Value) -> Vec<u8> {
        json!({
            "version": "1.0",
            "truncation": {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0},
            "padding": null,
            "added_tokens": [],
            "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                "strip_accents": null, "lowercase": true},
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "post_processor": processor,
            "decoder": null,
            "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100, "vocab": vocabulary},
        })
        .to_string()
        .into_bytes()
    }

    fn letters() -> Value {
        json!({"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "a": 4, "b": 5, "c": 6, "d": 7, "e": 8})
    }

    fn ends() -> Value {
        json!({"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]})
    }

    fn config(text: &str) -> Config {
        Config::read(text.as_bytes(), None).unwrap()
    }

    fn bert() -> Config {
        config(r#"{"model_type": "bert", "max_position_embeddings": 16}"#)
    }

    fn refused(bytes: &[u8], config: &Config, rows: usize) -> String {
        Words::read(bytes, config, Some(rows))
            .err()
            .unwrap()
            .to_string()
    }

    #[test]
    fn a_text_that_is_too_long_is_cut_as_the_rule_says() {
        let words = Words::read(&tokenizer(&letters(), &ends()), &bert(), Some(9)).unwrap();
        let ids = |most, rule| {
            words
                .tokens("a b c d e", most, rule)
                .map(|tokens| tokens.ids)
        };
        assert_eq!(ids(7, Truncate::End).unwrap(), [2, 4, 5, 6, 7, 8, 3]);
        assert_eq!(ids(6, Truncate::End).unwrap(), [2, 4, 5, 6, 7, 3]);
        assert_eq!(ids(6, Truncate::Start).unwrap(), [2, 5, 6, 7, 8, 3]);
        assert_eq!(ids(6, Truncate::Middle).unwrap(), [2, 4, 6, 7, 8, 3]);
        assert_eq!(ids(3, Truncate::Middle).unwrap(), [2, 8, 3]);
        let error = ids(6, Truncate::Never).unwrap_err().to_string();
        assert_eq!(error, "it has 7 tokens, the model reads 6");
        let tokens = words.tokens("f", 16, Truncate::End).unwrap();
        assert_eq!(
            (tokens.ids, tokens.types, tokens.cut),
            (vec![2, 1, 3], vec![0, 0, 0], false)
        );
    }

    #[test]
    fn a_tokenizer_of_another_model_is_refused() {
        let good = tokenizer(&letters(), &ends());
        assert!(refused(&good, &bert(), 8).contains("numbers 9 tokens, and the model knows 8"));
        let bare = tokenizer(&letters(), &Value::Null);
        assert!(refused(&bare, &bert(), 9).contains("no special tokens"));
        let ghost = json!({"type": "BertProcessing", "sep": ["[SEP]", 30], "cls": ["[CLS]", 2]});
        assert!(refused(&tokenizer(&letters(), &ghost), &bert(), 9).contains("special token 30"));
        let without = |name: &str| {
            let mut vocabulary = letters();
            vocabulary.as_object_mut().unwrap().remove(name);
            tokenizer(&vocabulary, &ends())
        };
        assert!(refused(&without("[PAD]"), &bert(), 9).contains("no padding token"));
        assert!(refused(&without("[UNK]"), &bert(), 9).contains("does not know"));
        assert!(refused(b"{}", &bert(), 9).contains("cannot be read"));
        let warned = Words::read(&good, &bert(), Some(30))
            .unwrap()
            .warning
            .unwrap();
        assert!(warned.contains("9 tokens, the model knows 30"), "{warned}");
    }
}
