//! Candidates and their parameter lists, as a list of trials.

use indexmap::IndexMap;
use serde_json::Value;

use crate::error::{ModelError, Result};
use crate::estimators::{Estimator, Parameters};

/// More trials than this are a mistake.
const MOST_TRIALS: usize = 10_000;

/// One estimator with one set of parameters.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Candidate {
    pub(crate) name: String,
    pub(crate) parameters: Parameters,
    pub(crate) estimator: Estimator,
}

/// The baseline, then every candidate with every combination of its parameters' values, the last one fastest.
pub(crate) fn expand(
    candidates: &IndexMap<String, IndexMap<String, Value>>,
) -> Result<Vec<Candidate>> {
    let mut trials = vec![candidate("dummy", Parameters::new())?];
    if candidates.is_empty() {
        for name in ["logistic_regression", "random_forest", "gradient_boosting"] {
            trials.push(candidate(name, Parameters::new())?);
        }
    }
    for (name, parameters) in candidates {
        for parameters in combinations(name, parameters)? {
            if trials.len() > MOST_TRIALS {
                return Err(ModelError::settings(format!(
                    "the candidates' lists make more than {MOST_TRIALS} combinations"
                )));
            }
            trials.push(candidate(name, parameters)?);
        }
    }
    Ok(trials)
}

fn candidate(name: &str, parameters: Parameters) -> Result<Candidate> {
    let estimator = Estimator::parse(name, &parameters)?;
    Ok(Candidate {
        name: name.to_owned(),
        parameters,
        estimator,
    })
}

fn combinations(name: &str, parameters: &IndexMap<String, Value>) -> Result<Vec<Parameters>> {
    let mut all = vec![Parameters::new()];
    for (key, value) in parameters {
        let values = match value {
            Value::Array(values) if values.is_empty() => {
                return Err(ModelError::settings(format!(
                    "`{key}` of `{name}` is an empty list"
                )));
            }
            Value::Array(values) => values.as_slice(),
            value => std::slice::from_ref(value),
        };
        if all.len() * values.len() > MOST_TRIALS {
            return Err(ModelError::settings(format!(
                "the lists of `{name}` make more than {MOST_TRIALS} combinations"
            )));
        }
        all = all
            .iter()
            .flat_map(|known| {
                values.iter().map(|value| {
                    let mut next = known.clone();
                    next.insert(key.clone(), value.clone());
                    next
                })
            })
            .collect();
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::expand;

    #[test]
    fn lists_are_a_grid() {
        let candidates = serde_json::from_value(json!({
            "random_forest": {"n_estimators": 200, "max_depth": [6, 10], "min_samples_leaf": [1, 5]},
            "gradient_boosting": {},
        }))
        .unwrap();
        let trials = expand(&candidates).unwrap();
        let shown: Vec<String> = trials
            .iter()
            .map(|trial| {
                format!(
                    "{} {}",
                    trial.name,
                    serde_json::to_string(&trial.parameters).unwrap()
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                "dummy {}",
                r#"random_forest {"n_estimators":200,"max_depth":6,"min_samples_leaf":1}"#,
                r#"random_forest {"n_estimators":200,"max_depth":6,"min_samples_leaf":5}"#,
                r#"random_forest {"n_estimators":200,"max_depth":10,"min_samples_leaf":1}"#,
                r#"random_forest {"n_estimators":200,"max_depth":10,"min_samples_leaf":5}"#,
                "gradient_boosting {}",
            ]
        );
    }

    #[test]
    fn a_bomb_is_refused() {
        let list: Vec<u32> = (1..1000).collect();
        let candidates = serde_json::from_value(json!({
            "random_forest": {"n_estimators": list.clone(), "max_depth": list},
        }))
        .unwrap();
        assert!(expand(&candidates).is_err());
    }
}
