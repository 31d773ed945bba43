//! What a daemon does from time to time beside its runs: it looks at files, sends mail, lets go of history.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    Postman,
    desk::Desk,
    flood::Flood,
    logs::{Logs, are_of_another_history},
    retention,
    sweep::sweep,
};

/// How often the pipelines' files are looked at when nobody says that they have changed.
const LOOK: Duration = Duration::from_secs(5);
/// How often the outbox is looked at.
const MAIL: Duration = Duration::from_secs(5);
/// How often the history is cared for.
const CARE: Duration = Duration::from_secs(60 * 60);

/// Looks at the pipelines' files whenever somebody says that they have changed, and from time to time.
pub(crate) async fn refresh(desk: Desk, edited: Arc<tokio::sync::Notify>, stop: CancellationToken) {
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            // An editor writes in several steps.
            () = edited.notified() => sleep(Duration::from_millis(50)).await,
            () = sleep(LOOK) => {}
        }
        desk.catalogue.refresh(&**desk.store()).await;
    }
}

/// Sends the mails that are due.
pub(crate) async fn deliver(desk: Desk, stop: CancellationToken) {
    let parts = desk.runner.parts();
    let flood = Arc::new(Flood::default());
    while !stop.is_cancelled() {
        let postman = Postman::new(
            Arc::clone(&parts.store),
            desk.project(),
            Arc::clone(&parts.clock),
        )
        .after(Arc::clone(&flood));
        if let Err(error) = postman.deliver().await {
            desk.say("the outbox cannot be read", &error);
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = sleep(MAIL) => {}
        }
    }
}

/// Lets go of history that nobody wants to keep.
pub(crate) async fn care(desk: Desk, stop: CancellationToken) {
    let mut logs = Logs::default();
    while !stop.is_cancelled() {
        if let Err(error) = retention::prune(&desk, &stop).await {
            desk.say("the history cannot be pruned", &error);
        }
        match sweep(&**desk.store(), &desk.project().state_dir, desk.now()).await {
            Ok(0) => {}
            Ok(directories) => tracing::info!(directories, "cleared up after killed attempts"),
            Err(error) => desk.say(
                "what killed attempts have left cannot be cleared away",
                &error,
            ),
        }
        let project = desk.project();
        // Where nobody lets go of runs, no logs are left over.
        let prunes = project.history.is_some()
            || desk
                .catalogue
                .plans()
                .iter()
                .any(|plan| plan.history.is_some());
        if prunes && !are_of_another_history(&project) {
            let (store, now) = (&**desk.store(), desk.now());
            match logs.sweep(store, &project.state_dir, now).await {
                Ok(0) => {}
                Ok(runs) => tracing::info!(runs, "removed logs of runs that are gone"),
                Err(error) => desk.say("logs of runs that are gone cannot be cleared away", &error),
            }
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = sleep(CARE) => {}
        }
    }
}
