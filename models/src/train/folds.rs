//! Divides the rows to compare candidates.

use std::collections::HashMap;

use polars::prelude::{DataFrame, DataType};

use crate::data::{Goal, Target, Truth};
use crate::error::{ModelError, Result};
use crate::random::Random;
use crate::train::{Problem, Split};

/// One division of the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fold {
    /// Rows to learn from, ascending.
    pub(crate) train: Vec<u32>,
    /// Rows held out, ascending.
    pub(crate) test: Vec<u32>,
}

/// The folds that the settings ask for, repeat after repeat.
pub(crate) fn divide(frame: &DataFrame, problem: &Problem<'_>) -> Result<Vec<Fold>> {
    let settings = problem.settings;
    let validation = &settings.validation;
    // Of one part that is held out as many parts are made as it goes into all.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a small number"
    )]
    let parts = validation.holdout.map_or(validation.folds, |share| {
        ((1.0 / share).round() as usize).max(2)
    });
    let mut folds = Vec::new();
    for repeat in 0..validation.repeats {
        let seed = settings.seed.wrapping_add(repeat as u64);
        let mut more = match &validation.split {
            Split::Stratified if settings.goal == Goal::Classes => {
                stratified(&problem.target, parts, seed)?
            }
            Split::Stratified | Split::Random => random(problem.target.truth.rows(), parts, seed)?,
            Split::Group(column) => groups(&group_codes(frame, column)?, column, parts, seed)?,
            Split::Time(column) => {
                return in_time(frame, column, parts, validation.holdout.is_some());
            }
        };
        if validation.holdout.is_some() {
            more.truncate(1);
        }
        folds.append(&mut more);
    }
    check_classes(&problem.target, &folds)?;
    Ok(folds)
}

/// Every part must be able to learn every class.
fn check_classes(target: &Target, folds: &[Fold]) -> Result<()> {
    let Truth::Classes { classes, codes } = &target.truth else {
        return Ok(());
    };
    for (number, fold) in folds.iter().enumerate() {
        let mut seen = vec![false; classes.len()];
        fold.train
            .iter()
            .for_each(|row| seen[codes[*row as usize] as usize] = true);
        if let Some(class) = seen.iter().position(|seen| !seen) {
            return Err(ModelError::data(format!(
                "class `{}` of `{}` has no row to learn from in part {} of {}: divide the rows otherwise",
                classes.names()[class],
                target.name,
                number + 1,
                folds.len()
            )));
        }
    }
    Ok(())
}

/// The folds of a number for every row.
fn of_parts(part_of: &[usize], parts: usize) -> Vec<Fold> {
    (0..parts)
        .map(|part| {
            let (test, train) = (0u32..)
                .take(part_of.len())
                .partition(|row| part_of[*row as usize] == part);
            Fold { train, test }
        })
        .collect()
}

/// Deals the shuffled rows of every class to the parts in turn.
fn stratified(target: &Target, parts: usize, seed: u64) -> Result<Vec<Fold>> {
    let Truth::Classes { classes, codes } = &target.truth else {
        return Err(ModelError::internal("classes of something else"));
    };
    let names = classes.names();
    for (name, count) in names.iter().zip(target.counts()) {
        if count < parts {
            let alike =
                |other: &&String| *other != name && other.to_lowercase() == name.to_lowercase();
            let remedy = names.iter().find(alike).map_or_else(
                || "take fewer folds or more data".to_owned(),
                |other| {
                    let target = &target.name;
                    format!("it differs from `{other}` by case alone; `lower({target})` in a query before makes them one")
                },
            );
            return Err(ModelError::data(format!(
                "class `{name}` of `{}` has {count} row{}, fewer than the {parts} folds: {remedy}",
                target.name,
                if count == 1 { "" } else { "s" }
            )));
        }
    }
    let mut part_of = vec![0usize; codes.len()];
    let mut next = 0;
    for class in (0u32..).take(classes.len()) {
        let mut rows: Vec<usize> = (0..codes.len())
            .filter(|row| codes[*row] == class)
            .collect();
        Random::new(seed, u64::from(class)).shuffle(&mut rows);
        for row in rows {
            part_of[row] = next % parts;
            next += 1;
        }
    }
    Ok(of_parts(&part_of, parts))
}

/// Deals the shuffled rows to the parts in turn.
fn random(rows: usize, parts: usize, seed: u64) -> Result<Vec<Fold>> {
    if rows < parts {
        return Err(ModelError::data(format!(
            "{rows} rows are fewer than the {parts} folds: take fewer folds or more data"
        )));
    }
    let mut order: Vec<usize> = (0..rows).collect();
    Random::new(seed, 0).shuffle(&mut order);
    let mut part_of = vec![0; rows];
    for (place, row) in order.into_iter().enumerate() {
        part_of[row] = place % parts;
    }
    Ok(of_parts(&part_of, parts))
}

fn group_codes(frame: &DataFrame, column: &str) -> Result<Vec<usize>> {
    let series = frame
        .column(column)
        .map_err(|_| ModelError::settings(format!("`group` names `{column}`, which is no column")))?
        .as_materialized_series()
        .cast(&DataType::String)?;
    let mut known: HashMap<&str, usize> = HashMap::new();
    Ok(series
        .str()?
        .iter()
        .map(|value| {
            let next = known.len();
            *known.entry(value.unwrap_or("")).or_insert(next)
        })
        .collect())
}

