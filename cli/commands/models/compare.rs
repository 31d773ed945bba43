//! `pipectl models compare`: two models on the same rows.

use pipectl_engine::model::another_question;
use pipectl_models::{Measured, measure, metrics::Metric, scorer::Model};
use pipectl_operators::{file_rows, rooms};
use polars::prelude::DataFrame;
use serde_json::{Map, Value, json};

use super::named::{child, content, unusable};
use crate::{
    arguments::{Format, ModelsCompare},
    exit::{Exit, Problem},
    output::GREEN,
    project::Context,
    records::{number, thousands},
    table::{Cell, Table},
    wire::House,
};

/// A model and what it is worth.
struct Compared {
    name: String,
    digest: String,
    measured: Measured,
}

impl Compared {
    fn value(&self, metric: Metric) -> Option<f64> {
        let mut metrics = self.measured.metrics.iter();
        metrics.find(|one| one.metric == metric)?.value
    }
}

pub(super) async fn run(
    context: &Context,
    house: &House,
    arguments: &ModelsCompare,
) -> anyhow::Result<Exit> {
    let frame = read(context, house, arguments).await?;
    let mut opened = Vec::new();
    for name in [&arguments.one, &arguments.other] {
        let bytes = content(house, name).await?;
        let model = Model::open(&bytes, &rooms(&house.project), &[])
            .map_err(|error| unusable(name, &error))?;
        opened.push((name, model));
    }
    if let [(one, a), (other, b)] = opened.as_slice() {
        comparable((one, a), (other, b), arguments.target.as_deref())?;
    }
    let mut both = Vec::new();
    for (name, model) in opened {
        let measured = measure(&model, &frame, arguments.target.as_deref())
            .map_err(|error| unusable(&arguments.data, &error))?;
        let missing = model.missing_columns(&frame);
        if !missing.is_empty() {
            context.output.warning(format_args!(
                "the rows lack `{}`, which `{name}` reads: imputed as in training",
                missing.join("`, `")
            ));
        }
        if measured.learned {
            context.output.warning(format_args!(
                "`{name}` has learned from these very rows: what it is worth on others they do not tell"
            ));
        }
        both.push(Compared {
            name: name.clone(),
            digest: model.digest().to_owned(),
            measured,
        });
    }
    let [one, other] = both.as_slice() else {
        return Ok(Exit::Failed);
    };
    match arguments.format {
        Format::Json => context.output.json(&document(one, other)),
        Format::Text => {
            let output = &context.output;
            output.print(table(one, other).render(output.out));
            output.note(format_args!(
                "{} rows of `{}`; whoever has learned from some of them looks better than it is",
                thousands(frame.height() as u64),
                arguments.data
            ));
        }
    }
    Ok(Exit::Done)
}

/// Refuses models whose measures have nothing to do with each other.
fn comparable(
    (one, a): (&str, &Model),
    (other, b): (&str, &Model),
    target: Option<&str>,
) -> Result<(), Problem> {
    let card = |model: &Model| {
        let of = model.metadata();
        json!({"goal": of.goal, "target": target.unwrap_or(&of.target), "classes": of.classes})
    };
    let Some(why) = another_question(&card(b), &card(a), &format!("`{one}`")) else {
        return Ok(());
    };
    let message = format!("`{other}` cannot be compared with `{one}`: {why}");
    let hint = if target.is_none() && a.metadata().target != b.metadata().target {
        "`--target COLUMN` names the one by which both are judged"
    } else {
        "a measure such as `f1` or `recall` is that of the positive class: `positive:` of `train` says which it is"
    };
    Err(Problem::usage(message).hint(hint))
}

fn table(one: &Compared, other: &Compared) -> Table {
    let mut table = Table::new(["Measure", one.name.as_str(), other.name.as_str(), "Better"]);
    for metric in one.measured.metrics.iter().map(|entry| entry.metric) {
        let (a, b) = (one.value(metric), other.value(metric));
        let shown = |value: Option<f64>| Cell::right(value.map(number).unwrap_or_default());
        let better = better(metric, a, b).map_or("", |first| {
            if first {
                one.name.as_str()
            } else {
                other.name.as_str()
            }
        });
        table.row([
            metric.name().into(),
            shown(a),
            shown(b),
            Cell::styled(GREEN, better),
        ]);
    }
    table
}

