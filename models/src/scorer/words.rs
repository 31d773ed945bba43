//! Words of a text: ONNX Runtime's `Tokenizer`, and `TfIdfVectorizer`.

use std::collections::HashMap;

use regex::Regex;

use crate::data::TextColumn;
use crate::error::{ModelError, Result};
use crate::scorer::kernel::{Attributes, Kernel, unary};
use crate::scorer::label_encoder::places;
use crate::scorer::tensor::{Elements, Tensor};

/// Words of one class of letters. Of other expressions ONNX Runtime takes the longest match, which ours does not find.
const ONE_CLASS: &str = r"^\[(?:[^\[\]\\|&~]|\\[^wWdDsSbB])+\](?:\+|\{\d+,\})$";

/// The kernel of a `Tokenizer`: the words of every text, filled up to those of the longest. Nothing of one that looks for
/// other than words of one class of letters.
pub(super) fn tokenizer(attributes: &Attributes<'_>) -> Result<Option<Kernel>> {
    let expression = attributes.text("tokenexp", "")?;
    let one_class = Regex::new(ONE_CLASS).is_ok_and(|one| one.is_match(expression));
    let plain = attributes.int("mark", 0) == 0 && attributes.texts("stopwords")?.is_empty();
    let Some(words) = Regex::new(expression).ok().filter(|_| one_class && plain) else {
        return Ok(None);
    };
    let least = usize::try_from(attributes.int("mincharnum", 1)).unwrap_or(0);
    let filling = attributes.text("pad_value", "")?.to_owned();
    Ok(Some(unary(move |tensor| {
        let Elements::Text(text) = &tensor.elements else {
            return Err(ModelError::format("a `Tokenizer` of numbers"));
        };
        let rows: Vec<Vec<&str>> = (0..text.codes.len())
            .map(|row| {
                let found = words.find_iter(text.get(row));
                let found = found.map(|word| word.as_str());
                found.filter(|word| word.chars().count() >= least).collect()
            })
            .collect();
        let width = rows.iter().map(Vec::len).max().unwrap_or(0);
        let filled = rows.iter().flat_map(|words| {
            let words = words.iter().copied().chain(std::iter::repeat(&*filling));
            words.take(width).map(Some)
        });
        let mut shape = tensor.shape.clone();
        shape.push(width);
        Ok(Tensor::new(shape, Elements::Text(TextColumn::new(filled))))
    })))
}

/// Terms of one length: their words by number, and where their count goes.
struct Terms {
    length: usize,
    places: HashMap<Vec<usize>, usize>,
}

/// The kernel of a `TfIdfVectorizer` of text.
pub(super) fn vectorizer(attributes: &Attributes<'_>) -> Result<Kernel> {
    let mode = attributes.text("mode", "")?;
    if !matches!(mode, "TF" | "IDF" | "TFIDF") {
        return Err(ModelError::format(format!("a `TfIdfVectorizer` by {mode}")));
    }
    let (counted, weighed) = (mode != "IDF", mode != "TF");
    if attributes.int("max_skip_count", 0) != 0 {
        return Err(ModelError::format("a `TfIdfVectorizer` that skips words"));
    }
    let pool = attributes.texts("pool_strings")?;
    let numbers = places(pool.iter().map(|word| (*word).to_owned()));
    let terms = terms(attributes, &pool, &numbers)?;
    let targets = attributes.ints("ngram_indexes").iter();
    let width = targets
        .filter_map(|target| usize::try_from(*target).ok())
        .max()
        .map_or(0, |last| last + 1);
    let weights = attributes.floats("weights").to_vec();
    let weights = weights_of(attributes, weights, width)?;
    Ok(unary(move |tensor| {
        let Elements::Text(text) = &tensor.elements else {
            return Err(ModelError::format("a `TfIdfVectorizer` of numbers"));
        };
        let (rows, words) = tensor.matrix_shape();
        let known: Vec<Option<usize>> = text
            .levels
            .iter()
            .map(|level| numbers.get(level.as_ref()).copied())
            .collect();
        let mut counts = vec![0.0f32; rows * width];
        for row in 0..rows {
            let codes = text.codes[row * words..(row + 1) * words].iter();
            let codes: Vec<Option<usize>> = codes.map(|code| known[*code as usize]).collect();
            let counts = &mut counts[row * width..(row + 1) * width];
            count(&terms, &codes, counts);
            if !counted {
                counts
                    .iter_mut()
                    .for_each(|count| *count = f32::from(u8::from(*count > 0.0)));
            }
            if weighed {
                counts
                    .iter_mut()
                    .zip(&weights)
                    .for_each(|(count, weight)| *count *= weight);
            }
        }
        let mut shape = tensor.shape.clone();
        shape.pop();
        shape.push(width);
        Ok(Tensor::new(shape, Elements::Float(counts)))
    }))
}

/// The weight of every place; `weights` go with the terms in the order of the pool.
fn weights_of(attributes: &Attributes<'_>, weights: Vec<f32>, width: usize) -> Result<Vec<f32>> {
    let targets = attributes.ints("ngram_indexes");
    if weights.is_empty() {
        return Ok(vec![1.0; width]);
    }
    if weights.len() != targets.len() {
        return Err(ModelError::format(
            "a `TfIdfVectorizer` whose weights do not fit",
        ));
    }
    let mut of_place = vec![1.0; width];
    for (target, weight) in targets.iter().zip(weights) {
        if let Some(place) = usize::try_from(*target)
            .ok()
            .and_then(|at| of_place.get_mut(at))
        {
            *place = weight;
        }
    }
    Ok(of_place)
}

