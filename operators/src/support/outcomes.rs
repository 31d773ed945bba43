//! Outcomes that arrive later, joined to the predictions of the past by key and time.

use std::{collections::HashMap, time::Duration};

use chrono_tz::Tz;
use indexmap::IndexMap;
use pipectl_engine::operator::TaskError;
use pipectl_models::performance::{PeriodRows, Source};
use polars::prelude::*;

use super::{
    frame::polars_error,
    instants::{Scale, instants, scale},
    keys::{Keys, NONE, column, columns, keys},
    periods::{Day, PeriodLength},
};

/// Which columns say what.
#[derive(Clone, Debug)]
pub(crate) struct Matching {
    /// The columns that both tables have.
    pub(crate) key: Vec<String>,
    /// When a prediction was made.
    pub(crate) time: String,
    /// The prediction.
    pub(crate) prediction: String,
    /// What the columns with probabilities begin with.
    pub(crate) probability: String,
    /// The outcome.
    pub(crate) actual: String,
    /// When an outcome came.
    pub(crate) actual_time: Option<String>,
    /// How long after the prediction an outcome counts.
    pub(crate) within: Option<Duration>,
    /// How long a period is.
    pub(crate) period: PeriodLength,
    /// Where its days begin.
    pub(crate) zone: Tz,
}

/// Joined rows.
#[derive(Debug)]
pub(crate) struct Joined {
    pub(crate) source: Source,
    pub(crate) periods: PeriodRows,
    /// What became of the rows, by names for people.
    pub(crate) counts: IndexMap<String, usize>,
}

/// A moment, and the row of its table.
type At = (i64, usize);

impl Matching {
    /// The columns of a table that has outcomes and predictions side by side.
    ///
    /// # Errors
    /// When one of them is not there.
    pub(crate) fn side_by_side(&self, table: &str, frame: &DataFrame) -> Result<Source, TaskError> {
        Ok(Source {
            actual: column(table, frame, &self.actual)?
                .as_materialized_series()
                .clone(),
            prediction: column(table, frame, &self.prediction)?
                .as_materialized_series()
                .clone(),
            probabilities: self.probabilities(frame),
        })
    }

    fn probabilities(&self, frame: &DataFrame) -> Vec<Series> {
        let beginning = format!("{}_", self.probability);
        let wanted = |column: &&Column| {
            let name = column.name().as_str();
            name == self.probability || name.starts_with(&beginning)
        };
        let found = frame.columns().iter().filter(wanted);
        found
            .map(|column| column.as_materialized_series().clone())
            .collect()
    }

    /// Joins: for every prediction the newest outcome of its key that is not older than it.
    ///
    /// # Errors
    /// When columns are missing or cannot be compared.
    pub(crate) fn join(
        &self,
        predictions: &DataFrame,
        actuals: &DataFrame,
    ) -> Result<Joined, TaskError> {
        let own = columns("predictions", predictions, &self.key)?;
        let theirs = columns("actuals", actuals, &self.key)?;
        let heights = [predictions.height(), actuals.height()];
        let numbers = keys(&own, &theirs, heights).map_err(named)?;
        let time = column("predictions", predictions, &self.time)?;
        let scale = self.scale(time, actuals)?;
        let outcomes = Outcomes::of(self, actuals, &numbers, scale)?;
        let made = Made::of(&numbers.left, &instants(time, scale)?);
        let within = self.within.map(|within| scale.stretch(within));
        let (mut pairs, mut waiting) = (Vec::new(), Vec::new());
        for (key, (time, row)) in &made.rows {
            match outcomes.newest(*key, *time, within) {
                Some(outcome) => pairs.push(Pair {
                    row: *row,
                    outcome,
                    time: *time,
                }),
                None => waiting.push(*time),
            }
        }
        let mut used: Vec<usize> = pairs.iter().map(|pair| pair.outcome).collect();
        used.sort_unstable();
        used.dedup();
        let counts = [
            ("predictions", predictions.height()),
            ("predictions_repeated", made.repeated),
            ("predictions_without_key_or_time", made.empty),
            ("predictions_waiting_for_their_outcome", waiting.len()),
            ("outcomes", actuals.height()),
            ("outcomes_without_value_key_or_time", outcomes.empty),
            ("outcomes_without_prediction", outcomes.unknown),
            (
                "outcomes_replaced_or_before_the_prediction",
                outcomes.known - used.len(),
            ),
            ("joined", pairs.len()),
        ];
        let times = pairs.iter().map(|pair| pair.time);
        let day = Day::new(scale, self.zone, time);
        Ok(Joined {
            periods: day.periods(self.period, times, waiting.iter().copied()),
            source: self.source(predictions, actuals, &pairs)?,
            counts: counts.map(|(what, rows)| (what.to_owned(), rows)).into(),
        })
    }

