//! Candidates and their parameters' lists and ranges, as a list of trials.

use indexmap::IndexMap;
use serde_json::Value;

use crate::data::Goal;
use crate::error::{ModelError, Result};
use crate::estimators::{Estimator, Parameters};
use crate::random::Random;
use crate::train::{Search, Settings};

/// More trials than this are a mistake.
const MOST_TRIALS: usize = 10_000;

/// One estimator with one set of parameters.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Candidate {
    pub(crate) name: String,
    pub(crate) parameters: Parameters,
    pub(crate) estimator: Estimator,
}

/// The baseline, then the candidates: every one with every combination of its parameters' values, the last one fastest,
/// or so many drawn at random.
pub(crate) fn expand(settings: &Settings) -> Result<Vec<Candidate>> {
    let goal = settings.goal;
    let mut trials = match goal {
        Goal::Classes | Goal::Quantity => vec![candidate(goal, "dummy", Parameters::new())?],
        Goal::Clusters | Goal::Anomalies => Vec::new(),
    };
    let first = trials.len();
    if settings.candidates.is_empty() {
        for name in usual(goal) {
            trials.push(candidate(goal, name, Parameters::new())?);
        }
    }
    if let Search::Random(wanted) = settings.search {
        trials.extend(draw(settings, wanted)?);
        return Ok(trials);
    }
    for (name, parameters) in &settings.candidates {
        for parameters in combinations(name, parameters)? {
            if trials.len() > MOST_TRIALS {
                return Err(ModelError::settings(format!(
                    "the candidates' lists make more than {MOST_TRIALS} combinations: `search: {{random: 100}}` tries some of them"
                )));
            }
            trials.push(candidate(goal, name, parameters)?);
        }
    }
    if trials.len() == first {
        return Err(ModelError::settings("there is no candidate"));
    }
    Ok(trials)
}

/// What is wrong with each candidate: with one of its parameters, or as a whole.
pub(crate) fn flaws(settings: &Settings) -> Vec<(Vec<String>, String)> {
    let mut found = Vec::new();
    for (name, parameters) in &settings.candidates {
        let mut left = parameters.clone();
        // What is found is taken away, so that the next shows.
        while let Err(flaw) = alone(settings, name, &left) {
            let flaw = flaw.to_string();
            let mut path = vec![name.clone()];
            let about = mentioned(&flaw, &left);
            path.extend(about.clone());
            found.push((path, flaw));
            match about {
                Some(key) => drop(left.shift_remove(&key)),
                None => break,
            }
        }
    }
    found
}

fn alone(settings: &Settings, name: &str, parameters: &IndexMap<String, Value>) -> Result<()> {
    let alone = Settings {
        candidates: IndexMap::from([(name.to_owned(), parameters.clone())]),
        ..settings.clone()
    };
    expand(&alone).map(drop)
}

/// The parameter that a complaint is about: the first that it names.
fn mentioned(flaw: &str, parameters: &IndexMap<String, Value>) -> Option<String> {
    let place = |key: &&String| {
        let whole = flaw.find(&format!("`{key}`"));
        whole
            .into_iter()
            .chain(flaw.find(&format!("`{key}: ")))
            .min()
    };
    let named = parameters.keys().filter(|key| place(key).is_some());
    named.min_by_key(place).cloned()
}

/// What is tried when nothing is said.
fn usual(goal: Goal) -> &'static [&'static str] {
    match goal {
        Goal::Classes => &["logistic_regression", "random_forest", "gradient_boosting"],
        Goal::Quantity => &["ridge", "random_forest", "gradient_boosting"],
        Goal::Clusters => &["k_means"],
        Goal::Anomalies => &["isolation_forest"],
    }
}

fn candidate(goal: Goal, name: &str, parameters: Parameters) -> Result<Candidate> {
    let estimator = Estimator::parse(goal, name, &parameters)?;
    Ok(Candidate {
        name: name.to_owned(),
        parameters,
        estimator,
    })
}

/// Combinations at random: a candidate, then for each of its parameters one of its list or a number of its range.
fn draw(settings: &Settings, wanted: usize) -> Result<Vec<Candidate>> {
    if wanted == 0 || wanted > MOST_TRIALS {
        return Err(ModelError::settings(format!(
            "`random` is the number of combinations that are tried, from 1 to {MOST_TRIALS}"
        )));
    }
    let mut random = Random::new(settings.seed, 0x7EA1);
    let mut drawn: Vec<Candidate> = Vec::with_capacity(wanted);
    // A small space is soon used up; a few more tries find its last corners.
    for _ in 0..wanted * 20 {
        if drawn.len() == wanted || settings.candidates.is_empty() {
            break;
        }
        let place = random.below(settings.candidates.len());
        let Some((name, choices)) = settings.candidates.get_index(place) else {
            break;
        };
        let mut parameters = Parameters::new();
        for (key, value) in choices {
            let value = match value {
                Value::Array(values) if values.is_empty() => return Err(empty_list(name, key)),
                Value::Array(values) => values[random.below(values.len())].clone(),
                value => match Range::read(name, key, value)? {
                    Some(range) => range.at(random.share()),
                    None => value.clone(),
                },
            };
            parameters.insert(key.clone(), value);
        }
        let next = candidate(settings.goal, name, parameters)?;
        if !drawn.contains(&next) {
            drawn.push(next);
        }
    }
    Ok(drawn)
}

