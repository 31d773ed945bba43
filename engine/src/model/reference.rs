//! How a model is named: `churn`, `churn@challenger`, `churn:7`, `zoo:churn`, `mlflow://churn@champion`, a file.

use std::fmt;

/// The alias that a bare name stands for, and that promotion moves.
pub const CHAMPION: &str = "champion";

/// What a model's name points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference<'a> {
    /// A registered version: `churn:7`.
    Version {
        /// The registered name.
        name: &'a str,
        /// Its version.
        version: u32,
    },
    /// The version that an alias points to: `churn`, `churn@challenger`.
    Alias {
        /// The registered name.
        name: &'a str,
        /// The alias.
        alias: &'a str,
    },
    /// A model that ships: `zoo:churn`.
    Zoo(&'a str),
    /// A model of the project's MLflow server.
    Mlflow(MlflowReference<'a>),
    /// An `.onnx` file of the project.
    File(&'a str),
}

/// A model of the project's MLflow server: `mlflow://churn@champion`, `mlflow://churn/7`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MlflowReference<'a> {
    /// Its registered name there.
    pub name: &'a str,
    /// Which of its versions.
    pub version: MlflowVersion<'a>,
}

/// Which version of a model of MLflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MlflowVersion<'a> {
    /// The one of this number.
    Number(u32),
    /// The one that an alias points to.
    Alias(&'a str),
}

/// Why a text names no model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ReferenceError {
    /// What is wrong.
    pub message: String,
    /// What to write.
    pub hint: &'static str,
}

const FORMS: &str = "write `churn` (its champion), `churn@challenger`, `churn:7`, `zoo:churn`, `mlflow://churn@champion` or an `.onnx` file";
const OF_MLFLOW: &str = "write `mlflow://churn@champion` or `mlflow://churn/7`; the server's address is `mlflow:` in pipectl.yaml";

/// Whether a text may be the name of a registered model or of an alias: `[a-z][a-z0-9_]*`.
pub fn is_model_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_lowercase())
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

impl<'a> Reference<'a> {
    /// Reads what a pipeline or a person writes.
    ///
    /// # Errors
    /// When it names no model in any of the known ways.
    pub fn parse(text: &'a str) -> Result<Self, ReferenceError> {
        if let Some(name) = text.strip_prefix("zoo:") {
            return Ok(Self::Zoo(named(text, name)?));
        }
        if let Some(rest) = text.strip_prefix("mlflow:") {
            return MlflowReference::parse(text, rest).map(Self::Mlflow);
        }
        if is_file(text) {
            return Ok(Self::File(text));
        }
        if let Some((name, version)) = text.split_once(':') {
            let name = named(text, name)?;
            let version = version.parse().ok().filter(|version| *version > 0);
            let version = version.ok_or_else(|| ReferenceError {
                message: format!("`{text}` names no version of a model"),
                hint: "a version is a number, as in `churn:7`",
            })?;
            return Ok(Self::Version { name, version });
        }
        let (name, alias) = text.split_once('@').unwrap_or((text, CHAMPION));
        Ok(Self::Alias {
            name: named(text, name)?,
            alias: named(text, alias)?,
        })
    }
}

/// A file ends in `.onnx`, or has a directory before it.
fn is_file(text: &str) -> bool {
    std::path::Path::new(text)
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("onnx"))
        || text.contains(['/', '\\'])
}

fn named<'a>(text: &str, name: &'a str) -> Result<&'a str, ReferenceError> {
    if is_model_name(name) {
        return Ok(name);
    }
    Err(ReferenceError {
        message: if name.is_empty() || name == text {
            format!("`{text}` names no model")
        } else {
            format!("`{text}` names no model: `{name}` is no name")
        },
        hint: FORMS,
    })
}

impl<'a> MlflowReference<'a> {
    fn parse(text: &str, rest: &'a str) -> Result<Self, ReferenceError> {
        let wrong = || ReferenceError {
            message: format!("`{text}` names no model of MLflow"),
            hint: OF_MLFLOW,
        };
        let rest = rest.strip_prefix("//").ok_or_else(wrong)?;
        let (name, version) = match (rest.rsplit_once('@'), rest.rsplit_once('/')) {
            (Some((name, alias)), _) => (name, MlflowVersion::Alias(alias)),
            (None, Some((name, version))) => {
                let version = version.parse().map_err(|_| wrong())?;
                (name, MlflowVersion::Number(version))
            }
            (None, None) => (rest, MlflowVersion::Alias(CHAMPION)),
        };
        // MLflow takes nearly anything as a name, but no slash and no colon.
        let unusable = name.is_empty() || name.contains(['/', ':']);
        if unusable || version == MlflowVersion::Alias("") {
            return Err(wrong());
        }
        Ok(Self { name, version })
    }
}

impl fmt::Display for MlflowReference<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version {
            MlflowVersion::Number(version) => write!(f, "mlflow://{}/{version}", self.name),
            MlflowVersion::Alias(alias) => write!(f, "mlflow://{}@{alias}", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_told_apart() {
        let alias = |name, alias| Reference::Alias { name, alias };
        let mlflow = |name, version| Reference::Mlflow(MlflowReference { name, version });
        for (text, reference) in [
            ("churn", alias("churn", "champion")),
            ("churn@challenger", alias("churn", "challenger")),
            (
                "churn:7",
                Reference::Version {
                    name: "churn",
                    version: 7,
                },
            ),
            ("zoo:credit_risk", Reference::Zoo("credit_risk")),
            ("models/a.onnx", Reference::File("models/a.onnx")),
            ("A.ONNX", Reference::File("A.ONNX")),
            ("models/a", Reference::File("models/a")),
            (r"c:\models\a.onnx", Reference::File(r"c:\models\a.onnx")),
            (
                "mlflow://churn@best",
                mlflow("churn", MlflowVersion::Alias("best")),
            ),
            (
                "mlflow://My churn/7",
                mlflow("My churn", MlflowVersion::Number(7)),
            ),
            (
                "mlflow://churn",
                mlflow("churn", MlflowVersion::Alias("champion")),
            ),
        ] {
            assert_eq!(Reference::parse(text).as_ref(), Ok(&reference), "{text}");
        }
    }

    #[test]
    fn what_names_no_model_is_refused() {
        for (text, message) in [
            ("", "`` names no model"),
            ("Churn", "`Churn` names no model"),
            ("churn@", "`churn@` names no model"),
            (
                "churn@The best",
                "`churn@The best` names no model: `The best` is no name",
            ),
            ("churn:last", "`churn:last` names no version of a model"),
            ("churn:0", "`churn:0` names no version of a model"),
            ("zoo:", "`zoo:` names no model"),
            ("mlflow:churn", "`mlflow:churn` names no model of MLflow"),
            (
                "mlflow://churn/last",
                "`mlflow://churn/last` names no model of MLflow",
            ),
            (
                "mlflow://churn@",
                "`mlflow://churn@` names no model of MLflow",
            ),
            ("mlflow://", "`mlflow://` names no model of MLflow"),
        ] {
            assert_eq!(Reference::parse(text).unwrap_err().message, message);
        }
    }

    #[test]
    fn a_reference_to_mlflow_is_written_as_it_is_read() {
        for text in ["mlflow://churn@best", "mlflow://churn/7"] {
            let Ok(Reference::Mlflow(reference)) = Reference::parse(text) else {
                panic!("{text}")
            };
            assert_eq!(reference.to_string(), text);
        }
    }
}
