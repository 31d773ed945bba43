//! Named points at which a test lets the process die, as if it had been killed, or lets something in it stand still.
//!
//! `PIPECTL_FAILPOINT=name` does so the first time that the process comes to the point `name`, `name:3` the third time. At
//! `deep@name` it overflows its stack there instead.

use std::{
    cell::Cell,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

static ARMED: OnceLock<Armed> = OnceLock::new();

#[derive(Debug)]
struct Armed {
    name: String,
    left: AtomicU32,
}

/// Arms the point that `wish` names. Only the binary calls this, once, when it starts.
///
/// # Errors
/// When `wish` is not `name` or `name:count`.
pub fn arm(wish: &str) -> Result<(), String> {
    let (name, count) = wish.split_once(':').unwrap_or((wish, "1"));
    let left = count.parse().ok().filter(|count| *count > 0);
    let left =
        left.ok_or_else(|| format!("`{wish}` is not a fail point: write `name` or `name:count`"))?;
    // A second call changes nothing.
    let _first = ARMED.set(Armed {
        name: name.to_owned(),
        left: AtomicU32::new(left),
    });
    Ok(())
}

/// The process comes to the point `name`.
pub fn hit(name: &str) {
    let Some(armed) = ARMED.get() else {
        return;
    };
    if armed.name.strip_prefix("deep@") == Some(name) && is_now(&armed.name) {
        std::hint::black_box(deep(0));
    }
    if is_now(name) {
        // No destructor, no flush: like a kill.
        std::process::abort();
    }
}

/// Needs more stack than there is.
fn deep(level: u64) -> u64 {
    let room = std::hint::black_box([level; 128]);
    if level == u64::MAX {
        return level;
    }
    deep(level + 1) + room[1]
}

/// What waits for this waits for ever from the point `name` on.
pub async fn stall(name: &str) {
    if is_now(name) {
        std::future::pending::<()>().await;
    }
}

fn is_now(name: &str) -> bool {
    let armed = ARMED.get().filter(|armed| armed.name == name);
    armed.is_some_and(|armed| armed.left.fetch_sub(1, Ordering::SeqCst) == 1)
}

/// A mistake that a test plants to see whether the simulation of daemons finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// A task with several upstreams is not told of one that has finished.
    MissedCounter,
    /// The moment of a retry comes, and nothing starts.
    SwallowedRetry,
}

thread_local! {
    static PLANTED: Cell<Option<Mistake>> = const { Cell::new(None) };
}

/// Plants a mistake on this thread, or takes it away. Only tests call this.
pub fn plant(mistake: Option<Mistake>) {
    PLANTED.set(mistake);
}

/// Whether a test has planted this mistake.
pub(crate) fn planted(mistake: Mistake) -> bool {
    PLANTED.get() == Some(mistake)
}
