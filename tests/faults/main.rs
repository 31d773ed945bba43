//! What a daemon survives: killed, frozen, starved, with the database away and the clock wrong. Effects are counted from
//! outside: rows in a warehouse, files in a directory.
//!
//! `./test --soak` repeats the random ones often enough to find what is rare (`PIPECTL_SOAK=1`).

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::format_collect,
    clippy::format_push_string,
    clippy::cast_possible_truncation,
    dead_code,
    reason = "a test that cannot go on fails; the binary under test needs the PATH; the harness is shared"
)]

mod api;
mod backfills;
mod cancel;
mod children;
mod daemons;
mod database;
mod exports;
#[path = "../harness/mod.rs"]
mod harness;
mod health;
mod kills;
mod many;
mod objects;
mod points;
mod pools;
mod sensing;
mod service;
mod starved;
mod supervised;
mod time;
mod waiting;

/// How often something random is repeated.
pub(crate) fn repeated(here: u32, soaked: u32) -> u32 {
    if std::env::var_os("PIPECTL_SOAK").is_some() {
        soaked
    } else {
        here
    }
}
