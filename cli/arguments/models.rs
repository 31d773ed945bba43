//! `pipectl models …`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Answer, Format};

#[derive(Debug, Subcommand)]
pub(crate) enum Models {
    /// List registered models
    List(Answer),
    /// Show a model's versions, one version, or what an `.onnx` file says of itself
    Show(ModelsShow),
    /// Point the alias `champion`, or another, to a version
    Promote(ModelsPromote),
    /// Point aliases to versions and take them away
    #[command(subcommand)]
    Alias(ModelsAlias),
    /// Score the same rows by two models and show what each is worth
    Compare(ModelsCompare),
    /// Write a version's `.onnx` file
    Export(ModelsExport),
    /// Register an `.onnx` file as a new version
    Import(ModelsImport),
}

#[derive(Debug, Args)]
pub(crate) struct ModelsShow {
    /// `churn`, `churn:7`, `churn@champion`, `zoo:churn`, or a file
    pub(crate) model: String,
    /// How the answer looks
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

/// What every change of an alias says besides.
#[derive(Debug, Args)]
pub(crate) struct Noted {
    /// Why, for those who look at it later
    #[arg(long, default_value = "by hand")]
    pub(crate) note: String,
    /// How the answer looks
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct ModelsPromote {
    /// A version, as in `churn:7`
    pub(crate) model: String,
    /// The alias
    #[arg(long, default_value = "champion")]
    pub(crate) alias: String,
    #[command(flatten)]
    pub(crate) noted: Noted,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelsAlias {
    /// Point an alias to a version
    Set(AliasSet),
    /// Take an alias away; the version stays
    Remove(AliasRemove),
}

#[derive(Debug, Args)]
pub(crate) struct AliasSet {
    /// A version, as in `churn:7`
    pub(crate) model: String,
    /// The alias, as in `challenger`
    pub(crate) alias: String,
    #[command(flatten)]
    pub(crate) noted: Noted,
}

#[derive(Debug, Args)]
pub(crate) struct AliasRemove {
    /// The alias with its model, as in `churn@challenger`
    pub(crate) model: String,
    #[command(flatten)]
    pub(crate) noted: Noted,
}

#[derive(Debug, Args)]
pub(crate) struct ModelsCompare {
    /// A model: `churn:7`, `churn@challenger`, `zoo:churn`, `mlflow://churn/3`, a file
    #[arg(value_name = "MODEL")]
    pub(crate) one: String,
    /// The model that it is compared with
    #[arg(value_name = "OTHER")]
    pub(crate) other: String,
    /// Rows with the right answers: a file that `extract` reads, by its ending `.csv`, `.parquet`, `.jsonl` or `.xlsx`
    #[arg(long, value_name = "FILE")]
    pub(crate) data: String,
    /// How the file is to be read: a setting of `extract: csv` or its like, as `delimiter=;` or `null_values=["NA"]`; may
    /// be repeated
    #[arg(long = "with", value_name = "SETTING=VALUE")]
    pub(crate) with: Vec<String>,
    /// The column with the right answers [default: the one that the models have learned]
    #[arg(long, value_name = "COLUMN")]
    pub(crate) target: Option<String>,
    /// How the answer looks
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct ModelsExport {
    /// `churn:7`, `churn@challenger`, `zoo:churn`, `mlflow://churn/3`
    pub(crate) model: String,
    /// The file to write
    pub(crate) file: PathBuf,
    /// Replace the file when it is there
    #[arg(long)]
    pub(crate) force: bool,
    /// How the answer looks
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct ModelsImport {
    /// The `.onnx` file; also `zoo:churn` or `mlflow://churn@champion`
    pub(crate) file: String,
    /// The name under which it is registered
    #[arg(long)]
    pub(crate) name: String,
    /// An alias that is pointed to it, as in `challenger`
    #[arg(long)]
    pub(crate) alias: Option<String>,
    /// Why, for those who look at it later
    #[arg(long, default_value = "imported")]
    pub(crate) note: String,
    /// How the answer looks
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}
