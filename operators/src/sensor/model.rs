//! `sensor: model`: waits for a registered model, holding no slot.

use std::collections::BTreeMap;

use pipectl_engine::{
    model::{ModelVersion, Reference},
    operator::{
        Complaints, Kind, Operator, Outcome, Output, Outputs, Takes, TaskContext, TaskError,
        ValueType, Wait,
    },
};
use schemars::JsonSchema;
use serde::Deserialize;

/// `sensor: model`.
pub(crate) struct Model;

/// Which model.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [{"model": "churn"}]))]
pub(crate) struct Config {
    /// The registered model: `churn` (it has a champion), `churn@challenger` (that alias points somewhere), or `churn:7`
    /// (there is that version).
    model: String,
    /// What a version must be worth: measures, each with the least that it must reach, as in `{f1: 0.7}`.
    #[serde(default)]
    at_least: BTreeMap<String, f64>,
}

impl Config {
    /// The model, which has to be one of the registry.
    fn reference(&self) -> Result<Reference<'_>, (String, &'static str)> {
        match Reference::parse(&self.model) {
            Ok(reference @ (Reference::Alias { .. } | Reference::Version { .. })) => Ok(reference),
            Ok(_) => Err((
                format!("`{}` is no registered model", self.model),
                "write `churn`, `churn@challenger` or `churn:7`; `sensor: file` waits for a file",
            )),
            Err(error) => Err((error.message, error.hint)),
        }
    }

    /// Whether a version is good enough.
    fn takes(&self, version: &ModelVersion) -> bool {
        self.at_least.iter().all(|(measure, least)| {
            let value = version.metrics.get(measure);
            value.is_some_and(|value| value >= least)
        })
    }
}

impl Operator for Model {
    type Config = Config;
    const KIND: Kind = Kind::Sensor;
    const NAME: &'static str = "model";
    const SUMMARY: &'static str = "Waits for a registered model.";
    const TAKES: Takes = Takes::Nothing;

    fn outputs(_: &Config) -> Outputs {
        Outputs::none()
            .value(
                "model",
                ValueType::String,
                "the version that is there, for `predict` and `report`",
            )
            .value("version", ValueType::Integer, "its number")
            .value("digest", ValueType::String, "SHA-256 of its file")
    }

    fn check(config: &Config, found: &mut Complaints) {
        if let Err((message, hint)) = config.reference() {
            found.error(&["model"], message).hint(hint);
        }
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        let reference = config
            .reference()
            .map_err(|(message, hint)| TaskError::user(message).hint(hint))?;
        let found = match reference {
            Reference::Version { name, version } => context.models.model(name, version).await,
            Reference::Alias { name, alias } => context.models.aliased(name, alias).await,
            _ => Ok(None),
        };
        let found = found.map_err(|error| {
            TaskError::external("cannot read the model registry").because(error)
        })?;
        let Some(version) = found.filter(|version| config.takes(version)) else {
            return Ok(Outcome::Wait(Wait::Model(config.model)));
        };
        let output = Output {
            metrics: version.metrics,
            ..Output::default()
        };
        Ok(Outcome::Done(
            output
                .value("model", format!("{}:{}", version.name, version.version))
                .value("version", version.version)
                .value("digest", version.digest),
        ))
    }
}

#[cfg(test)]
mod tests {
    use pipectl_engine::{
        model::ImportedModel,
        operator::testing::{TestProject, complaints, run_in},
    };
    use serde_json::{Value, json};

    use super::*;

    async fn registered(context: &TaskContext, f1: f64) {
        let model = ImportedModel {
            name: "churn".to_owned(),
            artifact: "models/churn/a.onnx".to_owned(),
            digest: "abc".to_owned(),
            bytes: 3,
            metrics: BTreeMap::from([("f1".to_owned(), f1)]),
            card: json!({}),
            created: context.clock.now(),
        };
        context.models.import_model(&model).await.unwrap();
    }

    async fn waits(context: &TaskContext, settings: Value) -> bool {
        let config = serde_json::from_value(settings).unwrap();
        match Model::run(config, context).await.unwrap() {
            Outcome::Wait(Wait::Model(_)) => true,
            Outcome::Done(_) => false,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn it_waits_until_the_model_is_there() {
        let project = TestProject::new();
        let context = project.context();
        for model in ["churn", "churn:1", "churn@challenger"] {
            assert!(waits(&context, json!({"model": model})).await, "{model}");
        }
        registered(&context, 0.6).await;
        assert!(waits(&context, json!({"model": "churn@challenger"})).await);
        assert!(waits(&context, json!({"model": "churn:2"})).await);
        assert!(waits(&context, json!({"model": "churn", "at_least": {"f1": 0.7}})).await);
        assert!(
            waits(
                &context,
                json!({"model": "churn", "at_least": {"recall": 0.1}})
            )
            .await
        );
        let settings = json!({"model": "churn", "at_least": {"f1": 0.6}});
        let output = run_in::<Model>(&context, settings).await.unwrap();
        assert_eq!(
            (
                &output.values["model"],
                &output.values["version"],
                &output.values["digest"]
            ),
            (&json!("churn:1"), &json!(1), &json!("abc"))
        );
    }

    #[test]
    fn only_registered_models_are_waited_for() {
        for (model, complaint) in [
            ("zoo:churn", "model: `zoo:churn` is no registered model"),
            ("a.onnx", "model: `a.onnx` is no registered model"),
            ("churn:x", "model: `churn:x` names no version of a model"),
        ] {
            assert_eq!(complaints::<Model>(json!({"model": model})), [complaint]);
        }
        assert!(complaints::<Model>(json!({"model": "churn"})).is_empty());
    }
}