/// Gives the groups, the largest first, each to the part that has the fewest rows; equally large ones in random order.
fn groups(codes: &[usize], column: &str, parts: usize, seed: u64) -> Result<Vec<Fold>> {
    let count = codes.iter().max().map_or(0, |last| last + 1);
    if count < parts {
        return Err(ModelError::data(format!(
            "`{column}` has {count} groups, fewer than the {parts} folds: take fewer folds"
        )));
    }
    let mut sizes = vec![0usize; count];
    for code in codes {
        sizes[*code] += 1;
    }
    let mut order: Vec<usize> = (0..count).collect();
    Random::new(seed, 0).shuffle(&mut order);
    order.sort_by_key(|group| std::cmp::Reverse(sizes[*group]));
    let mut part_of_group = vec![0; count];
    let mut rows = vec![0usize; parts];
    for group in order {
        let lightest = (1..parts).fold(0, |best, at| if rows[at] < rows[best] { at } else { best });
        part_of_group[group] = lightest;
        rows[lightest] += sizes[group];
    }
    let part_of: Vec<usize> = codes.iter().map(|code| part_of_group[*code]).collect();
    Ok(of_parts(&part_of, parts))
}

/// Every part is judged by a model of all rows before it; the first part is only learned from. Rows of one moment stay
/// together.
fn in_time(frame: &DataFrame, column: &str, parts: usize, last_only: bool) -> Result<Vec<Fold>> {
    let series = frame
        .column(column)
        .map_err(|_| ModelError::settings(format!("`time` names `{column}`, which is no column")))?
        .as_materialized_series()
        .to_physical_repr()
        .cast(&DataType::Float64)
        .map_err(|_| {
            ModelError::settings(format!(
                "`time` names `{column}`, which is no date, time or number"
            ))
        })?;
    if series.null_count() > 0 {
        return Err(ModelError::data(format!(
            "`{column}`, by which rows are divided, is null in {} rows",
            series.null_count()
        )));
    }
    let moments: Vec<f64> = series.f64()?.iter().flatten().collect();
    let mut order: Vec<u32> = (0u32..).take(moments.len()).collect();
    order.sort_by(|a, b| moments[*a as usize].total_cmp(&moments[*b as usize]));
    let chunks = if last_only { parts } else { parts + 1 };
    let cut = |part: usize| {
        let mut place = moments.len() * part / chunks;
        while place > 0
            && place < order.len()
            && moments[order[place] as usize] <= moments[order[place - 1] as usize]
        {
            place += 1;
        }
        place
    };
    let first = if last_only { parts - 1 } else { 1 };
    let mut folds = Vec::new();
    for part in first..chunks {
        let (start, end) = (cut(part), cut(part + 1));
        if start == 0 || start >= end {
            return Err(ModelError::data(format!(
                "`{column}` has too few different moments for {parts} folds"
            )));
        }
        let sorted = |rows: &[u32]| {
            let mut rows = rows.to_vec();
            rows.sort_unstable();
            rows
        };
        folds.push(Fold {
            train: sorted(&order[..start]),
            test: sorted(&order[start..end]),
        });
    }
    Ok(folds)
}

#[cfg(test)]
mod tests {
    use polars::prelude::df;

    use super::{groups, in_time, random, stratified};
    use crate::data::{Classes, Target, Truth};

    fn target(codes: Vec<u32>) -> Target {
        let classes = Classes::Boolean(vec![false, true]);
        Target {
            name: "y".into(),
            truth: Truth::Classes { classes, codes },
        }
    }

    #[test]
    fn every_row_is_held_out_once_and_classes_are_even() {
        let codes: Vec<u32> = (0..103).map(|row| u32::from(row % 10 == 0)).collect();
        let target = target(codes.clone());
        let folds = stratified(&target, 5, 1).unwrap();
        let mut seen: Vec<u32> = folds.iter().flat_map(|fold| fold.test.clone()).collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..103).collect::<Vec<_>>());
        for fold in &folds {
            let positives = fold
                .test
                .iter()
                .filter(|row| codes[**row as usize] == 1)
                .count();
            assert!((2..=3).contains(&positives));
            assert_eq!(fold.train.len() + fold.test.len(), 103);
        }
        assert_ne!(folds, stratified(&target, 5, 2).unwrap());
        assert_eq!(random(103, 5, 1).unwrap().len(), 5);
    }

    #[test]
    fn a_class_that_is_too_small_is_named() {
        let error = stratified(&target(vec![0, 0, 0, 1]), 3, 0)
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "class `true` of `y` has 1 row, fewer than the 3 folds: take fewer folds or more data"
        );
    }

    #[test]
    fn a_group_is_never_on_both_sides() {
        let codes: Vec<usize> = (0..100).map(|row| row * row % 23).collect();
        for fold in groups(&codes, "who", 4, 3).unwrap() {
            for row in &fold.test {
                let group = codes[*row as usize];
                assert!(
                    fold.train
                        .iter()
                        .all(|other| codes[*other as usize] != group)
                );
            }
            assert!(fold.test.len() > 15);
        }
        assert!(groups(&[0, 1, 0], "who", 3, 0).is_err());
    }

    #[test]
    fn nobody_learns_from_the_future() {
        let days: Vec<i32> = (0..60).map(|row| row * 7 % 20).collect();
        let frame = df!("day" => &days).unwrap();
        let folds = in_time(&frame, "day", 3, false).unwrap();
        assert_eq!(folds.len(), 3);
        for fold in folds
            .iter()
            .chain(&in_time(&frame, "day", 4, true).unwrap())
        {
            let last = fold.train.iter().map(|row| days[*row as usize]).max();
            let first = fold.test.iter().map(|row| days[*row as usize]).min();
            assert!(last < first);
        }
        assert!(in_time(&frame, "hour", 3, false).is_err());
    }
}
