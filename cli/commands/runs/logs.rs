//! `pipectl runs logs RUN [TASK]`.

use std::{
    collections::HashMap,
    io::{Read, Seek, SeekFrom},
    path::Path,
    time::Duration,
};

use pipectl_engine::{
    id::{RunId, TaskKey},
    runner::log_path,
    store::{AttemptRecord, Store},
};

use crate::{
    arguments::RunsLogs,
    exit::{Exit, Problem},
    output::{DIM, Output},
    project::Context,
    records::find,
    wire::{self, House},
};

/// How often a followed log is looked at.
const POLL: Duration = Duration::from_millis(300);

pub(super) fn run(context: &Context, arguments: &RunsLogs) -> anyhow::Result<Exit> {
    let project = context.project_with_history()?;
    wire::block_on(async {
        let store = House::store(&project).await?;
        let run = find(&*store, &arguments.run).await?.run.id;
        let task = arguments.task.as_deref().map(key).transpose()?;
        let mut printer = Printer {
            output: &context.output,
            state_dir: &project.state_dir,
            run,
            labelled: task.is_none(),
            read: HashMap::new(),
            last: None,
        };
        loop {
            let over = store
                .run(run)
                .await?
                .is_none_or(|record| record.state.is_final());
            let attempts = wanted(&*store, run, task.as_ref(), arguments.attempt).await?;
            for attempt in &attempts {
                printer.print_new(attempt)?;
            }
            if over || !arguments.follow {
                if attempts.is_empty() {
                    return Err(nothing(arguments).into());
                }
                if printer.read.is_empty() {
                    context.output.note("nothing was logged");
                }
                return Ok(Exit::Done);
            }
            tokio::time::sleep(POLL).await;
        }
    })
}

async fn wanted(
    store: &dyn Store,
    run: RunId,
    task: Option<&TaskKey>,
    number: Option<u32>,
) -> anyhow::Result<Vec<AttemptRecord>> {
    let mut attempts = store.attempts(run).await?;
    attempts.retain(|attempt| {
        let fits = task.is_none_or(|task| {
            attempt.key == *task || (task.element.is_none() && attempt.key.task == task.task)
        });
        fits && number.is_none_or(|number| attempt.number == number)
    });
    Ok(attempts)
}

fn nothing(arguments: &RunsLogs) -> Problem {
    let what = match (&arguments.task, arguments.attempt) {
        (Some(task), Some(attempt)) => format!("attempt {attempt} of `{task}`"),
        (Some(task), None) => format!("attempt of `{task}`"),
        (None, Some(attempt)) => format!("attempt {attempt}"),
        (None, None) => "attempt".to_owned(),
    };
    Problem::usage(format!("the run has no {what}")).hint(format!(
        "`pipectl runs show {}` lists its tasks",
        arguments.run
    ))
}

/// A task or an element: `fetch`, `fetch[3]`.
pub(super) fn key(text: &str) -> Result<TaskKey, Problem> {
    let Some((task, rest)) = text.split_once('[') else {
        return Ok(TaskKey::task(text));
    };
    rest.strip_suffix(']')
        .and_then(|number| number.parse().ok())
        .map(|element| TaskKey::element(task, element))
        .ok_or_else(|| {
            Problem::usage(format!("`{text}` is no task or element"))
                .hint("write a task as `fetch`, an element as `fetch[3]`")
        })
}

struct Printer<'a> {
    output: &'a Output,
    state_dir: &'a Path,
    run: RunId,
    labelled: bool,
    /// How much of each attempt's log has been printed.
    read: HashMap<(TaskKey, u32), u64>,
    last: Option<(TaskKey, u32)>,
}

impl Printer<'_> {
    fn print_new(&mut self, attempt: &AttemptRecord) -> anyhow::Result<()> {
        let path = log_path(self.state_dir, self.run, &attempt.key, attempt.number);
        // An attempt that has logged nothing has no file.
        let Ok(mut file) = std::fs::File::open(&path) else {
            return Ok(());
        };
        let name = (attempt.key.clone(), attempt.number);
        let done = self.read.entry(name.clone()).or_insert(0);
        file.seek(SeekFrom::Start(*done))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        // A line that is still being written is printed when it is whole.
        let whole = bytes
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |last| last + 1);
        bytes.truncate(whole);
        if bytes.is_empty() {
            return Ok(());
        }
        *done += bytes.len() as u64;
        if self.labelled && self.last.as_ref() != Some(&name) {
            let label = format!("── {}, attempt {}", attempt.key, attempt.number);
            self.output.line(self.output.out.paint(DIM, label));
        }
        self.last = Some(name);
        self.output.print(String::from_utf8_lossy(&bytes));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_named_by_number() {
        assert_eq!(key("fetch").unwrap(), TaskKey::task("fetch"));
        assert_eq!(key("fetch[3]").unwrap(), TaskKey::element("fetch", 3));
        for wrong in ["fetch[", "fetch[x]", "fetch[3"] {
            assert!(key(wrong).is_err(), "{wrong}");
        }
    }
}