fn empty_list(name: &str, key: &str) -> ModelError {
    ModelError::settings(format!("`{key}` of `{name}` is an empty list"))
}

/// `{from: 1, to: 100, log: true}`.
struct Range {
    from: f64,
    to: f64,
    log: bool,
    whole: bool,
}

impl Range {
    fn read(name: &str, key: &str, value: &Value) -> Result<Option<Self>> {
        let Value::Object(fields) = value else {
            return Ok(None);
        };
        let (Some(from), Some(to)) = (fields.get("from"), fields.get("to")) else {
            return Ok(None);
        };
        let log = fields.get("log").and_then(Value::as_bool).unwrap_or(false);
        match (from.as_f64(), to.as_f64()) {
            (Some(low), Some(high)) if low < high && (!log || low > 0.0) => Ok(Some(Self {
                from: low,
                to: high,
                log,
                whole: from.is_i64() && to.is_i64(),
            })),
            _ => Err(ModelError::settings(format!(
                "`{key}` of `{name}`: a range goes from a smaller number to a larger one, with `log: true` both above 0"
            ))),
        }
    }

    /// The number at a share of the range.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "a whole number of a range of such"
    )]
    fn at(&self, share: f64) -> Value {
        let end = if self.whole { self.to + 1.0 } else { self.to };
        let value = if self.log {
            (self.from.ln() + (end.ln() - self.from.ln()) * share).exp()
        } else {
            self.from + (end - self.from) * share
        };
        if self.whole {
            Value::from(value.floor().clamp(self.from, self.to) as i64)
        } else {
            Value::from(value)
        }
    }
}

fn combinations(name: &str, parameters: &IndexMap<String, Value>) -> Result<Vec<Parameters>> {
    let mut all = vec![Parameters::new()];
    for (key, value) in parameters {
        let values = match value {
            Value::Array(values) if values.is_empty() => return Err(empty_list(name, key)),
            Value::Array(values) => values.as_slice(),
            value if Range::read(name, key, value)?.is_some() => {
                return Err(ModelError::settings(format!(
                    "`{key}` of `{name}` is a range, of which numbers are drawn by `search: {{random: 50}}`; a grid wants a list"
                )));
            }
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
    use crate::data::Goal;
    use crate::train::{Search, Settings};

    fn with(candidates: serde_json::Value, search: Search) -> Settings {
        Settings {
            candidates: serde_json::from_value(candidates).unwrap(),
            search,
            ..Settings::new(Goal::Classes, "y")
        }
    }

    #[test]
    fn lists_are_a_grid() {
        let candidates = json!({
            "random_forest": {"n_estimators": 200, "max_depth": [6, 10], "min_samples_leaf": [1, 5]},
            "gradient_boosting": {},
        });
        let trials = expand(&with(candidates, Search::Grid)).unwrap();
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
        let candidates = json!({
            "random_forest": {"n_estimators": list.clone(), "max_depth": list},
        });
        assert!(expand(&with(candidates, Search::Grid)).is_err());
    }

    #[test]
    fn numbers_of_a_range_are_drawn() {
        let candidates = json!({
            "logistic_regression": {"C": {"from": 0.001, "to": 1000.0, "log": true}},
            "random_forest": {"max_depth": {"from": 2, "to": 4}, "n_estimators": [10, 20]},
        });
        let settings = with(candidates.clone(), Search::Random(30));
        let trials = expand(&settings).unwrap();
        // The baseline, six forests at the most, and the rest logistic regressions.
        assert_eq!(trials.len(), 31);
        assert_eq!(trials, expand(&settings).unwrap());
        for trial in &trials[1..] {
            if let Some(depth) = trial.parameters.get("max_depth") {
                assert!((2..=4).contains(&depth.as_i64().unwrap()));
            } else {
                let c = trial.parameters["C"].as_f64().unwrap();
                assert!((0.001..=1000.0).contains(&c));
            }
        }
        let error = expand(&with(candidates, Search::Grid)).unwrap_err();
        assert!(error.to_string().contains("is a range"), "{error}");
    }
}
