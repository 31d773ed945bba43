//! One attempt: the operator in a task of its own, within its time, its panic caught.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt;
use tokio::task::JoinHandle;

use super::{
    Parts,
    cache::{self, Wanted},
    job::{End, Job, Message},
    persist::{self, Persisted},
};
use crate::{
    failpoint,
    operator::{DynOperator, ErasedConfig, Isolator, Outcome, TaskContext, TaskError},
    time::human_duration,
};

/// How long an attempt that is told to stop may take before it is given up.
pub(super) const GRACE: Duration = Duration::from_secs(10);

/// Runs `job` and says how it ended.
pub(super) async fn run(parts: Arc<Parts>, job: Job) -> Message {
    let Job {
        unit,
        operator,
        config,
        isolated,
        context,
        cache,
        due,
        slot,
        log,
    } = job;
    let left = || due.map(|due| (due - parts.clock.now()).to_std().unwrap_or(Duration::ZERO));
    let asked = looked_up(&parts, operator, &config, &context, cache);
    // What is asked for `cache` may hang too.
    let asked = tokio::select! {
        biased;
        asked = asked => Ok(asked),
        () = after(left()) => Err(late()),
        () = context.cancel.cancelled() => Err(TaskError::external("the attempt was stopped")),
    };
    let cache = match asked {
        Ok(Asked::Anew(cache)) => cache,
        Ok(Asked::Found(found)) => {
            let end = End::Done(found);
            return Message::Attempt { unit, end, log };
        }
        Err(error) => {
            let end = fail(&parts, &context, error).await;
            return Message::Attempt { unit, end, log };
        }
    };
    let time = left();
    let cancel = context.cancel.clone();
    let shared = Arc::new(context);
    let work = {
        let context = Arc::clone(&shared);
        // The slot goes with the work: when an attempt is given up, the slot stays taken until the work ends.
        parts.tasks.spawn(async move {
            let isolator = context.services.get::<Isolator>();
            let work = async {
                match (isolated, isolator) {
                    (Some(task), Some(isolator)) => isolator.run(task, &context).await,
                    _ => operator.run(config, &context).await,
                }
            };
            let result = AssertUnwindSafe(work).catch_unwind().await;
            drop(slot);
            result.unwrap_or_else(|panic| {
                let message = crate::operator::panic_message(&*panic);
                Err(TaskError::bug(format!("the operator panicked: {message}")))
            })
        })
    };
    let result = tokio::select! {
        biased;
        result = limited(&parts, work, time, &shared) => result,
        () = async { cancel.cancelled().await; tokio::time::sleep(GRACE).await } =>
            Err(TaskError::external(format!("did not stop within {}", human_duration(GRACE)))),
    };
    failpoint::hit("attempt_ended");
    let end = match result {
        Ok(outcome) => settle(&parts, &shared, outcome, cache).await,
        Err(error) => fail(&parts, &shared, error).await,
    };
    Message::Attempt { unit, end, log }
}

/// What there is for `cache`.
enum Asked {
    /// Nothing: the work is done, and its output kept for others if they can find it.
    Anew(Option<Wanted>),
    /// What an earlier run has put out.
    Found(Box<Persisted>),
}

async fn looked_up(
    parts: &Arc<Parts>,
    operator: &dyn DynOperator,
    config: &ErasedConfig,
    context: &TaskContext,
    wanted: Option<Wanted>,
) -> Asked {
    let Some(wanted) = wanted else {
        return Asked::Anew(None);
    };
    let wanted = wanted.made_of(operator, config, context).await;
    let found = match &wanted {
        Some(wanted) => cache::find(parts, context, wanted).await,
        None => None,
    };
    found.map_or(Asked::Anew(wanted), |found| Asked::Found(Box::new(found)))
}

/// A time that may never be over.
async fn after(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

fn late() -> TaskError {
    TaskError::external("took longer than its `timeout`")
        .hint("raise `timeout:`, or make the work smaller")
}

/// The work's result, or a failure as soon as its time is over; the work is then told to stop.
async fn limited(
    parts: &Parts,
    mut work: JoinHandle<Result<Outcome, TaskError>>,
    time: Option<Duration>,
    context: &TaskContext,
) -> Result<Outcome, TaskError> {
    tokio::select! {
        biased;
        result = &mut work => result.unwrap_or_else(|_| Err(TaskError::external("the process is shutting down"))),
        () = after(time) => {
            context.cancel.cancel();
            let abort = work.abort_handle();
            parts.tasks.spawn(async move {
                tokio::time::sleep(GRACE).await;
                abort.abort();
            });
            Err(late())
        }
    }
}

async fn settle(
    parts: &Arc<Parts>,
    context: &TaskContext,
    outcome: Outcome,
    cache: Option<Wanted>,
) -> End {
    match outcome {
        Outcome::Skipped(reason) => End::Skipped(reason),
        Outcome::Wait(wait) => End::Wait(wait),
        Outcome::Done(output) => match persist::output(parts, context, output).await {
            Ok(mut persisted) => {
                persisted.record.cache = cache.map(Wanted::into_key);
                End::Done(Box::new(persisted))
            }
            Err(error) => fail(parts, context, error).await,
        },
    }
}

async fn fail(parts: &Arc<Parts>, context: &TaskContext, mut error: TaskError) -> End {
    let artifacts = std::mem::take(&mut error.evidence.artifacts);
    let kept = persist::evidence(parts, context, artifacts).await;
    context.log.error(error.full_message());
    End::Failed(error, kept)
}
