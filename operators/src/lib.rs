//! The operators, one folder a kind, one file an operator.
//!
//! A newcomer adds one in one file plus two adjacent lines in its folder's `mod.rs`, and its example
//! `examples/<kind>_<name>.yaml`.

mod check;
mod examples;
mod external;
mod extract;
mod inference;
mod isolated;
mod load;
mod online;
mod predict;
mod report;
mod run;
mod sensor;
mod stored;
mod support;
mod train;
mod transform;

use pipectl_engine::operator::Registry;

pub use examples::example;
pub use external::{Description, Finding, Plugins, describe, inspect, parse as parse_program};
pub use inference::rooms;
pub use isolated::{ChildHouse, ChildProject, ProcessIsolation, child};
pub use online::{OnlineRow, online_features};
pub use stored::{file_rows, model_file};
pub use support::{
    mlflow::MlflowModels,
    process::{Shim, shim},
    watch::FileWatcher,
};

/// All operators that the binary brings.
///
/// From then on what polars has to warn of goes to the program's log; else it would print it between our own lines.
pub fn all() -> Registry {
    polars::error::set_warning_function(|text, _| tracing::debug!("polars: {text}"));
    let kinds = [
        sensor::OPERATORS,
        extract::OPERATORS,
        transform::OPERATORS,
        check::OPERATORS,
        train::OPERATORS,
        predict::OPERATORS,
        load::OPERATORS,
        report::OPERATORS,
        run::OPERATORS,
    ];
    Registry::new(kinds.into_iter().flatten().copied())
}

#[cfg(test)]
mod tests {
    use pipectl_engine::plan::sample_settings;
    use serde_json::Value;

    use super::*;

    #[test]
    fn every_operator_has_an_example_of_its_name() {
        for operator in all().iter() {
            let (kind, name) = (operator.kind(), operator.name());
            let text = example(kind, name).unwrap_or_else(|| panic!("{kind}: {name}: no example"));
            assert!(text.starts_with("# "), "{kind}: {name}: say what it shows");
            for line in [
                format!("name: {kind}_{name}"),
                format!("    {kind}: {name}"),
            ] {
                assert!(
                    text.lines().any(|found| found == line),
                    "{kind}: {name}: {line}"
                );
            }
        }
    }

    #[test]
    fn what_is_left_out_has_a_default_that_the_reference_shows() {
        let mut untold = Vec::new();
        for operator in all().iter() {
            let schema = operator.schema();
            let required = schema.get("required").and_then(|names| names.as_array());
            let properties = schema
                .get("properties")
                .and_then(|properties| properties.as_object());
            for (name, property) in properties.into_iter().flatten() {
                let shapes = property["anyOf"].as_array().into_iter().flatten();
                let types: Vec<&str> = [property]
                    .into_iter()
                    .chain(shapes)
                    .flat_map(|shape| match &shape["type"] {
                        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
                        of => Vec::from_iter(of.as_str()),
                    })
                    .collect();
                // That a list or a map is empty goes without saying, and that what may be anything may be nothing.
                let empty = ["null", "array", "object"]
                    .iter()
                    .any(|of| types.contains(of))
                    || types.is_empty() && property.get("$ref").is_none();
                let needed = required.is_some_and(|names| names.contains(&name.as_str().into()));
                let told = property.get("default").is_some();
                if !(told || needed || empty) {
                    untold.push(format!("{operator:?}: {name}"));
                }
            }
        }
        assert_eq!(untold, Vec::<String>::new());
    }

    #[test]
    fn every_operator_tells_its_outputs_before_it_is_used() {
        for operator in all().iter() {
            let settings = sample_settings(&operator.schema());
            let config = operator
                .parse(&settings)
                .unwrap_or_else(|error| panic!("{operator:?}: {settings}: {error}"));
            for value in operator.outputs(&config).values {
                assert!(
                    !value.description.is_empty(),
                    "{operator:?}: {}",
                    value.name
                );
            }
        }
    }

    #[test]
    fn every_setting_is_described() {
        for operator in all().iter() {
            let schema = operator.schema();
            assert_eq!(
                schema.get("additionalProperties"),
                Some(&false.into()),
                "{operator:?}"
            );
            let properties = schema
                .get("properties")
                .and_then(|properties| properties.as_object());
            for (name, property) in properties.into_iter().flatten() {
                assert!(
                    property.get("description").is_some(),
                    "{operator:?}: {name}"
                );
            }
        }
    }
}
