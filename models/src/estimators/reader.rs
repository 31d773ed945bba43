//! Reads the parameters of an estimator; what is wrong is told with what is wanted.

use indexmap::IndexMap;
use serde_json::Value;

use crate::error::{ModelError, Result};
use crate::estimators::parameters::Parameters;
use crate::estimators::targets::ClassWeight;
use crate::estimators::{MaxFeatures, Stopping};
use crate::near::did_you_mean;
use crate::prepare::Categories;

/// The parameters of an estimator.
pub(super) struct Reader<'a> {
    pub(super) name: &'a str,
    pub(super) parameters: &'a Parameters,
}

impl Reader<'_> {
    pub(super) fn allow(&self, known: &[&str]) -> Result<()> {
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
                "`{}` has no parameter `{key}`; it has {}{}",
                self.name,
                known.join(", "),
                did_you_mean(key, known)
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

    pub(super) fn number(&self, key: &str, default: f64, least: f64) -> Result<f64> {
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

    pub(super) fn optional(&self, key: &str, least: usize) -> Result<Option<usize>> {
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

    pub(super) fn whole(&self, key: &str, default: usize, least: usize) -> Result<usize> {
        if self.parameters.get(key).is_some_and(Value::is_null) {
            return Err(self.wrong(key, &format!("a whole number, at least {least}")));
        }
        Ok(self.optional(key, least)?.unwrap_or(default))
    }

    pub(super) fn boolean(&self, key: &str, default: bool) -> Result<bool> {
        match self.parameters.get(key) {
            None => Ok(default),
            Some(value) => value
                .as_bool()
                .ok_or_else(|| self.wrong(key, "true or false")),
        }
    }

    /// One of these words, the first when not said.
    pub(super) fn one_of(&self, key: &str, known: &[&'static str]) -> Result<&'static str> {
        match self.parameters.get(key) {
            None => known
                .first()
                .copied()
                .ok_or_else(|| ModelError::internal("a choice of nothing")),
            Some(Value::String(text)) => known
                .iter()
                .find(|word| *word == text)
                .copied()
                .ok_or_else(|| self.wrong(key, &known.join(" or "))),
            Some(_) => Err(self.wrong(key, &known.join(" or "))),
        }
    }

    pub(super) fn class_weight(&self) -> Result<ClassWeight> {
        match self.parameters.get("class_weight") {
            None | Some(Value::Null) => Ok(ClassWeight::None),
            Some(Value::String(text)) if text == "balanced" => Ok(ClassWeight::Balanced),
            Some(Value::Object(weights)) => weights
                .iter()
                .map(|(class, weight)| Some((class.clone(), weight.as_f64()?)))
                .collect::<Option<_>>()
                .map(ClassWeight::Given)
                .ok_or_else(|| self.wrong("class_weight", "a number for every class")),
            Some(_) => Err(self.wrong(
                "class_weight",
                "balanced, null, or a weight for every class",
            )),
        }
    }

    /// scikit-learn's `categorical_features`: text columns, all of them or by name.
    pub(super) fn categories(&self) -> Result<Categories> {
        let wrong = || {
            self.wrong(
                "categorical_features",
                "from_dtype (all text), null, or a list of columns within the list of what is tried",
            )
        };
        match self.parameters.get("categorical_features") {
            None | Some(Value::Null) => Ok(Categories::None),
            Some(Value::String(text)) if text == "from_dtype" => Ok(Categories::Text),
            Some(Value::Array(names)) => names
                .iter()
                .map(|name| name.as_str().map(str::to_owned))
                .collect::<Option<_>>()
                .map(Categories::Named)
                .ok_or_else(wrong),
            Some(_) => Err(wrong()),
        }
    }

    /// scikit-learn's `monotonic_cst` by column.
    pub(super) fn directions(&self) -> Result<IndexMap<String, i8>> {
        let wrong = || {
            self.wrong(
                "monotonic_cst",
                "1 (rising), -1 (falling) or 0 for columns, as in {tenure: -1}",
            )
        };
        match self.parameters.get("monotonic_cst") {
            None | Some(Value::Null) => Ok(IndexMap::new()),
            Some(Value::Object(columns)) => columns
                .iter()
                .map(|(column, sign)| match sign.as_i64() {
                    Some(-1) => Ok((column.clone(), -1)),
                    Some(0) => Ok((column.clone(), 0)),
                    Some(1) => Ok((column.clone(), 1)),
                    _ => Err(wrong()),
                })
                .collect(),
            Some(_) => Err(wrong()),
        }
    }

    pub(super) fn stopping(&self) -> Result<Stopping> {
        match self.parameters.get("early_stopping") {
            None => Ok(Stopping::Auto),
            Some(Value::String(text)) if text == "auto" => Ok(Stopping::Auto),
            Some(Value::Bool(true)) => Ok(Stopping::Always),
            Some(Value::Bool(false)) => Ok(Stopping::Never),
            Some(_) => Err(self.wrong("early_stopping", "true, false or auto")),
        }
    }

    pub(super) fn max_features(&self, default: MaxFeatures) -> Result<MaxFeatures> {
        const WANTED: &str = "sqrt, log2, null (all), a whole number or a share up to 1.0";
        let Some(value) = self.parameters.get("max_features") else {
            return Ok(default);
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

    /// A number from 0 to 1.
    pub(super) fn share(&self, key: &str, default: f64) -> Result<f64> {
        let share = self.number(key, default, 0.0)?;
        if share > 1.0 {
            return Err(self.wrong(key, "a number from 0 to 1"));
        }
        Ok(share)
    }
}
