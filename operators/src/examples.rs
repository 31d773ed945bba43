//! The examples of the operators, in the binary, so that they can be read where the repository is not.

use pipectl_engine::operator::Kind;

macro_rules! examples {
    ($($name:literal)*) => {
        &[$(($name, include_str!(concat!("../../examples/", $name, ".yaml")))),*]
    };
}

const EXAMPLES: &[(&str, &str)] = examples! {
    "check_drift"
    "check_expectations"
    "check_performance"
    "check_schema"
    "extract_csv"
    "extract_http"
    "extract_json"
    "extract_parquet"
    "extract_sql"
    "extract_xlsx"
    "load_csv"
    "load_features"
    "load_json"
    "load_parquet"
    "load_sql"
    "predict_model"
    "predict_text"
    "report_data"
    "report_drift"
    "report_markdown"
    "report_model"
    "report_performance"
    "run_http"
    "run_noop"
    "run_pipeline"
    "run_python"
    "run_shell"
    "run_sql"
    "sensor_file"
    "sensor_http"
    "sensor_model"
    "sensor_object"
    "sensor_pipeline"
    "sensor_sql"
    "sensor_time"
    "train_anomalies"
    "train_classifier"
    "train_clusters"
    "train_regressor"
    "transform_asof_join"
    "transform_deduplicate"
    "transform_features"
    "transform_mask"
    "transform_pivot"
    "transform_sample"
    "transform_split"
    "transform_sql"
    "transform_unpivot"
    "transform_window"
};

/// The pipeline that shows the operator `kind: name`.
pub fn example(kind: Kind, name: &str) -> Option<&'static str> {
    let wanted = format!("{kind}_{name}");
    let found = EXAMPLES.iter().find(|(name, _)| *name == wanted);
    found.map(|(_, text)| *text)
}
