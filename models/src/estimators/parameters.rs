//! Estimators by name, with scikit-learn's parameter names.

use indexmap::IndexMap;
use serde_json::Value;

use crate::data::Goal;
use crate::error::{ModelError, Result};
use crate::estimators::boosting::BoostingSettings;
use crate::estimators::boosting_sums::Growth;
use crate::estimators::clusters::{DbscanSettings, KMeansSettings};
use crate::estimators::forest::ForestSettings;
use crate::estimators::isolation::IsolationSettings;
use crate::estimators::least_squares::Penalty;
use crate::estimators::logistic::LogisticSettings;
use crate::estimators::neighbours::NeighbourSettings;
use crate::estimators::reader::Reader;
use crate::estimators::svm::SvmSettings;
use crate::estimators::targets::ClassWeight;
use crate::estimators::{Estimator, MaxFeatures};
use crate::near::did_you_mean;

/// One value for every parameter that is set.
pub(crate) type Parameters = IndexMap<String, Value>;

/// The names under which estimators for a goal are chosen.
pub(crate) fn known_names(goal: Goal) -> &'static [&'static str] {
    match goal {
        Goal::Classes => &[
            "logistic_regression",
            "linear_svm",
            "gaussian_naive_bayes",
            "k_nearest_neighbors",
            "decision_tree",
            "random_forest",
            "extra_trees",
            "gradient_boosting",
        ],
        Goal::Quantity => &[
            "linear_regression",
            "ridge",
            "lasso",
            "elastic_net",
            "k_nearest_neighbors",
            "decision_tree",
            "random_forest",
            "extra_trees",
            "gradient_boosting",
        ],
        Goal::Clusters => &["k_means", "dbscan"],
        Goal::Anomalies => &["isolation_forest"],
    }
}

impl Estimator {
    /// The estimator of that name; a name or a parameter that is not known is an error that lists those that are.
    pub(crate) fn parse(goal: Goal, name: &str, parameters: &Parameters) -> Result<Self> {
        let reader = Reader { name, parameters };
        if name == "dummy" {
            reader.allow(&[])?;
            return Ok(Self::Dummy);
        }
        if !known_names(goal).contains(&name) {
            return Err(ModelError::settings(format!(
                "there is no {} `{name}`; there are {}{}",
                goal.name(),
                known_names(goal).join(", "),
                did_you_mean(name, known_names(goal))
            )));
        }
        match name {
            "logistic_regression" => logistic(&reader),
            "linear_svm" => svm(&reader),
            "linear_regression" => {
                reader.allow(&[])?;
                Ok(Self::Linear(Penalty::Squares(0.0)))
            }
            "ridge" => {
                reader.allow(&["alpha"])?;
                let alpha = reader.number("alpha", 1.0, 0.0)?;
                Ok(Self::Linear(Penalty::Squares(alpha)))
            }
            "lasso" | "elastic_net" => mixed(&reader),
            "k_nearest_neighbors" => neighbours(&reader),
            "decision_tree" => forest(&reader, goal, Kind::Tree),
            "random_forest" => forest(&reader, goal, Kind::Random),
            "extra_trees" => forest(&reader, goal, Kind::Extra),
            "gradient_boosting" => boosting(&reader, goal),
            "k_means" => k_means(&reader),
            "dbscan" => {
                reader.allow(&["eps", "min_samples"])?;
                Ok(Self::Dbscan(DbscanSettings {
                    eps: reader.number("eps", 0.5, f64::MIN_POSITIVE)?,
                    min_samples: reader.whole("min_samples", 5, 2)?,
                }))
            }
            "isolation_forest" => isolation(&reader),
            _ => {
                reader.allow(&["var_smoothing"])?;
                Ok(Self::Bayes {
                    var_smoothing: reader.number("var_smoothing", 1e-9, 0.0)?,
                })
            }
        }
    }
}

fn logistic(reader: &Reader<'_>) -> Result<Estimator> {
    reader.allow(&[
        "C",
        "penalty",
        "l1_ratio",
        "class_weight",
        "max_iter",
        "tol",
    ])?;
    let penalty = reader.one_of("penalty", &["l2", "l1", "elasticnet", "none"])?;
    let l1_ratio = match penalty {
        "l1" => 1.0,
        "elasticnet" => reader.share("l1_ratio", 0.5)?,
        _ => 0.0,
    };
    if penalty != "elasticnet" && reader.parameters.contains_key("l1_ratio") {
        return Err(ModelError::settings(
            "`l1_ratio` of `logistic_regression` goes with `penalty: elasticnet`",
        ));
    }
    Ok(Estimator::Logistic {
        settings: LogisticSettings {
            c: if penalty == "none" {
                f64::INFINITY
            } else {
                reader.number("C", 1.0, f64::MIN_POSITIVE)?
            },
            l1_ratio,
            max_iter: reader.whole("max_iter", 100, 1)?,
            tolerance: reader.number("tol", 1e-4, 0.0)?,
        },
        weight: reader.class_weight()?,
    })
}

fn svm(reader: &Reader<'_>) -> Result<Estimator> {
    reader.allow(&["C", "class_weight", "max_iter", "tol"])?;
    Ok(Estimator::Svm {
        settings: SvmSettings {
            c: reader.number("C", 1.0, f64::MIN_POSITIVE)?,
            max_iter: reader.whole("max_iter", 1000, 1)?,
            tolerance: reader.number("tol", 1e-6, 0.0)?,
        },
        weight: reader.class_weight()?,
    })
}

