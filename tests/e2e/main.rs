//! The real binary, run as people run it: exit code, stdout and stderr together.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::format_collect,
    clippy::format_push_string,
    clippy::string_slice,
    clippy::case_sensitive_file_extension_comparisons,
    reason = "a test that cannot go on fails; the binary under test needs the PATH"
)]

mod bad_input;
mod buckets;
mod cache;
mod commands;
mod environment;
mod examples;
mod features;
#[path = "../harness/mod.rs"]
mod harness;
mod isolation;
mod large;
mod live;
mod losses;
mod mail;
mod mlflow;
mod models;
mod neighbours;
mod parts;
mod plugins;
mod pruning;
mod readme;
mod schedules;
mod search;
mod seen;
mod serve;
mod signals;
