//! Writes what a `train` task puts out to the project's MLflow server: run, parameters, measures, the model, its alias.

use std::{collections::BTreeMap, path::Path};

use bytes::Bytes;
use pipectl_connections::{Caller, Mlflow, MlflowModel, MlflowRun, RunFacts};
use pipectl_engine::{
    artifact::sha256,
    model::CHAMPION,
    operator::{Artifact, Output, Promote, TaskContext, TaskError},
    store::{Contender, Verdict, promotion},
};
use pipectl_models::onnx::inspect;
use serde_json::{Map, Value, json};

use crate::support::{
    api::{unless_cancelled, with_caller},
    sensing::connector,
};

/// The directory of the model within the run.
const DIRECTORY: &str = "model";
/// What Python needs to load the model.
const REQUIREMENTS: &str = "mlflow\nonnx\nonnxruntime\n";
/// What of a model's card is a parameter; its `parameters` and `features` are, too.
const SCALARS: [&str; 9] = [
    "estimator",
    "target",
    "positive",
    "metric",
    "threshold",
    "folds",
    "rows",
    "seed",
    "pipectl",
];

/// The tag that says which question a model answers: models with other ones are not compared.
const QUESTION: &str = "pipectl_question";

/// What there is to write.
struct Trained {
    content: Bytes,
    digest: String,
    card: Value,
    metrics: BTreeMap<String, f64>,
    /// The registered name, and when a version becomes champion.
    registered: Option<(String, Promote)>,
}

impl Trained {
    fn of(output: &Output) -> Option<Self> {
        let (content, card, registered) = if let Some(model) = &output.model {
            let registered = (model.name.clone(), model.promote.clone());
            (model.content.clone(), model.card.clone(), Some(registered))
        } else {
            let is_model = |file: &&Artifact| {
                let extension = Path::new(&file.name).extension();
                extension.is_some_and(|extension| extension == "onnx")
            };
            let file = output.artifacts.iter().find(is_model)?;
            let card = inspect(&file.content).ok().and_then(|found| found.card);
            (file.content.clone(), card.unwrap_or_default(), None)
        };
        Some(Self {
            digest: sha256(&content),
            content,
            card,
            metrics: output.metrics.clone(),
            registered,
        })
    }
}

/// Writes what a `train` task puts out to the project's MLflow server too, when it has one. A server that is away is a
/// warning: the model is ours all the same.
pub(crate) async fn track(context: &TaskContext, output: &mut Output) {
    if let Err(error) = written(context, output).await {
        output.warnings.push(format!(
            "the model is not in MLflow: {}",
            error.full_message()
        ));
    }
}

async fn written(context: &TaskContext, output: &Output) -> Result<(), TaskError> {
    let connector = connector(&context.services);
    let Some(server) = connector.mlflow(&context.project).await? else {
        return Ok(());
    };
    let Some(trained) = Trained::of(output) else {
        return Ok(());
    };
    let work = with_caller(context, async |caller: &Caller<'_>| {
        write(context, &server, &trained, caller).await
    });
    unless_cancelled(context, work).await
}

async fn write(
    context: &TaskContext,
    server: &Mlflow,
    trained: &Trained,
    caller: &Caller<'_>,
) -> Result<(), TaskError> {
    let pipeline = &*context.run.pipeline;
    let experiment = server.experiment(pipeline, caller).await?;
    let name = format!("{pipeline}/{}", context.task.key);
    let now = context.clock.now();
    let run = server
        .run(&experiment, &name, &identity(context), now, caller)
        .await?;
    let facts = RunFacts {
        params: params(&trained.card),
        metrics: trained.metrics.clone(),
        tags: tags(context, trained),
    };
    server.log(&run, &facts, now, caller).await?;
    for (file, content) in [
        ("model.onnx", trained.content.clone()),
        ("MLmodel", description(&run).into()),
        ("requirements.txt", REQUIREMENTS.into()),
    ] {
        let path = format!("{DIRECTORY}/{file}");
        server.put_file(&run, &path, content, caller).await?;
    }
    if let Some((name, promote)) = &trained.registered {
        let digest = [("pipectl_digest", trained.digest.clone())];
        let version = server
            .register(name, &run, DIRECTORY, &digest, caller)
            .await?;
        promote_there(server, &version, promote, trained, caller).await?;
        context.log.info(format!(
            "in MLflow at {}: {name}/{} (run {})",
            server.shown(),
            version.version,
            run.id
        ));
    } else {
        context
            .log
            .info(format!("in MLflow at {}: run {}", server.shown(), run.id));
    }
    server.finish(&run, context.clock.now(), caller).await
}

