//! What is known of a model, as labels and values.

use pipectl_engine::model::ModelVersion;
use serde_json::{Map, Value, json};

use crate::{
    output::{DIM, Output},
    records::{number, thousands},
    table::{Cell, Table},
};

/// What a model's card tells: how it was trained, on what.
pub(super) fn of_card(card: &Value) -> Vec<(&'static str, String)> {
    let text = |key: &str| card.get(key).map(plain).unwrap_or_default();
    let map = |key: &str| card.get(key).and_then(Value::as_object).map(pairs);
    vec![
        ("Estimator", text("estimator")),
        ("Parameters", map("parameters").unwrap_or_default()),
        ("Features", map("features").unwrap_or_default()),
        ("Target", text("target")),
        ("Classes", classes(card)),
        ("Threshold", text("threshold")),
        ("Rows", text("rows")),
        ("Data", text("fingerprint")),
        ("Feature views", map("feature_views").unwrap_or_default()),
        ("Seed", text("seed")),
    ]
}

/// What a card tells of measures: `{"metric": "f1", "value": 0.5}`.
pub(super) fn measures(card: &Value) -> Vec<(String, f64)> {
    let listed = card.get("metrics").and_then(Value::as_array);
    let pairs = listed.into_iter().flatten().filter_map(|entry| {
        let (name, value) = (
            entry.get("metric")?.as_str()?,
            entry.get("value")?.as_f64()?,
        );
        Some((name.to_owned(), value))
    });
    pairs.collect()
}

/// The classes with their rows; of two, which is the positive one.
fn classes(card: &Value) -> String {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let names = list(&card["classes"]["values"]);
    let counts = list(&card["class_counts"]);
    let two = names.len() == 2;
    let shown = names.iter().enumerate().map(|(place, name)| {
        let positive = if two && place == 1 { " (positive)" } else { "" };
        let count = counts.get(place).and_then(Value::as_u64);
        let count = count.map(|count| format!(" {}", thousands(count)));
        format!("{}{}{positive}", plain(name), count.unwrap_or_default())
    });
    shown.collect::<Vec<_>>().join(", ")
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn pairs(map: &Map<String, Value>) -> String {
    let pairs = map
        .iter()
        .map(|(key, value)| format!("{key} {}", plain(value)));
    pairs.collect::<Vec<_>>().join(", ")
}

/// Prints facts that are known, and then measures.
pub(super) fn print(output: &Output, facts: &[(&str, String)], measures: &[(String, f64)]) {
    let painter = output.out;
    let known = facts.iter().filter(|(_, value)| !value.trim().is_empty());
    let known: Vec<_> = known.collect();
    let width = known.iter().map(|(label, _)| label.len()).max();
    let width = width.unwrap_or_default();
    for (label, value) in known {
        let label = painter.paint(DIM, format_args!("{label:<width$}"));
        output.line(format_args!("{label}  {value}"));
    }
    if measures.is_empty() {
        return;
    }
    output.line("");
    let mut table = Table::new(["Measure", "Value"]);
    for (name, value) in measures {
        table.row([name.as_str().into(), Cell::right(number(*value))]);
    }
    output.print(table.render(painter));
}

/// A version as a JSON document.
pub(super) fn document(version: &ModelVersion) -> Value {
    json!({
        "name": version.name,
        "version": version.version,
        "aliases": version.aliases,
        "created": version.created,
        "run": version.run,
        "task": version.task,
        "artifact": version.artifact,
        "digest": version.digest,
        "bytes": version.bytes,
        "metrics": version.metrics,
        "card": version.card,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_told() {
        let card = json!({
            "estimator": "random_forest",
            "parameters": {"max_depth": 8, "criterion": "gini"},
            "rows": 100,
            "classes": {"type": "text", "values": ["no", "yes"]},
            "class_counts": [2000, 10],
            "metrics": [{"metric": "f1", "value": 0.5}, {"metric": "mcc", "value": null}],
        });
        let facts = of_card(&card);
        let of = |label: &str| {
            let found = facts.iter().find(|(name, _)| *name == label);
            found.map(|(_, value)| value.as_str()).unwrap()
        };
        assert_eq!(of("Estimator"), "random_forest");
        assert_eq!(of("Parameters"), "max_depth 8, criterion gini");
        assert_eq!((of("Rows"), of("Target")), ("100", ""));
        assert_eq!(of("Classes"), "no 2,000, yes 10 (positive)");
        assert_eq!(measures(&card), [("f1".to_owned(), 0.5)]);
        assert!(measures(&Value::Null).is_empty());
    }
}