/// Whether the first is the better one; `None` when neither is.
fn better(metric: Metric, one: Option<f64>, other: Option<f64>) -> Option<bool> {
    let (one, other) = (one.unwrap_or(f64::NAN), other.unwrap_or(f64::NAN));
    if metric.better(one, other) {
        return Some(true);
    }
    metric.better(other, one).then_some(false)
}

fn document(one: &Compared, other: &Compared) -> Value {
    let of = |model: &Compared| {
        let metrics = model.measured.metrics.iter();
        let metrics = metrics.map(|one| (one.metric.name().to_owned(), json!(one.value)));
        json!({
            "model": model.name,
            "digest": model.digest,
            "learned_from_these_rows": model.measured.learned,
            "metrics": metrics.collect::<serde_json::Map<_, _>>(),
        })
    };
    json!({"rows": one.measured.rows, "models": [of(one), of(other)]})
}

/// The rows of a file, read by the settings that were given.
async fn read(
    context: &Context,
    house: &House,
    arguments: &ModelsCompare,
) -> anyhow::Result<DataFrame> {
    let settings = arguments.with.iter().map(|text| setting(text));
    let settings = settings.collect::<Result<Map<String, Value>, Problem>>()?;
    let path = if arguments.data.contains("://") {
        arguments.data.clone()
    } else {
        // Where the command stands, and not where the project begins.
        let path = std::path::absolute(&arguments.data).map_err(|error| {
            Problem::environment("the working directory is gone").because(error)
        })?;
        path.display().to_string()
    };
    let now = house.clock().now();
    let read = Box::pin(file_rows(child(house), now, &path, settings)).await;
    let (frame, warnings) = read.map_err(|mut error| {
        // It speaks of lines of YAML, as in "say `delimiter: \";\"`".
        if let Some(hint) = &mut error.hint
            && hint.contains(": ")
        {
            hint.push_str(" (here a setting is `--with SETTING=VALUE`)");
        }
        Problem::of_task(&error)
    })?;
    for warning in warnings {
        context.output.warning(warning);
    }
    Ok(frame)
}

/// `name=value`, where the value is JSON or else text.
fn setting(text: &str) -> Result<(String, Value), Problem> {
    let (name, value) = text.split_once('=').ok_or_else(|| {
        Problem::usage(format!("`--with {text}` has no value"))
            .hint("write `--with setting=value`, as in `--with 'delimiter=;'`")
    })?;
    let value = match serde_json::from_str(value) {
        Ok(value) => value,
        // Meant as JSON, and not what a file has between its fields.
        Err(error) if value.len() > 1 && value.starts_with(['{', '[']) => {
            let problem = Problem::usage(format!("`--with {text}` is no JSON: {error}"));
            return Err(problem.hint(
                "as in `--with 'rejects={\"limit\": 10}'` or `--with 'null_values=[\"NA\"]'`",
            ));
        }
        Err(_) => value.into(),
    };
    Ok((name.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_json_or_text() {
        for (text, value) in [
            ("delimiter=;", json!(";")),
            ("delimiter=[", json!("[")),
            ("infer_rows=0", json!(0)),
            ("rejects={\"limit\": 10}", json!({"limit": 10})),
            ("encoding=utf-8", json!("utf-8")),
        ] {
            assert_eq!(setting(text).unwrap().1, value, "{text}");
        }
        for (text, message) in [
            ("header", "`--with header` has no value"),
            (
                "rejects={limit: 10}",
                "`--with rejects={limit: 10}` is no JSON: key must be a string at line 1 column 2",
            ),
        ] {
            assert_eq!(setting(text).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn the_better_one_is_told_by_the_metric() {
        for (metric, one, other, first) in [
            (Metric::F1, Some(0.9), Some(0.8), Some(true)),
            (Metric::LogLoss, Some(0.9), Some(0.8), Some(false)),
            (Metric::F1, Some(0.8), Some(0.8), None),
            (Metric::RocAuc, None, Some(0.5), Some(false)),
            (Metric::RocAuc, None, None, None),
        ] {
            assert_eq!(better(metric, one, other), first, "{metric}");
        }
    }
}
