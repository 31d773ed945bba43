//! Whether a task has come to what a test expects.

use pipectl_engine::{
    plan::Expectation,
    state::TaskState,
    store::{OutputRecord, TaskRecord},
};

use super::rows;
use crate::wire::House;

/// What is not as expected.
pub(super) async fn judge(
    house: &House,
    expected: &Expectation,
    record: Option<&TaskRecord>,
) -> anyhow::Result<Vec<String>> {
    let Some(record) = record else {
        return Ok(vec!["it did not run".to_owned()]);
    };
    let mut failures = Vec::new();
    let wanted = expected.state.unwrap_or(TaskState::Success);
    if record.state != wanted {
        let reason = record
            .error
            .as_ref()
            .map(|error| error.message.as_str())
            .or(record.note.as_deref())
            .map(|reason| format!(": {reason}"))
            .unwrap_or_default();
        failures.push(format!("expected {wanted}, found {}{reason}", record.state));
        return Ok(failures);
    }
    let output = record.output.clone().unwrap_or_default();
    measured(expected, &output, &mut failures);
    let Some(dataset) = output.datasets.first() else {
        if expected.rows.is_some() || expected.equals.is_some() || expected.columns.is_some() {
            failures.push("it has put out no dataset".to_owned());
        }
        return Ok(failures);
    };
    if let Some(rows) = expected.rows
        && rows != dataset.rows
    {
        failures.push(format!("expected {rows} rows, found {}", dataset.rows));
    }
    if let Some(columns) = &expected.columns {
        let found: Vec<&str> = dataset
            .columns
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        if found != *columns {
            failures.push(format!(
                "expected the columns {}, found {}",
                columns.join(", "),
                found.join(", ")
            ));
        }
    }
    if let Some(equals) = &expected.equals {
        let file = house.artifacts.local(&dataset.key).await?;
        let found = rows::rows(&rows::parquet(&file)?);
        match rows::frame(&house.project, equals) {
            Err(error) => failures.push(format!("what is expected cannot be read: {error}")),
            Ok(frame) => {
                if let Some(difference) = rows::difference(&rows::rows(&frame), &found) {
                    let legend = "its rows differ (- expected, + found):";
                    failures.push(format!("{legend}\n  {}", difference.replace('\n', "\n  ")));
                }
            }
        }
    }
    Ok(failures)
}

fn measured(expected: &Expectation, output: &OutputRecord, failures: &mut Vec<String>) {
    for (name, value) in &expected.values {
        match output.values.get(name) {
            Some(found) if found == value => {}
            Some(found) => failures.push(format!("expected {name} = {value}, found {found}")),
            None => failures.push(format!("expected {name} = {value}, it has no such value")),
        }
    }
    for (name, (least, most)) in &expected.metrics {
        let wanted = if least.total_cmp(most).is_eq() {
            format!("{least}")
        } else {
            format!("{least} to {most}")
        };
        match output.metrics.get(name) {
            Some(found) if (*least..=*most).contains(found) => {}
            Some(found) => failures.push(format!("expected {name} = {wanted}, found {found}")),
            None => failures.push(format!(
                "expected {name} = {wanted}, it has no such measure"
            )),
        }
    }
}