fn terms(
    attributes: &Attributes<'_>,
    pool: &[&str],
    numbers: &HashMap<String, usize>,
) -> Result<Vec<Terms>> {
    let damaged = || ModelError::format("a `TfIdfVectorizer` whose terms do not fit");
    let place = |value: &i64| usize::try_from(*value).map_err(|_| damaged());
    let starts = attributes.ints("ngram_counts");
    let starts: Vec<usize> = starts.iter().map(place).collect::<Result<_>>()?;
    let targets = attributes.ints("ngram_indexes");
    let targets: Vec<usize> = targets.iter().map(place).collect::<Result<_>>()?;
    let shortest = place(&attributes.int("min_gram_length", 1))?;
    let longest = place(&attributes.int("max_gram_length", 1))?;
    let (mut found, mut target) = (Vec::new(), targets.into_iter());
    for (at, start) in starts.iter().enumerate() {
        let end = starts.get(at + 1).copied().unwrap_or(pool.len());
        let length = at + 1;
        let words = pool.get(*start..end).ok_or_else(damaged)?;
        if !words.len().is_multiple_of(length) {
            return Err(damaged());
        }
        let mut places = HashMap::new();
        for term in words.chunks_exact(length) {
            let term: Vec<usize> = term.iter().map(|word| numbers[*word]).collect();
            places.insert(term, target.next().ok_or_else(damaged)?);
        }
        if (shortest..=longest).contains(&length) {
            found.push(Terms { length, places });
        }
    }
    Ok(found)
}

/// Counts the terms of a row of numbered words.
fn count(terms: &[Terms], words: &[Option<usize>], counts: &mut [f32]) {
    let mut term = Vec::new();
    for terms in terms.iter().filter(|terms| !terms.places.is_empty()) {
        for words in words.windows(terms.length) {
            term.clear();
            term.extend(words.iter().copied().flatten());
            if term.len() < terms.length {
                continue;
            }
            if let Some(place) = terms.places.get(&term) {
                counts[*place] += 1.0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{tokenizer, vectorizer};
    use crate::data::TextColumn;
    use crate::onnx::builder::{floats, int, ints, string, strings};
    use crate::onnx::proto::{AttributeProto, NodeProto};
    use crate::scorer::Attributes;
    use crate::scorer::kernel::{Kernel, Outputs};
    use crate::scorer::tensor::{Elements, Tensor};

    fn node(attribute: Vec<AttributeProto>) -> NodeProto {
        NodeProto {
            attribute,
            ..NodeProto::default()
        }
    }

    fn texts(shape: &[usize], texts: &[&str]) -> Tensor {
        let texts = TextColumn::new(texts.iter().map(|text| Some(*text)));
        Tensor::new(shape.to_vec(), Elements::Text(texts))
    }

    fn one(kernel: &Kernel, tensor: &Tensor) -> Tensor {
        match kernel(&[Some(tensor)]).unwrap() {
            Outputs::One(tensor) => tensor,
            Outputs::Two(..) => panic!("one output"),
        }
    }

    #[test]
    fn texts_become_words_as_in_onnx_runtime() {
        let node = node(vec![
            string("tokenexp", r"[\pL\pN_]+"),
            string("pad_value", "#"),
            int("mincharnum", 2),
        ]);
        let kernel = tokenizer(&Attributes(&node)).unwrap().unwrap();
        let found = one(&kernel, &texts(&[3], &["Grüße, à la carte_1!", "", "a b"]));
        let expected = ["Grüße", "la", "carte_1", "#", "#", "#", "#", "#", "#"];
        assert_eq!(found, texts(&[3, 3], &expected));
        let none = one(&kernel, &texts(&[1], &[""]));
        assert_eq!(none.shape, [1, 0]);
    }

    #[test]
    fn terms_are_counted_and_weighed() {
        let vectorizer = |mode: &str| {
            let node = node(vec![
                string("mode", mode),
                int("min_gram_length", 1),
                int("max_gram_length", 2),
                ints("ngram_counts", vec![0, 2]),
                ints("ngram_indexes", vec![2, 0, 1, 3]),
                strings("pool_strings", ["the", "cat", "the", "the", "the", "cat"]),
                floats("weights", vec![0.5, 2.0, 3.0, 4.0]),
            ]);
            let kernel = vectorizer(&Attributes(&node)).unwrap();
            let words = ["the", "the", "the", "cat", "a", "cat", "#", "#"];
            one(&kernel, &texts(&[2, 4], &words))
        };
        let rows = |values: [f32; 8]| Tensor::new(vec![2, 4], Elements::Float(values.to_vec()));
        assert_eq!(
            vectorizer("TF"),
            rows([1.0, 2.0, 3.0, 1.0, 1.0, 0.0, 0.0, 0.0])
        );
        assert_eq!(
            vectorizer("IDF"),
            rows([2.0, 3.0, 0.5, 4.0, 2.0, 0.0, 0.0, 0.0])
        );
        assert_eq!(
            vectorizer("TFIDF"),
            rows([2.0, 6.0, 1.5, 4.0, 2.0, 0.0, 0.0, 0.0])
        );
    }

    #[test]
    fn what_others_may_read_differently_is_left_to_them() {
        let known = |attributes| tokenizer(&Attributes(&node(attributes))).unwrap().is_some();
        assert!(known(vec![string("tokenexp", "[a-zA-Z0-9_]+")]));
        for expression in [r"\w+|[a-z]+", r"[\w]+", "", "[a-z"] {
            assert!(!known(vec![string("tokenexp", expression)]), "{expression}");
        }
        assert!(!known(vec![string("tokenexp", "[a-z]+"), int("mark", 1)]));
    }
}
