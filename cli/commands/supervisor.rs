//! What systemd, or who speaks like it, hears of the daemon: `sd_notify(3)`.

use std::{sync::Arc, time::Duration};

use pipectl_daemon::Daemon;
use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

/// Says when the daemon works and when it stops, and in between, when the supervisor wants that, that it does not stand still.
pub(super) async fn tell(daemon: Arc<Daemon>, stop: CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = daemon.works() => ready(),
    }
    tokio::select! {
        () = stop.cancelled() => {}
        () = keep_the_watchdog_quiet(&daemon) => {}
    }
    notify(&[NotifyState::Stopping]);
    // It may hang while it stops, too.
    keep_the_watchdog_quiet(&daemon).await;
}

/// The daemon works.
pub(super) fn ready() {
    notify(&[NotifyState::Ready]);
}

/// The daemon reads its settings anew.
pub(super) fn reloading() {
    let mut states = vec![NotifyState::Reloading];
    states.extend(NotifyState::monotonic_usec_now());
    notify(&states);
}

/// Tells the watchdog, for as long as that is true, that the loops of the daemon go round. Never ends where there is none.
async fn keep_the_watchdog_quiet(daemon: &Daemon) {
    let mut micros = 0;
    if !sd_notify::watchdog_enabled(false, &mut micros) || micros == 0 {
        return std::future::pending().await;
    }
    let patience = Duration::from_micros(micros);
    let mut stuck = false;
    loop {
        match daemon.stuck(patience / 2) {
            None => {
                // A supervisor that does not read holds up no other work.
                let told = tokio::task::spawn_blocking(|| notify(&[NotifyState::Watchdog]));
                drop(told.await);
                stuck = false;
            }
            Some((what, still)) if !stuck => {
                tracing::error!(
                    "the {what} has stood still for {still:.0?}: the watchdog is not told any more that all is well"
                );
                stuck = true;
            }
            Some(_) => {}
        }
        tokio::time::sleep(patience / 3).await;
    }
}

fn notify(states: &[NotifyState<'_>]) {
    // Without a supervisor nobody hears it.
    if let Err(error) = sd_notify::notify(false, states) {
        tracing::debug!(%error, "the supervisor does not hear");
    }
}
