//! The operators, one folder a kind, one file an operator.
//!
//! A newcomer adds one in one file plus two adjacent lines in its folder's `mod.rs`, and its example
//! `examples/<kind>_<name>.yaml`.

mod check;
mod external;
mod extract;
mod isolated;
mod load;
mod predict;
mod report;
mod run;
mod sensor;
mod support;
mod train;
mod transform;

use pipectl_engine::operator::Registry;

pub use external::{Description, Finding, Plugins, describe, inspect, parse as parse_program};
pub use isolated::{ChildHouse, ChildProject, ProcessIsolation, child};
pub use support::{
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
    use std::path::Path;

    use super::*;

    #[test]
    fn every_operator_has_an_example_of_its_name() {
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
        for operator in all().iter() {
            let (kind, name) = (operator.kind(), operator.name());
            let path = examples.join(format!("{kind}_{name}.yaml"));
            let text = std::fs::read_to_string(&path)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert!(
                text.starts_with("# "),
                "{}: say what it shows",
                path.display()
            );
            for line in [
                format!("name: {kind}_{name}"),
                format!("    {kind}: {name}"),
            ] {
                assert!(
                    text.lines().any(|found| found == line),
                    "{}: {line}",
                    path.display()
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