    fn scale(&self, made: &Column, actuals: &DataFrame) -> Result<Scale, TaskError> {
        let mut times = vec![("predictions", made)];
        if let Some(name) = &self.actual_time {
            times.push(("actuals", column("actuals", actuals, name)?));
        }
        match scale(&times)? {
            Scale::Numbers => Err(TaskError::user(format!(
                "`{}` of `predictions` holds whole numbers, not dates or times",
                self.time
            ))
            .hint("cast it in a `transform: sql`, as in `cast(day as date)`")),
            scale => Ok(scale),
        }
    }

    fn source(
        &self,
        predictions: &DataFrame,
        actuals: &DataFrame,
        pairs: &[Pair],
    ) -> Result<Source, TaskError> {
        let fail = |error: PolarsError| polars_error("join outcomes to predictions", &error);
        let index = |pick: fn(&Pair) -> usize| {
            let rows = pairs
                .iter()
                .map(|pair| IdxSize::try_from(pick(pair)).unwrap_or(IdxSize::MAX));
            IdxCa::from_vec("rows".into(), rows.collect())
        };
        let (own, theirs) = (index(|pair| pair.row), index(|pair| pair.outcome));
        let prediction = column("predictions", predictions, &self.prediction)?;
        let actual = column("actuals", actuals, &self.actual)?;
        let take = |series: &Series, rows: &IdxCa| series.take(rows).map_err(fail);
        Ok(Source {
            actual: take(actual.as_materialized_series(), &theirs)?,
            prediction: take(prediction.as_materialized_series(), &own)?,
            probabilities: self
                .probabilities(predictions)
                .iter()
                .map(|series| take(series, &own))
                .collect::<Result<_, _>>()?,
        })
    }
}

/// A prediction with its outcome.
struct Pair {
    /// The prediction's row.
    row: usize,
    /// The outcome's row.
    outcome: usize,
    /// When the prediction was made.
    time: i64,
}

/// The predictions that can have an outcome, in the order of their rows.
struct Made {
    rows: Vec<(usize, At)>,
    /// Predictions that were made again for the same moment.
    repeated: usize,
    /// Predictions that lack a key or a time.
    empty: usize,
}

impl Made {
    fn of(keys: &[u32], times: &Int64Chunked) -> Self {
        let mut last: HashMap<(u32, i64), usize> = HashMap::new();
        let mut empty = 0;
        for (row, (key, time)) in keys.iter().zip(times.iter()).enumerate() {
            match time {
                // Of the same key and moment the later row counts.
                Some(time) if *key != NONE => drop(last.insert((*key, time), row)),
                _ => empty += 1,
            }
        }
        let repeated = keys.len() - empty - last.len();
        let mut rows: Vec<(usize, At)> = last
            .into_iter()
            .map(|((key, time), row)| (key as usize, (time, row)))
            .collect();
        rows.sort_unstable_by_key(|(_, (_, row))| *row);
        Self {
            rows,
            repeated,
            empty,
        }
    }
}

/// Sides by the names that the pipeline gives them.
fn named(mut error: TaskError) -> TaskError {
    let message = error.message.replace("on the left", "in `predictions`");
    error.message = message.replace("on the right", "in `actuals`");
    error
}

