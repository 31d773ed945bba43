//! What works beside the runs: the daemon with its schedules, sensors, queue and outbox.

mod active;
mod alarm;
mod away;
mod backfill;
mod catalogue;
mod chores;
mod desk;
mod directories;
mod dispatch;
mod errands;
mod existing;
mod export;
mod flood;
mod following;
mod heart;
mod late;
mod logs;
mod looking;
pub mod mail;
mod measures;
mod outbox;
mod pulse;
mod retention;
mod schedules;
mod sensed;
mod sensing;
mod service;
mod settling;
mod sweep;
#[cfg(test)]
mod testing;
mod watching;

pub use backfill::{
    BackfillError, Preview, Wish, create as create_backfill, preview as preview_backfill,
};
pub use catalogue::{Entry, Library};
pub use desk::interval_key;
pub use existing::is_mark;
pub use export::Exports;
pub use logs::note_history;
pub use measures::Measures;
pub use outbox::{Delivery, Postman};
pub use retention::{prune_batch, rule as prune_rule};
pub use sensed::senses;
pub use service::{Daemon, Ears, Settings, give_up_lost, work_off};
pub use sweep::sweep;
