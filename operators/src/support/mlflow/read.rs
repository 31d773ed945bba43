//! Reads models from the project's MLflow server: versions that we have written, and those of `mlflow.onnx`.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use pipectl_connections::{Caller, Connector, Mlflow, MlflowModel};
use pipectl_engine::{
    artifact::sha256,
    model::{MlflowReference, MlflowVersion},
    operator::{RemoteModels, TaskContext, TaskError},
    project::Project,
    spec::{Found, SourceFile, yaml},
    store::StoreError,
    time::Clock,
};
use serde_json::Value;

use crate::support::{
    api::{unless_cancelled, with_caller},
    sensing::connector,
};

/// Says which version an alias of MLflow points to, for the engine, which pins it.
#[derive(Debug)]
pub struct MlflowModels(Arc<Connector>);

impl MlflowModels {
    /// One that asks over the connections of this process.
    pub fn new(connector: Arc<Connector>) -> Self {
        Self(connector)
    }
}

#[async_trait]
impl RemoteModels for MlflowModels {
    async fn version(
        &self,
        project: &Project,
        clock: &dyn Clock,
        reference: MlflowReference<'_>,
    ) -> Result<u32, TaskError> {
        // A run waits for this with all its tasks; an attempt that fails may be tried again.
        let server = server(&self.0, project).await?.impatient();
        let tell = |line: String| tracing::warn!("{line}");
        let caller = Caller { clock, tell: &tell };
        Ok(find(&server, reference, &caller).await?.version)
    }
}

/// The file of a version in MLflow: kept among our artifacts when it was fetched before.
pub(crate) async fn fetch(
    context: &TaskContext,
    reference: MlflowReference<'_>,
) -> Result<Bytes, TaskError> {
    let connector = connector(&context.services);
    let server = server(&connector, &context.project).await?;
    let work = with_caller(context, async |caller: &Caller<'_>| {
        let model = find(&server, reference, caller).await?;
        let key = cache_key(&server, &model);
        let content = match context.artifacts.get(&key).await {
            Ok(content) => content,
            Err(StoreError::NotFound(_)) => {
                let content = download(&server, &model, caller).await?;
                let kept = context.artifacts.put(&key, content.clone()).await;
                if let Err(error) = kept {
                    context.log.warn(format!(
                        "cannot keep the model `{reference}` for the next time: {error}"
                    ));
                }
                content
            }
            Err(error) => {
                let message = format!("cannot read the model `{reference}`");
                return Err(TaskError::external(message).because(error));
            }
        };
        check(&model, &content, reference)?;
        context.log.info(format!(
            "`{reference}` of MLflow at {}: SHA-256 {}",
            server.shown(),
            sha256(&content)
        ));
        Ok(content)
    });
    unless_cancelled(context, work).await
}

async fn server(connector: &Connector, project: &Project) -> Result<Mlflow, TaskError> {
    connector.mlflow(project).await?.ok_or_else(|| {
        TaskError::user("a model of MLflow is named, but no server is configured")
            .hint("set `mlflow: https://…` in pipectl.yaml, or PIPECTL_MLFLOW in the environment")
    })
}

async fn find(
    server: &Mlflow,
    reference: MlflowReference<'_>,
    caller: &Caller<'_>,
) -> Result<MlflowModel, TaskError> {
    let found = match reference.version {
        MlflowVersion::Number(number) => server.model(reference.name, number, caller).await?,
        MlflowVersion::Alias(alias) => server.aliased(reference.name, alias, caller).await?,
    };
    found.ok_or_else(|| {
        TaskError::user(format!(
            "there is no model `{reference}` in MLflow at {}",
            server.shown()
        ))
        .hint("write `mlflow://name@alias` or `mlflow://name/7`; its page \"Models\" lists them")
    })
}

/// The key under which a version's file is kept. A server that was made anew may give the same number to another model.
fn cache_key(server: &Mlflow, model: &MlflowModel) -> String {
    let version = format!(
        "{}\n{}\n{}\n{}\n{}",
        server.shown(),
        model.name,
        model.version,
        model.source,
        model.created
    );
    format!("models/mlflow/{}.onnx", sha256(version.as_bytes()))
}

async fn download(
    server: &Mlflow,
    model: &MlflowModel,
    caller: &Caller<'_>,
) -> Result<Bytes, TaskError> {
    let description = server.model_file(model, "MLmodel", caller).await?;
    let file = onnx_file(&String::from_utf8_lossy(&description)).map_err(|what| {
        TaskError::user(format!(
            "the model `mlflow://{}/{}` is not in the format ONNX: {what}",
            model.name, model.version
        ))
        .hint("log it with `mlflow.onnx.log_model`: pickles are not opened here")
    })?;
    server.model_file(model, &file, caller).await
}

/// The `.onnx` file that an `MLmodel` names, or what it holds instead.
fn onnx_file(description: &str) -> Result<String, String> {
    let source = SourceFile::new("MLmodel", description);
    let mut found = Found::new("MLmodel".into());
    let description = yaml::parse(&source, &mut found).ok_or("its `MLmodel` cannot be read")?;
    let description = description.to_json();
    let flavors = description.get("flavors").and_then(Value::as_object);
    let flavors = flavors.ok_or("its `MLmodel` has no `flavors`")?;
    let Some(onnx) = flavors.get("onnx") else {
        let names: Vec<String> = flavors.keys().map(|name| format!("`{name}`")).collect();
        return Err(format!("it has {}", names.join(", ")));
    };
    let file = onnx.get("data").and_then(Value::as_str);
    let file = file.unwrap_or("model.onnx");
    if file.split(['/', '\\']).any(|part| part == "..") || file.starts_with('/') {
        return Err(format!("its file would be `{file}`"));
    }
    Ok(file.to_owned())
}

/// What we have written ourselves says what it must be.
fn check(
    model: &MlflowModel,
    content: &[u8],
    reference: MlflowReference<'_>,
) -> Result<(), TaskError> {
    match model.tag("pipectl_digest") {
        Some(digest) if digest != sha256(content) => {
            let message =
                format!("the file of the model `{reference}` is not the one that was registered");
            Err(TaskError::external(message).retryable(false))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use pipectl_engine::operator::{Fault, testing::TestProject};

    use super::*;

    #[test]
    fn the_file_of_a_model_is_found() {
        for (description, expected) in [
            (
                "flavors:\n  onnx:\n    data: graph.onnx\n  python_function:\n    data: graph.onnx\nutc_time_created: '2026-11-30 04:07:28.283134'\n",
                Ok("graph.onnx"),
            ),
            ("flavors: {onnx: {code: null}}", Ok("model.onnx")),
            (
                "flavors: {python_function: {}, sklearn: {}}",
                Err("it has `python_function`, `sklearn`"),
            ),
            (
                "flavors: {onnx: {data: ../../secret}}",
                Err("its file would be `../../secret`"),
            ),
            ("name: x", Err("its `MLmodel` has no `flavors`")),
            ("{", Err("its `MLmodel` cannot be read")),
        ] {
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(onnx_file(description), expected, "{description}");
        }
    }

    #[tokio::test]
    async fn without_a_server_there_is_no_model() {
        let project = TestProject::new();
        let reference = MlflowReference {
            name: "churn",
            version: MlflowVersion::Number(1),
        };
        let error = fetch(&project.context(), reference).await.err().unwrap();
        assert_eq!(
            (error.fault, error.message.as_str()),
            (
                Fault::User,
                "a model of MLflow is named, but no server is configured"
            )
        );
    }
}
