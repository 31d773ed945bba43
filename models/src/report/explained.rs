//! What the page about a model shows of how it decides: which columns matter, how the answer depends on them, what
//! becomes of rows at every threshold, and what more rows would bring.

use crate::data::{ColumnKind, Goal};
use crate::error::Result;
use crate::onnx::{Dependence, Effect, Metadata, ThresholdCurves};
use crate::report::charts::tick;
use crate::report::lines::{COLOUR_NAMES, Level, Lines, levels};
use crate::report::numbers::{beside, percent};
use crate::report::page::{Chart, ImportanceRow};

/// Columns whose importance is shown.
const IMPORTANT: usize = 20;
/// Letters of a level's name.
const LETTERS: usize = 18;

/// A column, its loss, its effect.
type Row<'a> = (&'a str, Option<f64>, Option<f64>);

/// The columns that matter, by the loss when they are shuffled, then by how far they move the score.
pub(super) fn importances(metadata: &Metadata) -> Vec<ImportanceRow> {
    let effect = |name: &str| {
        let found = metadata.effects.iter().find(|one| one.column == name);
        found.map(|found| found.effect)
    };
    let measured = metadata.importances.iter();
    let mut rows: Vec<Row<'_>> = measured
        .map(|one| (one.column.as_str(), Some(one.loss), effect(&one.column)))
        .collect();
    for one in &metadata.effects {
        if !rows.iter().any(|(name, ..)| *name == one.column) {
            rows.push((&one.column, None, Some(one.effect)));
        }
    }
    let largest =
        |of: fn(&Row<'_>) -> Option<f64>| rows.iter().filter_map(of).fold(1e-12, f64::max);
    let (loss, moved) = (largest(|row| row.1), largest(|row| row.2));
    let told = |value: Option<f64>, largest: f64| {
        value.map_or_else(|| "–".to_owned(), |value| beside(value, largest))
    };
    rows.iter()
        .take(IMPORTANT)
        .map(|row| ImportanceRow {
            column: row.0.to_owned(),
            loss: told(row.1, loss),
            width: width(row.1, loss),
            effect: told(row.2, moved),
            effect_width: width(row.2, moved),
        })
        .collect()
}

/// The length of a bar in percent.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a percentage"
)]
fn width(value: Option<f64>, largest: f64) -> u32 {
    let share = value.unwrap_or(0.0) / largest * 100.0;
    share.clamp(0.0, 100.0).round() as u32
}

/// In which unit the mean Shapley values are; empty when there are none.
pub(super) fn unit(metadata: &Metadata) -> &'static str {
    let boosting = metadata.estimator == "gradient_boosting";
    match metadata.goal {
        _ if metadata.effects.is_empty() => "",
        Goal::Quantity => "in the unit of what is predicted",
        _ if boosting || metadata.estimator == "logistic_regression" => "in log odds",
        _ if metadata.estimator == "linear_svm" => "in the unit of its score",
        _ => "in probability",
    }
}

/// Why it is not shown how far columns move scores, where one expects that; else empty.
pub(super) fn unexplained(metadata: &Metadata) -> &'static str {
    let derived = |one: &Effect| metadata.features.contains_key(&one.column);
    if metadata.effects.iter().any(derived) {
        return "A derived feature is not shuffled by itself, but with the columns that it is made of.";
    }
    let trees = [
        "random_forest",
        "extra_trees",
        "gradient_boosting",
        "decision_tree",
    ];
    if metadata.effects.is_empty() && trees.contains(&metadata.estimator.as_str()) {
        "How far each column moves a score on average (Shapley values) is left out: with trees so many and so deep it would \
         have taken longer than the training. `reasons` of `predict: model` tells it of single rows."
    } else {
        ""
    }
}

/// Precision, recall and F1 at every threshold.
pub(super) fn thresholds(metadata: &Metadata, positive: &str) -> Result<Option<Chart>> {
    let curves = &metadata.evaluation.thresholds;
    if curves.thresholds.len() < 2 {
        return Ok(None);
    }
    let svg = Lines {
        x: &curves.thresholds,
        series: [&curves.precision, &curves.recall, &curves.f1]
            .map(Clone::clone)
            .to_vec(),
        horizontal: "threshold",
        vertical: "share",
        range: Some((0.0, 1.0)),
        mark: Some(metadata.threshold),
        points: false,
        label: &|place| format!("{place:.1}"),
    }
    .draw(&[])?;
    Ok(Some(Chart {
        title: "Thresholds".to_owned(),
        note: format!(
            "Blue: of those called {positive}, the share that is (precision); orange: of those that are, the share that is \
             called so (recall); green: F1. The upright line is the model's threshold.{}",
            best(curves, metadata.threshold)
        ),
        svg,
    }))
}

/// Where F1 is highest, if that is better than at the model's threshold.
fn best(curves: &ThresholdCurves, threshold: f64) -> String {
    let points = || curves.thresholds.iter().zip(&curves.f1);
    let best = points().max_by(|a, b| a.1.total_cmp(b.1));
    let own = points().min_by(|a, b| (a.0 - threshold).abs().total_cmp(&(b.0 - threshold).abs()));
    match (best, own) {
        (Some((place, highest)), Some((_, own))) if highest - own >= 0.005 => format!(
            " F1 is highest from {place:.2} on: {highest:.3} (`tune_threshold: f1` would take that one)."
        ),
        _ => String::new(),
    }
}

