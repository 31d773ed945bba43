//! `pipectl models compare`: two models on the same rows.

use std::{fs::File, path::Path};

use pipectl_models::{Measured, measure, metrics::Metric, scorer::Model};
use pipectl_operators::rooms;
use polars::prelude::{
    CsvParseOptions, CsvReadOptions, DataFrame, NullValues, ParquetReader, PolarsResult, SerReader,
};
use serde_json::{Value, json};

use super::named::{content, unusable};
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
    let frame = read(&arguments.data, &arguments.nulls)?;
    let mut both = Vec::new();
    for name in [&arguments.one, &arguments.other] {
        let bytes = content(house, name).await?;
        let model = Model::open(&bytes, &rooms(&house.project), &[])
            .map_err(|error| unusable(name, &error))?;
        let measured = measure(&model, &frame, arguments.target.as_deref())
            .map_err(|error| unusable(&arguments.data.display().to_string(), &error))?;
        let missing = model.missing_columns(&frame);
        if !missing.is_empty() {
            context.output.warning(format_args!(
                "the rows lack `{}`, which `{name}` reads: imputed as in training",
                missing.join("`, `")
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
                "{} rows of `{}`",
                thousands(frame.height() as u64),
                arguments.data.display()
            ));
        }
    }
    Ok(Exit::Done)
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
            "metrics": metrics.collect::<serde_json::Map<_, _>>(),
        })
    };
    json!({"rows": one.measured.rows, "models": [of(one), of(other)]})
}

/// The rows of a file.
fn read(path: &Path, nulls: &[String]) -> Result<DataFrame, Problem> {
    let extension = path.extension().and_then(|extension| extension.to_str());
    let frame = match extension.map(str::to_ascii_lowercase).as_deref() {
        Some("csv") => csv(path, nulls),
        Some("parquet") => File::open(path)
            .map_err(Into::into)
            .and_then(|file| ParquetReader::new(file).finish()),
        _ => {
            return Err(Problem::usage(format!(
                "`{}` is neither a `.csv` nor a `.parquet` file",
                path.display()
            )));
        }
    };
    frame
        .map_err(|error| Problem::usage(format!("cannot read `{}`", path.display())).because(error))
}

fn csv(path: &Path, nulls: &[String]) -> PolarsResult<DataFrame> {
    let nulls = nulls.iter().map(|text| text.as_str().into());
    let nulls = NullValues::AllColumns(nulls.chain(["".into()]).collect());
    let options = CsvParseOptions::default()
        .with_try_parse_dates(true)
        .with_null_values(Some(nulls));
    CsvReadOptions::default()
        .with_infer_schema_length(None)
        .with_parse_options(options)
        .try_into_reader_with_file_path(Some(path.to_owned()))?
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;

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
