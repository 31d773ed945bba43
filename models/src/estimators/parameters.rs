//! Estimators by name, with scikit-learn's parameter names.

use indexmap::IndexMap;
use serde_json::Value;

use crate::error::{ModelError, Result};
use crate::estimators::boosting::BoostingSettings;
use crate::estimators::boosting_sums::Growth;
use crate::estimators::forest::ForestSettings;
use crate::estimators::logistic::LogisticSettings;
use crate::estimators::{Estimator, MaxFeatures, Stopping};

/// One value for every parameter that is set.
pub(crate) type Parameters = IndexMap<String, Value>;

/// The names under which estimators are chosen.
pub(crate) fn known_names() -> [&'static str; 4] {
    [
        "logistic_regression",
        "random_forest",
        "gradient_boosting",
        "gaussian_naive_bayes",
    ]
}

impl Estimator {
    /// The estimator of that name; a name or a parameter that is not known is an error that lists those that are.
    pub(crate) fn parse(name: &str, parameters: &Parameters) -> Result<Self> {
        let reader = Reader { name, parameters };
        match name {
            "logistic_regression" => logistic(&reader),
            "random_forest" => forest(&reader),
            "gradient_boosting" => boosting(&reader),
            "gaussian_naive_bayes" => {
                reader.allow(&["var_smoothing"])?;
                Ok(Self::Bayes {
                    var_smoothing: reader.number("var_smoothing", 1e-9, 0.0)?,
                })
            }
            "dummy" => {
                reader.allow(&[])?;
                Ok(Self::Dummy)
            }
            other => Err(ModelError::settings(format!(
                "there is no classifier `{other}`; there are {}",
                known_names().join(", ")
            ))),
        }
    }
}

fn logistic(reader: &Reader<'_>) -> Result<Estimator> {
    reader.allow(&["C", "class_weight", "max_iter", "tol"])?;
    Ok(Estimator::Logistic {
        settings: LogisticSettings {
            c: reader.number("C", 1.0, f64::MIN_POSITIVE)?,
            max_iter: reader.whole("max_iter", 100, 1)?,
            tolerance: reader.number("tol", 1e-4, 0.0)?,
        },
        balanced: reader.balanced()?,
    })
}

fn forest(reader: &Reader<'_>) -> Result<Estimator> {
    reader.allow(&[
        "n_estimators",
        "max_depth",
        "min_samples_leaf",
        "min_samples_split",
        "max_features",
        "class_weight",
        "criterion",
        "bootstrap",
    ])?;
    reader.one_of("criterion", &["gini"])?;
    Ok(Estimator::Forest {
        settings: ForestSettings {
            trees: reader.whole("n_estimators", 100, 1)?,
            max_depth: reader.optional("max_depth", 1)?.unwrap_or(usize::MAX),
            min_samples_leaf: reader.whole("min_samples_leaf", 1, 1)?,
            min_samples_split: reader.whole("min_samples_split", 2, 2)?,
            max_features: 0,
            bootstrap: reader.boolean("bootstrap", true)?,
            seed: 0,
        },
        features: reader.max_features()?,
        balanced: reader.balanced()?,
    })
}

fn boosting(reader: &Reader<'_>) -> Result<Estimator> {
    reader.allow(&[
        "learning_rate",
        "max_iter",
        "max_leaf_nodes",
        "max_depth",
        "l2_regularization",
        "min_samples_leaf",
        "early_stopping",
        "class_weight",
    ])?;
    Ok(Estimator::Boosting {
        settings: BoostingSettings {
            learning_rate: reader.number("learning_rate", 0.1, f64::MIN_POSITIVE)?,
            max_iter: reader.whole("max_iter", 100, 1)?,
            growth: Growth {
                max_leaf_nodes: reader.whole("max_leaf_nodes", 31, 2)?,
                max_depth: reader.optional("max_depth", 1)?.unwrap_or(usize::MAX),
                min_samples_leaf: reader.whole("min_samples_leaf", 20, 1)?,
                l2_regularization: reader.number("l2_regularization", 1.0, 0.0)?,
            },
            early_stopping: false,
            seed: 0,
        },
        stopping: reader.stopping()?,
        balanced: reader.balanced()?,
    })
}

struct Reader<'a> {
    name: &'a str,
    parameters: &'a Parameters,
}

