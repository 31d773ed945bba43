//! Partial dependence: the mean answer when a column has the same value in all rows.
//!
//! Friedman: Greedy function approximation (2001), section 8.2.

use rayon::prelude::*;

use crate::data::{Column, ColumnKind, Table, TextColumn, Truth, Values};
use crate::error::Result;
use crate::estimators::Cancel;
use crate::features::extend_unchecked;
use crate::onnx::{ColumnStatistics, Dependence, Metadata};
use crate::prepare::DAY;
use crate::train::Problem;
use crate::train::outcome::Learned;

/// The most important columns, so many.
const COLUMNS: usize = 4;
/// Rows whose answers are averaged.
const ROWS: usize = 200;
/// Levels of a text that are tried.
const LEVELS: usize = 8;
/// Bars of the distribution of a column's values.
const BARS: usize = 19;

/// How the answer depends on the most important columns.
pub(crate) fn dependence(
    problem: &Problem<'_>,
    learned: &Learned<'_>,
    metadata: &Metadata,
    cancel: &Cancel<'_>,
) -> Result<Vec<Dependence>> {
    let step = problem.table.rows.div_ceil(ROWS).max(1);
    let rows: Vec<u32> = (0u32..).take(problem.table.rows).step_by(step).collect();
    let sample = problem.table.take(&rows);
    let important = metadata.importances.iter().filter(|one| one.loss > 0.0);
    let mut found = Vec::new();
    for importance in important.take(COLUMNS) {
        cancel.check()?;
        let statistics = metadata
            .reference
            .iter()
            .find(|one| one.name == importance.column);
        let (Some(statistics), Some(place)) = (
            statistics,
            sample
                .columns
                .iter()
                .position(|column| column.name == importance.column),
        ) else {
            continue;
        };
        let column = &problem.table.columns[place];
        let Some(mut one) = places(statistics, column) else {
            continue;
        };
        one.answers = constants(&one, column.kind, rows.len())
            .into_par_iter()
            .map(|values| {
                let mut table = sample.clone();
                table.columns[place].values = values;
                mean_answer(problem, learned, &table)
            })
            .collect::<Result<_>>()?;
        let fed = problem.features.iter();
        let fed = fed.filter(|feature| feature.columns().contains(&column.name.as_str()));
        one.feeds = fed.map(|feature| feature.name.clone()).collect();
        found.push(one);
    }
    Ok(found)
}

/// Which values are tried, and how the rows are spread over them; nothing of a column with one value.
fn places(statistics: &ColumnStatistics, column: &Column) -> Option<Dependence> {
    let mut one = Dependence {
        column: statistics.name.clone(),
        kind: statistics.kind,
        places: Vec::new(),
        levels: Vec::new(),
        answers: Vec::new(),
        shares: Vec::new(),
        feeds: Vec::new(),
    };
    match statistics.kind {
        ColumnKind::Text => {
            let levels = statistics.levels.iter().take(LEVELS);
            (one.levels, one.shares) = levels.map(|(level, share)| (level.clone(), *share)).unzip();
        }
        ColumnKind::Boolean => {
            let share = statistics.mean?;
            one.levels = vec!["false".to_owned(), "true".to_owned()];
            one.shares = vec![1.0 - share, share];
        }
        ColumnKind::Number | ColumnKind::Date => {
            // The outermost twentieths are rare values, and would squeeze the rest.
            let inner = statistics.quantiles.get(1..20)?;
            one.places = inner.to_vec();
            one.places.dedup();
            one.shares = spread(column, *inner.first()?, *inner.last()?);
        }
    }
    (one.places.len() > 1 || one.levels.len() > 1).then_some(one)
}

/// The share of the rows in each of equally wide bars.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a few bars, a number of rows"
)]
fn spread(column: &Column, low: f64, high: f64) -> Vec<f64> {
    let mut shares = vec![0.0; BARS];
    let mut count = |value: f64| {
        if value >= low && value <= high && low < high {
            let bar = ((value - low) / (high - low) * BARS as f64) as usize;
            shares[bar.min(BARS - 1)] += 1.0 / column.values.len() as f64;
        }
    };
    match &column.values {
        Values::Number(values) => values.iter().for_each(|value| count(*value)),
        Values::Date(values) => values.iter().for_each(|value| count(*value as f64 / DAY)),
        Values::Text(_) => (),
    }
    shares
}

/// For every place a column that has this value in all rows.
#[allow(
    clippy::cast_possible_truncation,
    reason = "days of dates that were there"
)]
fn constants(one: &Dependence, kind: ColumnKind, rows: usize) -> Vec<Values> {
    let places = one.places.iter();
    match kind {
        ColumnKind::Number => places
            .map(|place| Values::Number(vec![*place; rows]))
            .collect(),
        ColumnKind::Date => places
            .map(|place| Values::Date(vec![(place * DAY) as i64; rows]))
            .collect(),
        ColumnKind::Boolean => [0.0, 1.0]
            .map(|flag| Values::Number(vec![flag; rows]))
            .to_vec(),
        ColumnKind::Text => one
            .levels
            .iter()
            .map(|level| {
                let texts = std::iter::repeat_n(Some(level.as_str()), rows);
                Values::Text(TextColumn::new(texts))
            })
            .collect(),
    }
}

