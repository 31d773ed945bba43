//! The sentiment model that ships is as good as its card says, on sentences of a kind that it has never seen.

#![allow(clippy::unwrap_used, clippy::cast_precision_loss, reason = "tests")]

use pipectl_generator::reviews::{Source, reviews};
use pipectl_models::rooms::Rooms;
use pipectl_models::text::{TextFiles, TextHooks, TextModel, TextSettings};

fn accuracy(source: Source) -> f64 {
    let files = TextFiles::shipped("sentiment").unwrap();
    let model = TextModel::load(&files, &Rooms::default()).unwrap();
    // Other reviews than those of training and of the card.
    let reviews = reviews(99, source, 3_000);
    let texts: Vec<Option<&str>> = reviews
        .iter()
        .map(|review| Some(review.text.as_str()))
        .collect();
    let found = model
        .classify(&texts, &TextSettings::default(), &TextHooks::silent())
        .unwrap();
    assert_eq!(found.labels, ["negative", "positive"]);
    let right = reviews
        .iter()
        .zip(found.scores.chunks(2))
        .filter(|(review, scores)| (scores[1] >= 0.5) == review.positive)
        .count();
    right as f64 / reviews.len() as f64
}

#[test]
fn it_keeps_its_accuracy_on_templates_that_it_has_never_seen() {
    let [known, held_out, blind] = [Source::Known, Source::HeldOut, Source::Blind].map(accuracy);
    assert!(known >= 0.97, "known templates: {known}");
    assert!(held_out >= 0.90, "held-out templates: {held_out}");
    assert!(blind >= 0.80, "blind templates: {blind}");
}
