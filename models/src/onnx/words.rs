//! The words of a text, as nodes.

use std::collections::BTreeMap;

use crate::onnx::builder::{Builder, Value, doubles, int, integers, ints, string, strings};
use crate::onnx::export::size;
use crate::onnx::proto::element;
use crate::prepare::{Vocabulary, WORD};

/// The weights of a vocabulary's terms. Words are found by ONNX Runtime's `Tokenizer`, since no standard operator does;
/// terms are counted in single precision, which is exact, and weighed in double.
pub(super) fn words(builder: &mut Builder, value: &str, vocabulary: &Vocabulary) -> Value {
    let list = builder.change_case(value, "LOWER");
    let words = builder.microsoft_node(
        "Tokenizer",
        &[&list],
        vec![
            int("mark", 0),
            int("mincharnum", 1),
            string("pad_value", "#"),
            string("tokenexp", WORD),
        ],
    );
    let counts = count(builder, &words, vocabulary);
    let mut counts = builder.cast(&counts, element::DOUBLE);
    if vocabulary.sublinear {
        let zero = builder.number(0.0);
        let is_there = builder.node("Greater", &[&counts, &zero]);
        let logarithm = builder.node("Log", &[&counts]);
        let one = builder.number(1.0);
        let logarithm = builder.node("Add", &[&logarithm, &one]);
        counts = builder.node("Where", &[&is_there, &logarithm, &counts]);
    }
    let weights = doubles(&[1, size(vocabulary.weights.len())], &vocabulary.weights);
    let weights = builder.constant(weights);
    let weighed = builder.node("Mul", &[&counts, &weights]);
    let axis = builder.constant(integers(&[1], &[1]));
    let length = builder.node_with("ReduceL2", &[&weighed, &axis], vec![int("keepdims", 1)]);
    // No term weighs less than 1, so only a text without any is shorter.
    let one = builder.number(1.0);
    let length = builder.node("Max", &[&length, &one]);
    builder.node("Div", &[&weighed, &length])
}

/// How often every term is there.
fn count(builder: &mut Builder, words: &str, vocabulary: &Vocabulary) -> Value {
    let [least, most] = vocabulary.lengths;
    // The operator wants terms by their number of words.
    let mut by_length: BTreeMap<usize, Vec<(usize, &str)>> =
        (1..=most).map(|length| (length, Vec::new())).collect();
    for (place, term) in vocabulary.terms.iter().enumerate() {
        let length = term.split(' ').count();
        by_length.entry(length).or_default().push((place, term));
    }
    let (mut pool, mut starts, mut places) = (Vec::new(), Vec::new(), Vec::new());
    for terms in by_length.values() {
        starts.push(size(pool.len()));
        for (place, term) in terms {
            places.push(size(*place));
            pool.extend(term.split(' '));
        }
    }
    builder.node_with(
        "TfIdfVectorizer",
        &[words],
        vec![
            int("max_gram_length", size(most)),
            int("max_skip_count", 0),
            int("min_gram_length", size(least)),
            string("mode", "TF"),
            ints("ngram_counts", starts),
            ints("ngram_indexes", places),
            strings("pool_strings", pool),
        ],
    )
}
