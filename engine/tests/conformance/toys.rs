//! Operators that do nothing, with settings of every kind.

#![allow(dead_code, reason = "the settings are read by nobody")]

use std::collections::BTreeMap;

use pipectl_engine::operator::{
    Complaints, ConnectionName, DurationText, DynOperator, Kind, ModelRef, Operator, Outcome,
    Output, Outputs, Registry, Script, SizeText, SqlText, Takes, TaskContext, TaskError, ValueType,
};
use schemars::JsonSchema;
use serde::Deserialize;

macro_rules! toy {
    ($name:ident, $kind:ident, $word:literal, $takes:expr, $config:ty, $outputs:expr) => {
        toy!(
            $name,
            $kind,
            $word,
            $takes,
            $config,
            $outputs,
            |_: &$config, _: &mut Complaints| {}
        );
    };
    ($name:ident, $kind:ident, $word:literal, $takes:expr, $config:ty, $outputs:expr, $check:expr) => {
        struct $name;

        impl Operator for $name {
            type Config = $config;
            const KIND: Kind = Kind::$kind;
            const NAME: &'static str = $word;
            const SUMMARY: &'static str = "A toy.";
            const TAKES: Takes = $takes;

            fn outputs(config: &Self::Config) -> Outputs {
                let outputs: fn(&$config) -> Outputs = $outputs;
                outputs(config)
            }

            fn check(config: &Self::Config, found: &mut Complaints) {
                let check: fn(&$config, &mut Complaints) = $check;
                check(config, found);
            }

            async fn run(_: Self::Config, _: &TaskContext) -> Result<Outcome, TaskError> {
                Ok(Outcome::Done(Output::default()))
            }
        }
    };
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct File {
    path: String,
    #[serde(default)]
    poll: Option<DurationText>,
    #[serde(default)]
    least: Option<SizeText>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Csv {
    /// Where it is.
    path: String,
    #[serde(default)]
    null_values: Vec<String>,
    #[serde(default)]
    header: Option<bool>,
    #[serde(default)]
    separator: Option<char>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Query {
    query: SqlText,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Column {
    #[serde(default)]
    unique: bool,
    #[serde(default)]
    not_null: bool,
    #[serde(default)]
    between: Option<(f64, f64)>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Rows {
    #[serde(default)]
    min: Option<u64>,
    #[serde(default)]
    max: Option<u64>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Expectations {
    #[serde(default)]
    columns: BTreeMap<String, Column>,
    #[serde(default)]
    rows: Option<Rows>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Validation {
    #[serde(default)]
    #[schemars(range(min = 2, max = 50))]
    folds: Option<u32>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Metric {
    /// The harmonic mean of precision and recall.
    F1,
    /// The area under the curve.
    Auc,
    Accuracy,
}

#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum Grid {
    One(f64),
    Many(Vec<f64>),
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Train {
    target: String,
    #[serde(default)]
    exclude: Vec<String>,
    #[serde(default)]
    features: BTreeMap<String, String>,
    candidates: BTreeMap<String, BTreeMap<String, Grid>>,
    #[serde(default)]
    validation: Option<Validation>,
    #[serde(default)]
    metric: Option<Metric>,
    #[serde(default)]
    register: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Predict {
    model: ModelRef,
    #[serde(default)]
    #[schemars(range(min = 0, max = 1))]
    threshold: Option<f64>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[derive(PartialEq)]
enum Mode {
    Append,
    Replace,
    Upsert,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Load {
    connection: ConnectionName,
    table: String,
    mode: Mode,
    #[serde(default)]
    key: Vec<String>,
    #[serde(default)]
    create: bool,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Path {
    path: String,
    #[serde(default)]
    exclude: Vec<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Shell {
    #[serde(default)]
    script: Option<Script>,
    #[serde(default)]
    env: BTreeMap<String, String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ModelReport {
    model: ModelRef,
    path: String,
}

toy!(Noop, Run, "noop", Takes::Any, Nothing, |_| Outputs::none());
toy!(Sensor, Sensor, "file", Takes::Nothing, File, |_| {
    Outputs::none()
        .value("file", ValueType::String, "the file")
        .value("size", ValueType::Integer, "its bytes")
});
toy!(ExtractCsv, Extract, "csv", Takes::Nothing, Csv, |_| {
    Outputs::table()
});
toy!(TransformSql, Transform, "sql", Takes::Many, Query, |_| {
    Outputs::table()
});
toy!(Split, Transform, "split", Takes::One, Nothing, |_| {
    Outputs::tables(["train", "test"])
});
toy!(
    Check,
    Check,
    "expectations",
    Takes::One,
    Expectations,
    |_| Outputs::table()
);
toy!(Classifier, Train, "classifier", Takes::One, Train, |_| {
    Outputs::tables(["out_of_fold"]).value("model", ValueType::String, "the model")
});
toy!(PredictModel, Predict, "model", Takes::One, Predict, |_| {
    Outputs::table()
});
toy!(
    LoadSql,
    Load,
    "sql",
    Takes::One,
    Load,
    |_| Outputs::none(),
    |config, found| {
        if config.mode == Mode::Upsert && config.key.is_empty() {
            found
                .error(&["mode"], "`upsert` needs a `key`")
                .hint("`key: [id]`");
        }
    }
);
toy!(LoadCsv, Load, "csv", Takes::One, Path, |_| Outputs::none());
toy!(
    Report,
    Report,
    "model",
    Takes::Optional,
    ModelReport,
    |_| Outputs::none()
);
toy!(
    Drift,
    Report,
    "drift",
    Takes::Named(&["reference", "current"]),
    Path,
    |_| Outputs::none()
);
toy!(
    Performance,
    Report,
    "performance",
    Takes::NamedAnd {
        needed: &["predictions", "actuals"],
        optional: &["reference"],
    },
    Path,
    |_| Outputs::none()
);
toy!(RunShell, Run, "shell", Takes::Any, Shell, |_| {
    Outputs::table()
});

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Http {
    url: String,
    #[serde(default)]
    path: serde_json::Value,
    #[serde(default)]
    body: serde_json::Value,
}

/// Works row by row.
struct RunHttp;

impl Operator for RunHttp {
    type Config = Http;
    const KIND: Kind = Kind::Run;
    const NAME: &'static str = "http";
    const SUMMARY: &'static str = "A toy.";
    const TAKES: Takes = Takes::Optional;
    const ROW_SETTINGS: &'static [&'static str] = &["path", "body"];

    fn outputs(_: &Http) -> Outputs {
        Outputs::table()
    }

    async fn run(_: Http, _: &TaskContext) -> Result<Outcome, TaskError> {
        Ok(Outcome::Done(Output::default()))
    }
}

/// All of them.
pub(crate) fn registry() -> Registry {
    const TOYS: [&dyn DynOperator; 15] = [
        &Noop,
        &Sensor,
        &ExtractCsv,
        &TransformSql,
        &Split,
        &Check,
        &Classifier,
        &PredictModel,
        &LoadSql,
        &LoadCsv,
        &Report,
        &Drift,
        &Performance,
        &RunShell,
        &RunHttp,
    ];
    Registry::new(TOYS)
}