fn mixed(reader: &Reader<'_>) -> Result<Estimator> {
    let lasso = reader.name == "lasso";
    if lasso {
        reader.allow(&["alpha", "max_iter", "tol"])?;
    } else {
        reader.allow(&["alpha", "l1_ratio", "max_iter", "tol"])?;
    }
    Ok(Estimator::Linear(Penalty::Mixed {
        alpha: reader.number("alpha", 1.0, 0.0)?,
        l1_ratio: if lasso {
            1.0
        } else {
            reader.share("l1_ratio", 0.5)?
        },
        max_iter: u32::try_from(reader.whole("max_iter", 1000, 1)?).unwrap_or(u32::MAX),
        tolerance: reader.number("tol", 1e-4, 0.0)?,
    }))
}

fn neighbours(reader: &Reader<'_>) -> Result<Estimator> {
    reader.allow(&["n_neighbors", "weights"])?;
    Ok(Estimator::Neighbours(NeighbourSettings {
        neighbours: reader.whole("n_neighbors", 5, 1)?,
        by_distance: reader.one_of("weights", &["uniform", "distance"])? == "distance",
    }))
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Tree,
    Random,
    Extra,
}

fn forest(reader: &Reader<'_>, goal: Goal, kind: Kind) -> Result<Estimator> {
    let mut known = vec![
        "max_depth",
        "min_samples_leaf",
        "min_samples_split",
        "max_features",
        "criterion",
    ];
    if kind != Kind::Tree {
        known.insert(0, "n_estimators");
        known.push("bootstrap");
    }
    if goal == Goal::Classes {
        known.push("class_weight");
    }
    reader.allow(&known)?;
    let criteria: &[&str] = if goal == Goal::Classes {
        &["gini"]
    } else {
        &["squared_error"]
    };
    reader.one_of("criterion", criteria)?;
    let features = if goal == Goal::Classes && kind != Kind::Tree {
        MaxFeatures::SquareRoot
    } else {
        MaxFeatures::All
    };
    Ok(Estimator::Forest {
        settings: ForestSettings {
            trees: if kind == Kind::Tree {
                1
            } else {
                reader.whole("n_estimators", 100, 1)?
            },
            max_depth: reader.optional("max_depth", 1)?.unwrap_or(usize::MAX),
            min_samples_leaf: reader.whole("min_samples_leaf", 1, 1)?,
            min_samples_split: reader.whole("min_samples_split", 2, 2)?,
            max_features: 0,
            bootstrap: kind != Kind::Tree && reader.boolean("bootstrap", kind == Kind::Random)?,
            random_splits: kind == Kind::Extra,
            seed: 0,
        },
        features: reader.max_features(features)?,
        weight: if goal == Goal::Classes {
            reader.class_weight()?
        } else {
            ClassWeight::None
        },
    })
}

fn boosting(reader: &Reader<'_>, goal: Goal) -> Result<Estimator> {
    let mut known = vec![
        "learning_rate",
        "max_iter",
        "max_leaf_nodes",
        "max_depth",
        "l2_regularization",
        "min_samples_leaf",
        "early_stopping",
        "categorical_features",
        "monotonic_cst",
    ];
    if goal == Goal::Classes {
        known.push("class_weight");
    }
    reader.allow(&known)?;
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
        categories: reader.categories()?,
        monotone: reader.directions()?,
        weight: if goal == Goal::Classes {
            reader.class_weight()?
        } else {
            ClassWeight::None
        },
    })
}

fn k_means(reader: &Reader<'_>) -> Result<Estimator> {
    reader.allow(&["n_clusters", "n_init", "max_iter", "tol"])?;
    Ok(Estimator::KMeans(KMeansSettings {
        clusters: reader.whole("n_clusters", 8, 2)?,
        starts: reader.whole("n_init", 1, 1)?,
        max_iter: reader.whole("max_iter", 300, 1)?,
        tolerance: reader.number("tol", 1e-4, 0.0)?,
    }))
}

fn isolation(reader: &Reader<'_>) -> Result<Estimator> {
    reader.allow(&["n_estimators", "max_samples", "contamination"])?;
    let contamination = match reader.parameters.get("contamination") {
        None => None,
        Some(Value::String(text)) if text == "auto" => None,
        Some(_) => Some(reader.share("contamination", 0.0)?),
    };
    Ok(Estimator::Isolation(IsolationSettings {
        trees: reader.whole("n_estimators", 100, 1)?,
        max_samples: reader.whole("max_samples", 256, 2)?,
        contamination,
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Estimator, Parameters};
    use crate::data::Goal;

    fn parse(name: &str, parameters: serde_json::Value) -> Result<Estimator, String> {
        let parameters: Parameters = serde_json::from_value(parameters).unwrap();
        Estimator::parse(Goal::Classes, name, &parameters).map_err(|error| error.to_string())
    }

    #[test]
    fn wrong_settings_say_what_is_expected() {
        let cases = [
            (
                "forest",
                json!({}),
                "there is no classifier `forest`; there are logistic_regression, linear_svm, gaussian_naive_bayes, k_nearest_neighbors, decision_tree, random_forest, extra_trees, gradient_boosting",
            ),
            (
                "logistic_regression",
                json!({"c": 1}),
                "`logistic_regression` has no parameter `c`; it has C, penalty, l1_ratio, class_weight, max_iter, tol; did you mean `C`?",
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
                "`class_weight: \"equal\"` of `random_forest`: expected balanced, null, or a weight for every class",
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
