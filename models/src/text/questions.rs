//! What a network is asked about a batch of texts.

use super::tokens::Tokens;
use crate::error::{ModelError, Result};
use crate::scorer::{ElementKind, Elements, Tensor};

/// What a network is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    Ids,
    Mask,
    Types,
    Positions,
}

/// What an input of this name wants.
pub(super) fn question(name: &str, kind: Option<ElementKind>) -> Result<Question> {
    let question = match name {
        "input_ids" => Question::Ids,
        "attention_mask" => Question::Mask,
        "token_type_ids" => Question::Types,
        "position_ids" => Question::Positions,
        other => {
            return Err(ModelError::format(format!(
                "its network wants `{other}`, which no tokenizer gives; a text classifier wants `input_ids`, \
                 `attention_mask` and perhaps `token_type_ids`"
            )));
        }
    };
    match kind {
        Some(ElementKind::Integer) => Ok(question),
        _ => Err(ModelError::format(format!(
            "its input `{name}` takes no whole numbers"
        ))),
    }
}

/// One input of a batch, filled up to `width`.
pub(super) fn ask(question: Question, batch: &[&Tokens], width: usize, pad: u32) -> Tensor {
    let mut values = Vec::with_capacity(batch.len() * width);
    for tokens in batch {
        let length = tokens.ids.len();
        match question {
            Question::Ids => values.extend(tokens.ids.iter().map(|id| i64::from(*id))),
            Question::Mask => values.extend(std::iter::repeat_n(1, length)),
            Question::Types => values.extend(tokens.types.iter().map(|kind| i64::from(*kind))),
            Question::Positions => values.extend((0_i64..).take(length)),
        }
        let filling = if question == Question::Ids {
            i64::from(pad)
        } else {
            0
        };
        values.extend(std::iter::repeat_n(filling, width - length));
    }
    Tensor {
        shape: vec![batch.len(), width],
        elements: Elements::Integer(values),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_that_wants_something_else_is_refused() {
        let error = question("pixel_values", Some(ElementKind::Integer)).unwrap_err();
        assert!(error.to_string().contains("`pixel_values`"));
        assert!(question("input_ids", Some(ElementKind::Float)).is_err());
    }

    #[test]
    fn short_texts_are_filled_up() {
        let tokens = |ids: &[u32]| Tokens {
            ids: ids.to_vec(),
            types: vec![0; ids.len()],
            cut: false,
        };
        let (long, short) = (tokens(&[2, 8, 9, 3]), tokens(&[2, 3]));
        let asked = |question| match ask(question, &[&long, &short], 4, 7).elements {
            Elements::Integer(values) => values,
            other => panic!("{other:?}"),
        };
        assert_eq!(asked(Question::Ids), [2, 8, 9, 3, 2, 3, 7, 7]);
        assert_eq!(asked(Question::Mask), [1, 1, 1, 1, 1, 1, 0, 0]);
        assert_eq!(asked(Question::Positions), [0, 1, 2, 3, 0, 1, 0, 0]);
    }
}
