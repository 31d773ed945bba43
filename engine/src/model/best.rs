//! The best of a model's versions by a measure.

use super::{CHAMPION, ModelVersion, another_question};

/// Measures of which less is better, by scikit-learn's names and short ones.
const LESS: [&str; 21] = [
    "brier",
    "brier_score",
    "davies_bouldin",
    "hamming_loss",
    "hinge_loss",
    "inertia",
    "log_loss",
    "loss",
    "mae",
    "mape",
    "max_error",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_pinball_loss",
    "mean_squared_error",
    "mean_squared_log_error",
    "median_absolute_error",
    "mse",
    "rmse",
    "rmsle",
    "root_mean_squared_error",
];

/// Whether less of a measure is better, as of `log_loss` and `rmse`.
pub fn less_is_better(measure: &str) -> bool {
    LESS.contains(&measure)
}

/// The version that is best by a measure, of those that answer the champion's question. Of equal ones the oldest: a newer
/// one has to be better to take over.
pub fn best_version<'a>(versions: &'a [ModelVersion], measure: &str) -> Option<&'a ModelVersion> {
    let sign = if less_is_better(measure) { -1.0 } else { 1.0 };
    let is_champion = |version: &&ModelVersion| version.aliases.iter().any(|one| one == CHAMPION);
    let champion = versions.iter().find(is_champion);
    let answers = |version: &&ModelVersion| {
        champion.is_none_or(|champion| {
            another_question(&version.card, &champion.card, "the champion").is_none()
        })
    };
    let measured = versions.iter().filter(answers).filter_map(|version| {
        let value = *version.metrics.get(measure)?;
        (!value.is_nan()).then_some((sign * value, version))
    });
    let best = measured.max_by(|(one, a), (other, b)| {
        one.total_cmp(other).then_with(|| b.version.cmp(&a.version))
    });
    best.map(|(_, version)| version)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::time::{Clock, SystemClock};

    fn version(version: u32, measures: &[(&str, f64)]) -> ModelVersion {
        let metrics = measures
            .iter()
            .map(|(name, value)| ((*name).to_owned(), *value));
        ModelVersion {
            name: "auto".to_owned(),
            version,
            run: None,
            task: None,
            created: SystemClock.now(),
            artifact: String::new(),
            digest: String::new(),
            bytes: 0,
            metrics: metrics.collect::<BTreeMap<_, _>>(),
            card: json!({}),
            aliases: Vec::new(),
        }
    }

    #[test]
    fn the_best_version_is_found() {
        let versions = [
            version(4, &[("f1", 0.7), ("log_loss", 0.3)]),
            version(3, &[("f1", 0.9), ("log_loss", 0.4)]),
            version(2, &[("f1", 0.9), ("log_loss", 0.2)]),
            version(1, &[("f1", f64::NAN), ("accuracy", 0.1)]),
        ];
        for (measure, best) in [
            ("f1", Some(2)),
            ("log_loss", Some(2)),
            ("accuracy", Some(1)),
            ("rmse", None),
        ] {
            let found = best_version(&versions, measure).map(|version| version.version);
            assert_eq!(found, best, "{measure}");
        }
    }

    #[test]
    fn who_answers_another_question_is_not_the_best() {
        let classes = |names: [&str; 2]| json!({"classes": {"type": "text", "values": names}});
        let mut versions = [
            version(3, &[("f1", 0.9)]),
            version(2, &[("f1", 0.7)]),
            version(1, &[("f1", 0.6)]),
        ];
        versions[0].card = classes(["yes", "no"]);
        versions[1].card = classes(["no", "yes"]);
        versions[2].card = classes(["no", "yes"]);
        let best = |versions: &[ModelVersion]| best_version(versions, "f1").unwrap().version;
        assert_eq!(best(&versions), 3);
        versions[2].aliases = vec!["champion".to_owned()];
        assert_eq!(best(&versions), 2);
    }

    #[test]
    fn the_list_is_in_order() {
        assert!(LESS.is_sorted());
    }
}