/// The mean answer: of two classes the probability of the second, of more every class's, of quantities the number.
#[allow(clippy::cast_precision_loss, reason = "a few rows")]
fn mean_answer(problem: &Problem<'_>, learned: &Learned<'_>, table: &Table) -> Result<Vec<f64>> {
    let extended = extend_unchecked(table, &problem.features)?;
    let matrix = learned.prepared.transform(&extended, learned.estimator)?;
    let mut answers = learned.fitted.answer(&matrix);
    if let Some(calibration) = learned.calibration {
        calibration.apply_to(&mut answers);
    }
    let width = answers.len() / table.rows.max(1);
    let first = match problem.target.truth {
        Truth::Classes { .. } if width == 2 => 1,
        _ => 0,
    };
    Ok((first..width)
        .map(|place| {
            let column = answers.iter().skip(place).step_by(width);
            column.sum::<f64>() / table.rows as f64
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use indexmap::IndexMap;
    use polars::prelude::{DataFrame, df};

    use crate::data::Goal;
    use crate::onnx::Metadata;
    use crate::random::Random;
    use crate::train::{Hooks, Settings, Validation, train};

    const ROWS: usize = 400;

    /// `bill` is ten times `x`, and 5 more in Bern.
    fn bills() -> DataFrame {
        let mut random = Random::new(1, 0);
        let x: Vec<f64> = (0..ROWS).map(|_| random.share() * 10.0).collect();
        let city: Vec<&str> = (0..ROWS)
            .map(|_| ["Bern", "Zürich"][random.below(2)])
            .collect();
        let bern = |row: usize| f64::from(u8::from(city[row] == "Bern"));
        let bill: Vec<f64> = (0..ROWS)
            .map(|row| 10.0 * x[row] + 5.0 * bern(row))
            .collect();
        let dear: Vec<bool> = bill
            .iter()
            .map(|bill| bill + random.share() > 50.0)
            .collect();
        df!("x" => x, "city" => city, "bill" => bill, "dear" => dear).unwrap()
    }

    fn learned(goal: Goal, candidate: &str, learning_curve: bool) -> Metadata {
        let (target, other) = match goal {
            Goal::Quantity => ("bill", "dear"),
            _ => ("dear", "bill"),
        };
        let settings = Settings {
            exclude: vec![other.to_owned()],
            candidates: IndexMap::from([(candidate.to_owned(), IndexMap::new())]),
            validation: Validation {
                folds: 4,
                ..Validation::default()
            },
            learning_curve,
            ..Settings::new(goal, target)
        };
        let trained = train(&bills(), &settings, &Hooks::silent()).unwrap();
        // As it is read again.
        crate::scorer::Model::load(&trained.bytes.unwrap())
            .unwrap()
            .metadata()
            .clone()
    }

    #[test]
    fn the_mean_answer_follows_the_column() {
        let metadata = learned(Goal::Quantity, "linear_regression", false);
        let [x, city] = metadata.dependence.as_slice() else {
            panic!("{:?}", metadata.dependence)
        };
        assert_eq!((x.column.as_str(), x.places.len()), ("x", 19));
        let rise = (x.answers[18][0] - x.answers[0][0]) / (x.places[18] - x.places[0]);
        assert!((rise - 10.0).abs() < 1e-6, "{rise}");
        assert!((x.shares.iter().sum::<f64>() - 0.9).abs() < 0.02);
        assert_eq!(city.levels.len(), 2);
        let at = |level: &str| {
            let place = city.levels.iter().position(|one| one == level).unwrap();
            city.answers[place][0]
        };
        assert!((at("Bern") - at("Zürich") - 5.0).abs() < 1e-6);
        assert!(metadata.learning.is_empty());
    }

    #[test]
    fn effects_are_told_of_trees_and_linear_models_largest_first() {
        for (goal, candidate) in [
            (Goal::Quantity, "linear_regression"),
            (Goal::Classes, "logistic_regression"),
            (Goal::Classes, "random_forest"),
            (Goal::Classes, "gradient_boosting"),
        ] {
            let effects = learned(goal, candidate, false).effects;
            assert_eq!(effects.len(), 2, "{candidate}");
            assert_eq!(effects[0].column, "x", "{candidate}");
            assert!(effects[0].effect > effects[1].effect, "{candidate}");
        }
        assert!(
            learned(Goal::Classes, "gaussian_naive_bayes", false)
                .effects
                .is_empty()
        );
        // x is uniform over ten, so it is 2.5 from its mean on average.
        let linear = learned(Goal::Quantity, "linear_regression", false).effects;
        assert!((linear[0].effect - 25.0).abs() < 2.0 && (linear[1].effect - 2.5).abs() < 0.2);
    }

    #[test]
    fn a_learning_curve_is_told_when_it_is_asked_for() {
        let curve = learned(Goal::Classes, "gradient_boosting", true).learning;
        assert_eq!(curve.x, [30.0, 75.0, 150.0, 300.0]);
        assert!(curve.y[3] > curve.y[0], "{curve:?}");
    }
}