/// The outcomes of every key, from the oldest to the newest.
struct Outcomes {
    of: Vec<Vec<At>>,
    /// Whether it is known when they came.
    timed: bool,
    /// Outcomes that lack a value, a key or a time.
    empty: usize,
    /// Outcomes whose key no prediction has.
    unknown: usize,
    /// Outcomes whose key a prediction has.
    known: usize,
}

impl Outcomes {
    fn of(
        matching: &Matching,
        actuals: &DataFrame,
        keys: &Keys,
        scale: Scale,
    ) -> Result<Self, TaskError> {
        let value = column("actuals", actuals, &matching.actual)?;
        let there: Vec<bool> = value
            .is_not_null()
            .iter()
            .map(|there| there == Some(true))
            .collect();
        let mut keyed = vec![true; actuals.height()];
        for key in columns("actuals", actuals, &matching.key)? {
            for (keyed, missing) in keyed.iter_mut().zip(key.is_null().iter()) {
                *keyed &= missing != Some(true);
            }
        }
        let times = match &matching.actual_time {
            Some(name) => Some(arrived(column("actuals", actuals, name)?, scale)?),
            None => None,
        };
        let mut found = Self {
            of: vec![Vec::new(); keys.count],
            timed: times.is_some(),
            empty: 0,
            unknown: 0,
            known: 0,
        };
        for (row, key) in keys.right.iter().enumerate() {
            // Without a time of its own the row that stands last is the newest.
            let time = match &times {
                Some(times) => times[row],
                None => i64::try_from(row).ok(),
            };
            match time.filter(|_| there[row] && keyed[row]) {
                None => found.empty += 1,
                Some(_) if *key == NONE => found.unknown += 1,
                Some(time) => {
                    found.of[*key as usize].push((time, row));
                    found.known += 1;
                }
            }
        }
        for outcomes in &mut found.of {
            outcomes.sort_unstable();
        }
        Ok(found)
    }

    /// The newest outcome of a key that comes with the prediction or after it, and not too late.
    fn newest(&self, key: usize, made: i64, within: Option<i64>) -> Option<usize> {
        let outcomes = self.of.get(key)?;
        if !self.timed {
            return outcomes.last().map(|(_, row)| *row);
        }
        let end = match within {
            Some(within) => {
                let last = made.saturating_add(within);
                outcomes.partition_point(|(came, _)| *came <= last)
            }
            None => outcomes.len(),
        };
        let (came, row) = outcomes.get(end.checked_sub(1)?)?;
        (*came >= made).then_some(*row)
    }
}

