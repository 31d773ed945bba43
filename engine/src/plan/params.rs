//! The parameters of a run.

use serde_json::{Map, Value};

use super::{ParamSpec, Plan, PlanError, type_name};
use crate::spec::suggest;

impl Plan {
    /// All parameters of a run: those given, and the defaults of the others.
    ///
    /// # Errors
    /// When one is unknown, missing, of the wrong type or not one of its choices.
    pub fn params(&self, given: &Map<String, Value>) -> Result<Map<String, Value>, PlanError> {
        if let Some(name) = given.keys().find(|name| !self.params.contains_key(*name)) {
            return Err(PlanError::UnknownParam {
                pipeline: self.name.to_string(),
                name: name.clone(),
                similar: suggest::similar(name, self.params.keys().map(String::as_str))
                    .map(ToOwned::to_owned),
            });
        }
        self.params
            .iter()
            .map(|(name, spec)| Ok((name.clone(), self.param(name, spec, given.get(name))?)))
            .collect()
    }

    fn param(
        &self,
        name: &str,
        spec: &ParamSpec,
        given: Option<&Value>,
    ) -> Result<Value, PlanError> {
        let Some(value) = given else {
            return spec.default.clone().ok_or_else(|| PlanError::MissingParam {
                pipeline: self.name.to_string(),
                name: name.to_owned(),
            });
        };
        let wrong = |expected: String, found: String| PlanError::WrongParam {
            pipeline: self.name.to_string(),
            name: name.to_owned(),
            expected,
            found,
        };
        let nothing = value.is_null() && spec.default.as_ref().is_some_and(Value::is_null);
        if !nothing && !spec.of.accepts(value) {
            return Err(wrong(
                spec.of.phrase().to_owned(),
                type_name(value).to_owned(),
            ));
        }
        match &spec.choices {
            Some(choices) if !choices.contains(value) => {
                let choices: Vec<String> = choices.iter().map(ToString::to_string).collect();
                Err(wrong(
                    format!("one of {}", choices.join(", ")),
                    value.to_string(),
                ))
            }
            _ => Ok(value.clone()),
        }
    }
}
