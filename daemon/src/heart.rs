//! Says that this daemon is alive, hears what it is to stop, and sees to what others have left behind.

use std::time::Duration;

use pipectl_engine::{
    failpoint,
    runner::{LEASE, RunnerError},
    store::StoreError,
    time::Timestamp,
};
use tokio_util::sync::CancellationToken;

use crate::{desk::Desk, dispatch::Dispatcher};

/// How often it beats.
pub(crate) const BEAT: Duration = Duration::from_millis(2_500);
/// How long it waits for more news before it looks whether something is to be cancelled.
const HEARING: Duration = Duration::from_millis(200);
/// How many lost runs are adopted at once.
const ADOPTED: u32 = 100;

/// Beats until `stop`, and adopts what is lost.
pub(crate) async fn beat(dispatcher: &Dispatcher, started: Timestamp, stop: &CancellationToken) {
    let mut next = tokio::time::Instant::now();
    loop {
        failpoint::stall("heart_stalls").await;
        if let Err(error) = once(dispatcher, started).await {
            let desk = &dispatcher.desk;
            desk.say("the heart cannot beat", &error);
        }
        next += BEAT;
        loop {
            dispatcher.pulse.heart.next();
            let changed = dispatcher.desk.store().changed();
            tokio::select! {
                biased;
                () = stop.cancelled() => return dispatcher.pulse.heart.end(),
                () = tokio::time::sleep_until(next) => break,
                // Perhaps somebody wants a run to be cancelled.
                () = changed => tokio::time::sleep(HEARING).await,
            }
            hear(dispatcher, started).await;
        }
        // A machine that slept does not make up for the beats that it has missed.
        next = next.max(tokio::time::Instant::now() - BEAT);
    }
}

async fn once(dispatcher: &Dispatcher, started: Timestamp) -> Result<(), StoreError> {
    let (desk, owner) = (&dispatcher.desk, dispatcher.desk.owner());
    let cancelled = desk.store().beat(owner.name(), started, LEASE).await?;
    desk.answered();
    dispatcher.active.cancel(&cancelled);
    if !dispatcher.stop.is_cancelled() {
        dispatcher.adopt(ADOPTED).await?;
        dispatcher.find_strays().await?;
        give_up_foreground(desk).await?;
    }
    Ok(())
}

async fn hear(dispatcher: &Dispatcher, started: Timestamp) {
    let name = dispatcher.desk.owner().name();
    if dispatcher.active.count() == 0 {
        return;
    }
    match dispatcher.desk.store().beat(name, started, LEASE).await {
        Ok(cancelled) => dispatcher.active.cancel(&cancelled),
        Err(error) => dispatcher.desk.say("the heart cannot beat", &error),
    }
}

/// Runs of commands that are gone are nobody's: they have failed, until somebody resumes them.
pub(crate) async fn give_up_foreground(desk: &Desk) -> Result<(), StoreError> {
    for (run, holder, over) in desk.store().foreground_runs().await? {
        if !over && !desk.owner().is_gone(&holder) {
            continue;
        }
        let Some(record) = desk.store().run(run).await? else {
            continue;
        };
        match desk.plan_of(&record).await {
            Ok(plan) => match desk.runner_now().give_up(plan, run).await {
                Ok(()) => tracing::warn!(%run, "failed: the command that worked on it is gone"),
                Err(RunnerError::Store(error)) => return Err(error),
                Err(error) => tracing::debug!(%run, "{error}"),
            },
            Err(error) => tracing::warn!(%run, "{error}"),
        }
    }
    Ok(())
}
