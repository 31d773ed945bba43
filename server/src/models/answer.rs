//! Answers as JSON.

use pipectl_models::{
    data::{Classes, Goal},
    scorer::Score,
};
use serde_json::{Map, Value, json};

use super::shelf::Loaded;

/// What the model says of a row, by the names that `predict: model` gives to its columns.
pub(super) fn document(loaded: &Loaded, score: &Score) -> Map<String, Value> {
    let metadata = loaded.model.metadata();
    let mut answer = Map::new();
    answer.insert("prediction".to_owned(), label(loaded, score));
    let first = || score.values.first().copied().unwrap_or(f64::NAN);
    match metadata.goal {
        Goal::Classes => {
            let place = if score.values.len() == 2 {
                1
            } else {
                score.class
            };
            answer.insert("probability".to_owned(), json!(score.values.get(place)));
            let names = metadata.classes.names();
            let shares = names.into_iter().zip(&score.values);
            let shares: Map<String, Value> =
                shares.map(|(name, share)| (name, json!(share))).collect();
            answer.insert("probabilities".to_owned(), shares.into());
        }
        Goal::Clusters => {
            let distance = score.values.get(score.class);
            answer.insert("distance".to_owned(), json!(distance));
        }
        Goal::Anomalies => {
            answer.insert("score".to_owned(), json!(first()));
        }
        Goal::Quantity => {}
    }
    answer
}

/// The prediction in the type of what was learned.
pub(super) fn label(loaded: &Loaded, score: &Score) -> Value {
    let metadata = loaded.model.metadata();
    match (metadata.goal, &metadata.classes) {
        (Goal::Classes, Classes::Text(labels)) => json!(labels.get(score.class)),
        (Goal::Classes, Classes::Integer(labels)) => json!(labels.get(score.class)),
        (Goal::Classes, Classes::Boolean(labels)) => json!(labels.get(score.class)),
        (Goal::Quantity, _) => json!(score.values.first()),
        (Goal::Clusters, _) => json!(score.class),
        (Goal::Anomalies, _) => json!(score.class == 1),
    }
}