/// The server's own champion is compared by the same rule: what it knows of other versions we need not know.
async fn promote_there(
    server: &Mlflow,
    version: &MlflowModel,
    promote: &Promote,
    trained: &Trained,
    caller: &Caller<'_>,
) -> Result<(), TaskError> {
    let champion = server.aliased(&version.name, CHAMPION, caller).await?;
    let champion = match &champion {
        Some(champion) if champion.version == version.version => return Ok(()),
        Some(MlflowModel { run: Some(run), .. }) => Some(server.facts(run, caller).await?),
        Some(_) => Some(RunFacts::default()),
        None => None,
    };
    let question = |champion: &RunFacts| {
        let tag = champion.tags.iter().find(|(key, _)| key == QUESTION);
        let card = tag.and_then(|(_, text)| serde_json::from_str(text).ok());
        card.unwrap_or(Value::Null)
    };
    let card = champion.as_ref().map_or(Value::Null, question);
    let new = Contender {
        metrics: &trained.metrics,
        card: &trained.card,
    };
    let champion = champion.as_ref().map(|champion| Contender {
        metrics: &champion.metrics,
        card: &card,
    });
    if let Verdict::Champion(_) = promotion(promote, new, champion) {
        server.set_alias(version, CHAMPION, caller).await?;
    }
    Ok(())
}

/// The tags by which a run is found again: a retry writes into the same one, and only a run that a person has had done
/// again on purpose gets another.
fn identity(context: &TaskContext) -> [(&'static str, String); 3] {
    [
        ("pipectl_run", context.run.id.to_string()),
        ("pipectl_task", context.task.key.to_string()),
        ("pipectl_redo", context.run.redo.to_string()),
    ]
}

fn tags(context: &TaskContext, trained: &Trained) -> Vec<(String, String)> {
    let pipeline = context.run.pipeline.to_string();
    let mut tags = vec![
        ("mlflow.source.name", pipeline.clone()),
        ("mlflow.source.type", "JOB".to_owned()),
        ("pipectl_pipeline", pipeline),
        ("pipectl_version", context.run.version.to_string()),
        ("pipectl_digest", trained.digest.clone()),
    ];
    let question = ["goal", "target", "classes"].map(|key| (key, trained.card.get(key)));
    let question: Map<String, Value> = question
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?.clone())))
        .collect();
    tags.push((QUESTION, Value::Object(question).to_string()));
    if let Some(fingerprint) = trained.card.get("fingerprint").and_then(Value::as_str) {
        tags.push(("pipectl_fingerprint", fingerprint.to_owned()));
    }
    if !context.feature_views.is_empty() {
        let views = json!(context.feature_views).to_string();
        tags.push(("pipectl_feature_views", views));
    }
    let tags = tags.into_iter();
    tags.map(|(key, value)| (key.to_owned(), value)).collect()
}

/// How a model was trained, as its card tells.
fn params(card: &Value) -> Vec<(String, String)> {
    let plain = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let none = Map::new();
    let below = |key: &str| card.get(key).and_then(Value::as_object).unwrap_or(&none);
    let scalars = SCALARS.iter().filter_map(|key| {
        let value = card.get(key).filter(|value| !value.is_null())?;
        (!value.is_object() && !value.is_array()).then(|| ((*key).to_owned(), plain(value)))
    });
    let parameters = below("parameters");
    let parameters = parameters.iter().map(|(key, value)| {
        // A parameter that is called like one of ours.
        let key = if SCALARS.contains(&key.as_str()) {
            format!("parameters.{key}")
        } else {
            key.clone()
        };
        (key, plain(value))
    });
    let features = below("features");
    let features = features
        .iter()
        .map(|(key, value)| (format!("feature.{key}"), plain(value)));
    scalars.chain(parameters).chain(features).collect()
}

/// The file `MLmodel`, by which MLflow and its Python package know what the directory holds.
fn description(run: &MlflowRun) -> String {
    format!(
        "artifact_path: {DIRECTORY}
flavors:
  onnx:
    code: null
    data: model.onnx
    onnx_session_options: null
    onnx_version: 1.17.0
    providers:
    - CPUExecutionProvider
  python_function:
    data: model.onnx
    loader_module: mlflow.onnx
    python_version: 3.11.0
run_id: {}
",
        run.id
    )
}

#[cfg(test)]
mod tests {
    use pipectl_engine::operator::testing::TestProject;

    use super::*;

    #[test]
    fn a_card_becomes_parameters() {
        let card = json!({
            "estimator": "random_forest",
            "target": "Churn",
            "parameters": {"max_depth": 8, "criterion": "gini", "seed": 3},
            "features": {"ratio": "a / b"},
            "threshold": 0.5,
            "classes": ["No", "Yes"],
            "positive": null,
        });
        let expected = [
            ("estimator", "random_forest"),
            ("target", "Churn"),
            ("threshold", "0.5"),
            ("max_depth", "8"),
            ("criterion", "gini"),
            ("parameters.seed", "3"),
            ("feature.ratio", "a / b"),
        ];
        let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(params(&card), expected);
        assert!(params(&Value::Null).is_empty());
    }

    #[tokio::test]
    async fn without_a_server_nothing_is_written_and_nothing_said() {
        let project = TestProject::new();
        let mut output = Output::default();
        track(&project.context(), &mut output).await;
        assert!(output.warnings.is_empty());
    }
}
