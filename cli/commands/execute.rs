//! Works on a run in the foreground: listeners, signals, mail, the answer.

use std::{future::Future, sync::Arc, time::Duration};

use pipectl_engine::{
    id::RunId,
    plan::Plan,
    runner::{Options, RunnerError},
    state::RunState,
    store::RunRecord,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{
    arguments::Format,
    commands::{daemon::shared_store, turn},
    console,
    exit::{Exit, Problem},
    output::{DIM, Output},
    project::Context,
    records::{self, RunDocument},
    wire::House,
};

/// A run to work on.
pub(super) struct Execution<'a> {
    pub(super) context: &'a Context,
    pub(super) house: &'a House,
    pub(super) plan: Arc<Plan>,
    pub(super) format: Format,
}

impl Execution<'_> {
    /// Works on a run until it is over, tells its end, and sends what mail there is.
    pub(super) async fn work(
        &self,
        runner: &pipectl_engine::runner::Runner,
        run: RunId,
        options: Options,
    ) -> anyhow::Result<Exit> {
        let output = &self.context.output;
        let cancel = options.cancel.clone();
        let work = Box::pin(async {
            // Who gives up while he waits has the run written down as cancelled.
            let plan = Arc::clone(&self.plan);
            let claim = turn::wait(self.house, runner, &plan, run, output, &cancel).await?;
            let state = match claim {
                Some(claim) => runner.execute_claimed(plan, run, claim, options).await,
                None => runner.execute(plan, run, options).await,
            };
            state.map_err(|error| judged(error, run))
        });
        let resume = format!("`pipectl run --resume {}` goes on with it", run.short());
        let result = match interruptible(output, &cancel, work, away(self.house)).await? {
            Ended::Over(result) => result,
            Ended::Left => {
                let left = "left at once; the run was not brought to its end";
                return Err(Problem::new(Exit::Interrupted, left).hint(resume).into());
            }
            Ended::Away(why) => {
                let left = "left: the run could not be brought to its end, because the run history is away";
                let problem = Problem::new(Exit::Interrupted, left).because(why);
                let hint = format!("when the history can be reached again, {resume}");
                return Err(problem.hint(hint).into());
            }
        };
        let state = result?;
        self.answer(run).await?;
        let is_own = |record: &RunRecord| record.run.id == run;
        if self.house.send_mail(output, is_own).await {
            return Ok(Exit::Interrupted);
        }
        Ok(match state {
            RunState::Success => Exit::Done,
            RunState::Cancelled => Exit::Interrupted,
            RunState::Failed | RunState::Queued | RunState::Running => Exit::Failed,
        })
    }

    async fn answer(&self, run: RunId) -> anyhow::Result<()> {
        let output = &self.context.output;
        let store = &self.house.store;
        let Some(record) = store.run(run).await? else {
            return Ok(());
        };
        let tasks = records::tasks(&**store, run, Some(&self.plan)).await?;
        let state_dir = &self.house.project.state_dir;
        for failure in console::failures(&record, &tasks, Some(&self.plan), state_dir, output.err) {
            output.stderr(format_args!("\n{failure}"));
        }
        match self.format {
            Format::Json => output.json(&RunDocument::new(&record, tasks)),
            Format::Text => {
                output.note("");
                output.print(console::summary(
                    &record,
                    &tasks,
                    &records::standings(&**store, &tasks).await?,
                    output.out,
                ));
                let next = console::next(&record, &tasks).join("\n  ");
                output.note(output.err.paint(DIM, format_args!("\n  {next}")));
            }
        }
        Ok(())
    }
}

/// How work has ended that may be interrupted.
enum Ended<T> {
    /// It came to its end.
    Over(T),
    /// It was left behind, because somebody wants to be gone at once.
    Left,
    /// It was left behind, because it could not come to its end, for this reason.
    Away(anyhow::Error),
}

/// How often a history that is to be written for the last time may be out of reach, one time after the other.
const KNOCKS: u32 = 3;
/// How long it may take to answer each time.
const KNOCK: Duration = Duration::from_secs(1);

/// Answers when the server of a house's history has been away for a few seconds, with the reason.
async fn away(house: &House) -> anyhow::Error {
    if !shared_store(&house.project) {
        return std::future::pending().await;
    }
    let mut away = 0;
    loop {
        tokio::time::sleep(KNOCK).await;
        let why = match tokio::time::timeout(KNOCK, House::store(&house.project)).await {
            Ok(Ok(_)) => {
                away = 0;
                continue;
            }
            Ok(Err(why)) => why,
            Err(_) => anyhow::anyhow!("it does not answer"),
        };
        away += 1;
        if away >= KNOCKS {
            return why;
        }
    }
}

/// Does `work`; the first signal to stop cancels it, the second leaves it behind. After the first, it is left behind too
/// when `away` answers.
async fn interruptible<T>(
    output: &Output,
    cancel: &CancellationToken,
    work: impl Future<Output = T>,
    away: impl Future<Output = anyhow::Error>,
) -> anyhow::Result<Ended<T>> {
    let listen = |kind| {
        signal(kind)
            .map_err(|error| Problem::environment("cannot listen for signals").because(error))
    };
    let (mut interrupt, mut terminate) = (
        listen(SignalKind::interrupt())?,
        listen(SignalKind::terminate())?,
    );
    let (mut work, mut away) = (std::pin::pin!(work), std::pin::pin!(away));
    for signals in 0.. {
        tokio::select! {
            biased;
            result = &mut work => return Ok(Ended::Over(result)),
            why = &mut away, if signals > 0 => return Ok(Ended::Away(why)),
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if signals > 0 {
            break;
        }
        output.note("stopping; press Ctrl-C again to leave at once");
        cancel.cancel();
    }
    Ok(Ended::Left)
}

/// Waits for a signal to stop, says so and tells `stop`; answers at the second signal.
pub(super) async fn stop_on_signal(output: &Output, stop: &CancellationToken) {
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        return std::future::pending().await;
    };
    for signals in 0..2 {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if signals == 0 {
            output.note("stopping; press Ctrl-C again to leave at once");
            stop.cancel();
        }
    }
}

/// Whose fault it is that a run could not be worked on.
pub(super) fn judged(error: RunnerError, run: RunId) -> anyhow::Error {
    let problem = match &error {
        RunnerError::Busy { owner, .. } => {
            Problem::usage(format!("run {run} is being worked on by {owner}"))
                .hint("wait until it is over, or stop that process")
        }
        RunnerError::Unknown(_) => Problem::usage(format!("there is no run {run}")),
        RunnerError::Lost(_) | RunnerError::Left(_) => {
            Problem::environment(format!("run {run} has been taken over by another process"))
        }
        RunnerError::Store(_) => Problem::environment("the run could not be written down").hint(format!(
            "when the history can be reached again, `pipectl run --resume {}` goes on where it stood",
            run.short()
        )),
    };
    match error {
        RunnerError::Store(source) => problem.because(source).into(),
        _ => problem.into(),
    }
}