impl Reader<'_> {
    fn allow(&self, known: &[&str]) -> Result<()> {
        match self
            .parameters
            .keys()
            .find(|key| !known.contains(&key.as_str()))
        {
            None => Ok(()),
            Some(key) if known.is_empty() => Err(ModelError::settings(format!(
                "`{}` has no parameter `{key}`: it has none",
                self.name
            ))),
            Some(key) => Err(ModelError::settings(format!(
                "`{}` has no parameter `{key}`; it has {}",
                self.name,
                known.join(", ")
            ))),
        }
    }

    fn wrong(&self, key: &str, wanted: &str) -> ModelError {
        let value = self.parameters.get(key).cloned().unwrap_or_default();
        ModelError::settings(format!(
            "`{key}: {value}` of `{}`: expected {wanted}",
            self.name
        ))
    }

    fn number(&self, key: &str, default: f64, least: f64) -> Result<f64> {
        match self.parameters.get(key) {
            None => Ok(default),
            Some(value) => value
                .as_f64()
                .filter(|number| *number >= least && number.is_finite())
                .ok_or_else(|| {
                    let wanted = if least > 0.0 {
                        "a number above 0"
                    } else {
                        "a number, at least 0"
                    };
                    self.wrong(key, wanted)
                }),
        }
    }

    fn optional(&self, key: &str, least: usize) -> Result<Option<usize>> {
        match self.parameters.get(key) {
            None | Some(serde_json::Value::Null) => Ok(None),
            Some(value) => value
                .as_u64()
                .and_then(|number| usize::try_from(number).ok())
                .filter(|number| *number >= least)
                .map(Some)
                .ok_or_else(|| self.wrong(key, &format!("a whole number, at least {least}"))),
        }
    }

    fn whole(&self, key: &str, default: usize, least: usize) -> Result<usize> {
        if self.parameters.get(key).is_some_and(Value::is_null) {
            return Err(self.wrong(key, &format!("a whole number, at least {least}")));
        }
        Ok(self.optional(key, least)?.unwrap_or(default))
    }

    fn boolean(&self, key: &str, default: bool) -> Result<bool> {
        match self.parameters.get(key) {
            None => Ok(default),
            Some(value) => value
                .as_bool()
                .ok_or_else(|| self.wrong(key, "true or false")),
        }
    }

    fn one_of(&self, key: &str, known: &[&str]) -> Result<()> {
        match self.parameters.get(key) {
            None => Ok(()),
            Some(Value::String(text)) if known.contains(&text.as_str()) => Ok(()),
            Some(_) => Err(self.wrong(key, &known.join(" or "))),
        }
    }

    fn balanced(&self) -> Result<bool> {
        match self.parameters.get("class_weight") {
            None | Some(Value::Null) => Ok(false),
            Some(Value::String(text)) if text == "balanced" => Ok(true),
            Some(_) => Err(self.wrong("class_weight", "balanced or null")),
        }
    }

    fn stopping(&self) -> Result<Stopping> {
        match self.parameters.get("early_stopping") {
            None => Ok(Stopping::Auto),
            Some(Value::String(text)) if text == "auto" => Ok(Stopping::Auto),
            Some(Value::Bool(true)) => Ok(Stopping::Always),
            Some(Value::Bool(false)) => Ok(Stopping::Never),
            Some(_) => Err(self.wrong("early_stopping", "true, false or auto")),
        }
    }

    fn max_features(&self) -> Result<MaxFeatures> {
        const WANTED: &str = "sqrt, log2, null (all), a whole number or a share up to 1.0";
        let Some(value) = self.parameters.get("max_features") else {
            return Ok(MaxFeatures::SquareRoot);
        };
        match value {
            Value::Null => Ok(MaxFeatures::All),
            Value::String(text) if text == "sqrt" => Ok(MaxFeatures::SquareRoot),
            Value::String(text) if text == "log2" => Ok(MaxFeatures::Logarithm),
            Value::Number(_) => {
                if let Some(count) = self.optional("max_features", 1).ok().flatten() {
                    return Ok(MaxFeatures::Count(count));
                }
                value
                    .as_f64()
                    .filter(|share| *share > 0.0 && *share <= 1.0)
                    .map(MaxFeatures::Share)
                    .ok_or_else(|| self.wrong("max_features", WANTED))
            }
            _ => Err(self.wrong("max_features", WANTED)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Estimator, Parameters};

    fn parse(name: &str, parameters: serde_json::Value) -> Result<Estimator, String> {
        let parameters: Parameters = serde_json::from_value(parameters).unwrap();
        Estimator::parse(name, &parameters).map_err(|error| error.to_string())
    }

    #[test]
    fn wrong_settings_say_what_is_expected() {
        let cases = [
            (
                "forest",
                json!({}),
                "there is no classifier `forest`; there are logistic_regression, random_forest, gradient_boosting, gaussian_naive_bayes",
            ),
            (
                "logistic_regression",
                json!({"c": 1}),
                "`logistic_regression` has no parameter `c`; it has C, class_weight, max_iter, tol",
            ),
            (
                "logistic_regression",
                json!({"C": 0}),
                "`C: 0` of `logistic_regression`: expected a number above 0",
            ),
            (
                "random_forest",
                json!({"max_depth": 0}),
                "`max_depth: 0` of `random_forest`: expected a whole number, at least 1",
            ),
            (
                "random_forest",
                json!({"class_weight": "equal"}),
                "`class_weight: \"equal\"` of `random_forest`: expected balanced or null",
            ),
            (
                "random_forest",
                json!({"max_features": 1.5}),
                "`max_features: 1.5` of `random_forest`: expected sqrt, log2, null (all), a whole number or a share up to 1.0",
            ),
        ];
        for (name, parameters, message) in cases {
            assert_eq!(parse(name, parameters).unwrap_err(), message);
        }
    }

    #[test]
    fn null_is_scikit_learns_none() {
        let given = parse(
            "random_forest",
            json!({"max_depth": null, "class_weight": null}),
        );
        assert_eq!(given, parse("random_forest", json!({})));
    }
}