/// When outcomes came; one that is dated by its day came by the end of that day.
fn arrived(column: &Column, scale: Scale) -> Result<Vec<Option<i64>>, TaskError> {
    let rest = match column.dtype() {
        DataType::Date => scale.stretch(Duration::from_secs(86_400)) - 1,
        _ => 0,
    };
    let times = instants(column, scale)?;
    Ok(times
        .iter()
        .map(|time| time.map(|time| time + rest))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matching() -> Matching {
        Matching {
            key: vec!["id".into()],
            time: "day".into(),
            prediction: "prediction".into(),
            probability: "probability".into(),
            actual: "left".into(),
            actual_time: Some("came".into()),
            within: None,
            period: PeriodLength::Month,
            zone: chrono_tz::UTC,
        }
    }

    fn dates(frame: DataFrame, names: &[&str]) -> DataFrame {
        let mut frame = frame;
        for name in names {
            let column = frame.column(name).unwrap().cast(&DataType::Date).unwrap();
            frame.with_column(column).unwrap();
        }
        frame
    }

    fn predictions() -> DataFrame {
        let rows = df![
            "id" => [Some(1i64), Some(1), Some(2), Some(3), Some(2), None],
            "day" => [Some("2026-01-10"), Some("2026-03-10"), Some("2026-01-10"), None, Some("2026-01-10"), Some("2026-01-10")],
            "prediction" => ["a", "b", "old", "x", "new", "y"],
        ];
        dates(rows.unwrap(), &["day"])
    }

    fn texts(series: &Series) -> Vec<&str> {
        series.str().unwrap().iter().flatten().collect()
    }

    #[test]
    fn the_newest_outcome_of_a_key_wins_and_what_is_left_is_counted() {
        let actuals = df![
            "id" => [Some(1i64), Some(1), Some(2), Some(9), None, Some(2), Some(1)],
            "came" => [Some("2026-02-01"), Some("2026-02-09"), Some("2026-01-10"), Some("2026-01-10"), Some("2026-01-10"), Some("2026-01-01"), Some("2026-02-12")],
            "left" => [Some("no"), Some("yes"), Some("yes"), Some("no"), Some("no"), Some("early"), None],
        ];
        let actuals = dates(actuals.unwrap(), &["came"]);
        let joined = matching().join(&predictions(), &actuals).unwrap();
        // Customer 1 in January has the newest of two; in March none has come yet. Of customer 2's two rows the later counts.
        assert_eq!(texts(&joined.source.prediction), ["a", "new"]);
        assert_eq!(texts(&joined.source.actual), ["yes", "yes"]);
        assert_eq!(joined.periods.names, ["2026-01", "2026-02", "2026-03"]);
        assert_eq!(
            (joined.periods.of, joined.periods.waiting),
            (vec![0, 0], vec![0, 0, 1])
        );
        let counts: Vec<_> = joined
            .counts
            .iter()
            .map(|(name, rows)| (name.as_str(), *rows))
            .collect();
        assert_eq!(
            counts,
            [
                ("predictions", 6),
                ("predictions_repeated", 1),
                ("predictions_without_key_or_time", 2),
                ("predictions_waiting_for_their_outcome", 1),
                ("outcomes", 7),
                ("outcomes_without_value_key_or_time", 2),
                ("outcomes_without_prediction", 1),
                ("outcomes_replaced_or_before_the_prediction", 2),
                ("joined", 2),
            ]
        );
    }

    #[test]
    fn an_outcome_that_comes_too_late_does_not_count() {
        let actuals = df!["id" => [1i64, 1], "came" => ["2026-01-20", "2026-06-01"], "left" => ["soon", "late"]];
        let actuals = dates(actuals.unwrap(), &["came"]);
        let within = |days: u64| Matching {
            within: Some(Duration::from_secs(days * 86_400)),
            ..matching()
        };
        let found = |matching: Matching| {
            let joined = matching.join(&predictions(), &actuals).unwrap();
            texts(&joined.source.actual).join(" ")
        };
        assert_eq!(found(within(30)), "soon");
        assert_eq!(found(within(100)), "soon late");
        assert_eq!(found(matching()), "late late");
    }

    #[test]
    fn without_a_time_the_last_row_is_the_newest() {
        let actuals = df!["id" => [1i64, 1], "left" => ["first", "last"]].unwrap();
        let matching = Matching {
            actual_time: None,
            ..matching()
        };
        let joined = matching.join(&predictions(), &actuals).unwrap();
        assert_eq!(texts(&joined.source.actual), ["last", "last"]);
    }

    #[test]
    fn tables_that_do_not_fit_say_why() {
        let actuals = df!["id" => ["1"], "left" => ["no"]].unwrap();
        let matching = Matching {
            actual_time: None,
            ..matching()
        };
        let error = matching.join(&predictions(), &actuals).unwrap_err();
        assert_eq!(
            error.message,
            "the key `id` is integer in `predictions` and string in `actuals`"
        );
        let numbers = df!["id" => [1i64], "day" => [3i64], "prediction" => ["a"]].unwrap();
        let actuals = df!["id" => [1i64], "left" => ["no"]].unwrap();
        let error = matching.join(&numbers, &actuals).unwrap_err();
        assert_eq!(
            error.message,
            "`day` of `predictions` holds whole numbers, not dates or times"
        );
        let error = matching
            .join(
                &predictions(),
                &df!["id" => [1i64], "lefft" => ["no"]].unwrap(),
            )
            .unwrap_err();
        assert_eq!(error.message, "`actuals` has no column `left`");
        assert!(error.hint.unwrap().contains("did you mean `lefft`?"));
    }
}
