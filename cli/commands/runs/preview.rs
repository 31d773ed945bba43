//! `pipectl runs preview RUN TASK[.DATASET]`.

use pipectl_engine::{
    dataset::StoredDataset,
    preview::{ColumnPreview, Preview, preview, preview_together},
    store::TaskRecord,
};
use serde_json::{Value, json};

use super::logs::key;
use crate::{
    arguments::{Format, RunsPreview},
    exit::{Exit, Problem},
    output::{DIM, Output},
    project::Context,
    records::find,
    table::{Cell, Table},
    wire::{self, House},
};

/// The heights of a histogram's bars.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// How wide a cell of the first rows may be.
const WIDE: usize = 24;

pub(super) fn run(context: &Context, arguments: &RunsPreview) -> anyhow::Result<Exit> {
    let project = context.project_with_history()?;
    wire::block_on(async {
        let house = House::open(project).await?;
        let run = find(&*house.store, &arguments.run).await?.run.id;
        let (task, dataset) = match arguments.task.split_once('.') {
            Some((task, dataset)) => (task, Some(dataset)),
            None => (&*arguments.task, None),
        };
        let task = key(task)?;
        let tasks = house.store.tasks(run).await?;
        let Some(record) = tasks.iter().find(|record| record.key == task) else {
            let names = tasks.iter().map(|record| record.key.to_string());
            let names = names.collect::<Vec<_>>().join(", ");
            let problem = Problem::usage(format!("the run has no task `{task}`"));
            return Err(problem.hint(format!("it has {names}")).into());
        };
        // A repeated task has put out what its elements have, in their order.
        let mut elements: Vec<&TaskRecord> = tasks
            .iter()
            .filter(|other| task.element.is_none() && other.key.task == task.task)
            .filter(|other| other.key.element.is_some())
            .collect();
        elements.sort_by_key(|element| element.key.element);
        if elements.is_empty() {
            elements.push(record);
        }
        let outputs = || elements.iter().filter_map(|task| task.output.as_ref());
        let datasets: Vec<&StoredDataset> = outputs()
            .next()
            .map_or_else(Vec::new, |output| output.datasets.iter().collect());
        let wanted = match dataset {
            None => datasets.first(),
            Some(name) => datasets.iter().find(|stored| stored.name == name),
        };
        let Some(stored) = wanted else {
            return Err(nothing(&arguments.task, record.state.name(), &datasets).into());
        };
        let all = outputs().flat_map(|output| &output.datasets);
        let parts: Vec<StoredDataset> = all
            .filter(|part| part.name == stored.name)
            .cloned()
            .collect();
        let made = match parts.as_slice() {
            [one] => preview(&*house.artifacts, one).await,
            several => preview_together(&*house.artifacts, several).await,
        };
        let preview = made.map_err(|error| {
            Problem::environment(format!("cannot look into `{}`", arguments.task)).because(error)
        })?;
        match arguments.format {
            Format::Json => context.output.json(&json!({
                "run": run, "task": task.to_string(), "dataset": stored.name, "preview": preview,
            })),
            Format::Text => show(&context.output, &preview),
        }
        Ok(Exit::Done)
    })
}

fn nothing(task: &str, state: &str, datasets: &[&StoredDataset]) -> Problem {
    let problem = Problem::usage(format!("`{task}` has put out no such dataset"));
    if datasets.is_empty() {
        return problem.hint(format!("the task is {state}, and has no datasets"));
    }
    let names: Vec<&str> = datasets.iter().map(|stored| stored.name.as_str()).collect();
    problem.hint(format!("there are {}", names.join(", ")))
}

fn show(output: &Output, preview: &Preview) {
    let mut table = Table::new(["Column", "Type", "Missing", "Distinct", "Values"]);
    for column in &preview.columns {
        let distinct = column.distinct.map(|count| count.to_string());
        table.row([
            column.name.as_str().into(),
            Cell::styled(DIM, &*column.of),
            Cell::right(column.nulls.to_string()),
            Cell::right(distinct.unwrap_or_default()),
            values(column).into(),
        ]);
    }
    output.print(table.render(output.out));
    output.line("");
    let mut head = Table::new(preview.columns.iter().map(|column| short(&column.name)));
    for row in &preview.head {
        head.row(row.iter().map(|value| Cell::from(short(&plain(value)))));
    }
    output.print(head.render(output.out));
    let rows = preview.rows;
    let (shown, looked_at) = (preview.head.len(), preview.looked_at);
    let line = if looked_at < rows {
        format!("\n{shown} of {rows} rows; the columns' facts are about the first {looked_at}")
    } else {
        format!("\n{shown} of {rows} rows")
    };
    output.line(output.out.paint(DIM, line));
}

/// `0 ▁▃█▅▂ 72, mean 32.4`, or the most frequent values.
fn values(column: &ColumnPreview) -> String {
    if let (Some(least), Some(greatest)) = (&column.least, &column.greatest) {
        let most = column.histogram.iter().copied().max().unwrap_or(0).max(1);
        let bars = column.histogram.iter().map(|count| bar(*count, most));
        let bars: String = bars.collect();
        let mean = column.mean.map(|mean| format!(", mean {mean:.4}"));
        return format!(
            "{} {bars} {}{}",
            plain(least),
            plain(greatest),
            mean.unwrap_or_default()
        );
    }
    let frequent = column.frequent.iter().take(4);
    let frequent = frequent.map(|(value, times)| format!("{} ({times})", short(&plain(value))));
    frequent.collect::<Vec<_>>().join(", ")
}

fn bar(count: u64, most: u64) -> char {
    let last = BARS.len() as u64 - 1;
    let height = count.saturating_mul(last).div_ceil(most).min(last);
    usize::try_from(height)
        .ok()
        .and_then(|height| BARS.get(height).copied())
        .unwrap_or(' ')
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn short(text: &str) -> String {
    if text.chars().count() <= WIDE {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(WIDE - 1).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_high_as_their_share() {
        let bars: String = [0, 1, 5, 10]
            .map(|count| bar(count, 10))
            .into_iter()
            .collect();
        assert_eq!(bars, "▁▂▅█");
    }
}
