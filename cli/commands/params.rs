//! Parameters from the command line: text becomes what the pipeline's parameter is.

use pipectl_engine::{
    plan::{ParamSpec, ParamType, Plan, PlanError},
    spec::suggest,
};
use serde_json::{Map, Value};

use crate::exit::Problem;

/// All parameters of a run: what was given as `name=value`, and the defaults of the others.
pub(super) fn complete(plan: &Plan, given: &[String]) -> Result<Map<String, Value>, Problem> {
    let mut values = Map::new();
    for text in given {
        let (name, value) = text.split_once('=').ok_or_else(|| {
            Problem::usage(format!("`--param {text}` has no value"))
                .hint("write `--param name=value`")
        })?;
        let spec = plan.params.get(name).ok_or_else(|| unknown(plan, name))?;
        values.insert(name.to_owned(), typed(name, value, spec)?);
    }
    plan.params(&values).map_err(|error| {
        let hint = match &error {
            PlanError::MissingParam { name, .. } => format!("add `--param {name}=…`"),
            _ => list(plan),
        };
        Problem::usage(error.to_string()).hint(hint)
    })
}

fn unknown(plan: &Plan, name: &str) -> Problem {
    let hint = suggest::similar(name, plan.params.keys().map(String::as_str))
        .map_or_else(|| list(plan), |name| format!("did you mean `{name}`?"));
    Problem::usage(format!("`{}` has no parameter `{name}`", plan.name)).hint(hint)
}

fn list(plan: &Plan) -> String {
    if plan.params.is_empty() {
        return "it takes none".to_owned();
    }
    let names: Vec<&str> = plan.params.keys().map(String::as_str).collect();
    format!("it takes {}", names.join(", "))
}

/// `value` as the parameter's type.
fn typed(name: &str, value: &str, spec: &ParamSpec) -> Result<Value, Problem> {
    let wrong =
        |expected: &str| Problem::usage(format!("`{name}` must be {expected}, not `{value}`"));
    let json = |expected: &str, fits: fn(&Value) -> bool| {
        serde_json::from_str::<Value>(value)
            .ok()
            .filter(fits)
            .ok_or_else(|| wrong(expected))
    };
    match spec.of {
        ParamType::String => Ok(Value::String(value.to_owned())),
        ParamType::Integer => json("a whole number", |value| value.is_i64() || value.is_u64()),
        ParamType::Number => json("a number", Value::is_number),
        ParamType::Boolean => json("`true` or `false`", Value::is_boolean),
        ParamType::Array => json("a list, as in `[1, 2]`", Value::is_array),
        ParamType::Object => json("a map, as in `{\"a\": 1}`", Value::is_object),
    }
}

#[cfg(test)]
mod tests {
    use pipectl_engine::spec::Place;

    use super::*;

    fn spec(of: ParamType) -> ParamSpec {
        ParamSpec {
            of,
            default: None,
            description: None,
            choices: None,
            place: Place::start_of("a.yaml".into()),
        }
    }

    #[test]
    fn text_becomes_the_parameters_type() {
        use serde_json::json;
        for (of, text, value) in [
            (ParamType::String, "7", json!("7")),
            (ParamType::String, "a=b", json!("a=b")),
            (ParamType::Integer, "7", json!(7)),
            (ParamType::Number, "0.5", json!(0.5)),
            (ParamType::Boolean, "true", json!(true)),
            (ParamType::Array, "[1, \"a\"]", json!([1, "a"])),
            (ParamType::Object, "{\"a\": 1}", json!({"a": 1})),
        ] {
            assert_eq!(typed("p", text, &spec(of)).unwrap(), value);
        }
        for (of, text) in [
            (ParamType::Integer, "7.5"),
            (ParamType::Number, "many"),
            (ParamType::Boolean, "yes"),
            (ParamType::Array, "1,2"),
            (ParamType::Object, "[]"),
        ] {
            assert!(typed("p", text, &spec(of)).is_err(), "{text}");
        }
    }
}