/// The metric over the number of rows that were learned from.
pub(super) fn learning(metadata: &Metadata) -> Result<Option<Chart>> {
    let curve = &metadata.learning;
    let (Some(metric), true) = (metadata.metric, curve.x.len() > 1) else {
        return Ok(None);
    };
    let svg = Lines {
        x: &curve.x,
        series: vec![curve.y.clone()],
        horizontal: "rows learned from",
        vertical: metric.name(),
        range: None,
        mark: None,
        points: true,
        label: &|place| format!("{place:.0}"),
    }
    .draw(&[])?;
    Ok(Some(Chart {
        title: "Learning curve".to_owned(),
        note: "Where it still gets better to the right, more rows would help.".to_owned(),
        svg,
    }))
}

/// How the answer depends on the most important columns.
pub(super) fn dependence(metadata: &Metadata, classes: &[String]) -> Result<Vec<Chart>> {
    let answer = match (metadata.goal, classes) {
        (Goal::Classes, [_, positive]) => format!("probability of {positive}"),
        (Goal::Classes, _) => "probability".to_owned(),
        _ => metadata.target.clone(),
    };
    let colours: Vec<String> = classes
        .iter()
        .zip(COLOUR_NAMES)
        .map(|(class, colour)| format!("{colour}: {class}"))
        .collect();
    let mut charts = Vec::new();
    for one in &metadata.dependence {
        let mut notes = Vec::new();
        if metadata.goal == Goal::Classes && classes.len() > 2 {
            notes.push(format!("{}.", colours.join("; ")));
        }
        if !one.feeds.is_empty() {
            notes.push(format!(
                "Moves {} along with it, while all other columns stay: at the ends that makes rows as there are none.",
                one.feeds.join(", ")
            ));
        }
        charts.push(Chart {
            title: one.column.clone(),
            note: notes.join(" "),
            svg: if one.places.is_empty() {
                levels(&named_levels(one))?
            } else {
                curve(one, &answer)?
            },
        });
    }
    Ok(charts)
}

fn named_levels(one: &Dependence) -> Vec<Level> {
    let rows = one.levels.iter().zip(&one.shares).zip(&one.answers);
    rows.map(|((name, share), answers)| Level {
        name: shortened(name),
        share: format!("{} of rows", percent(*share)),
        answers: answers.clone(),
    })
    .collect()
}

fn shortened(name: &str) -> String {
    if name.chars().count() <= LETTERS {
        return name.to_owned();
    }
    let start: String = name.chars().take(LETTERS - 1).collect();
    format!("{start}…")
}

fn curve(one: &Dependence, answer: &str) -> Result<String> {
    let series = one
        .answers
        .first()
        .map_or(0, Vec::len)
        .min(COLOUR_NAMES.len());
    let line = |place: usize| one.answers.iter().map(|answers| answers[place]).collect();
    let dates = one.kind == ColumnKind::Date;
    Lines {
        x: &one.places,
        series: (0..series).map(line).collect(),
        horizontal: "",
        vertical: answer,
        range: None,
        mark: None,
        points: false,
        label: &|place| {
            if dates { month(place) } else { tick(place) }
        },
    }
    .draw(&one.shares)
}

/// Year and month of a day since 1970.
fn month(day: f64) -> String {
    let (year, month, _) = civil(day);
    format!("{year}-{month:02}")
}

/// A day since 1970 as people write it.
pub(super) fn date(day: f64) -> String {
    let (year, month, day) = civil(day);
    format!("{year}-{month:02}-{day:02}")
}

/// Year, month and day of a day since 1970, in the Gregorian calendar.
#[allow(clippy::cast_possible_truncation, reason = "a day of the calendar")]
fn civil(day: f64) -> (i64, i64, i64) {
    // Eras of 400 years, which begin in March so that a leap day is the last of its year.
    let day = day.floor() as i64 + 719_468;
    let (era, day) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    if month < 10 {
        (year + era * 400, month + 3, day)
    } else {
        (year + era * 400 + 1, month - 9, day)
    }
}

#[cfg(test)]
mod tests {
    use super::{date, month, shortened};

    #[test]
    fn days_are_months_of_the_calendar() {
        for (day, expected) in [
            (0.0, "1970-01"),
            (31.5, "1970-02"),
            (-1.0, "1969-12"),
            (19_782.0, "2024-02"),
            (19_783.0, "2024-03"),
        ] {
            assert_eq!(month(day), expected);
        }
        for (day, expected) in [
            (0.0, "1970-01-01"),
            (20_590.0, "2026-05-17"),
            (19_782.0, "2024-02-29"),
        ] {
            assert_eq!(date(day), expected);
        }
    }

    #[test]
    fn names_of_levels_fit() {
        assert_eq!(shortened("zwei Jahre für"), "zwei Jahre für");
        assert_eq!(
            shortened("Electronic cheque, monthly"),
            "Electronic cheque…"
        );
    }
}
