//! What every store promises, as functions that any store can be put through: one function a promise.
//!
//! Each function takes an empty store and panics when a promise is broken. [`each_store_promise`] knows them all; a
//! store's tests are made from that list, so that none is forgotten:
//!
//! ```
//! use pipectl_engine::store::{MemoryStore, conformance};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! conformance::runs::a_trigger_makes_one_run(&MemoryStore::default()).await;
//! # });
//! ```
//!
//! [`each_store_promise`]: crate::each_store_promise

#![allow(clippy::unwrap_used, reason = "a broken promise is a panic")]

pub mod backfills;
pub mod daemons;
mod fixture;
pub mod full;
pub mod history;
pub mod leases;
pub mod models;
pub mod outbox;
pub mod pools;
pub mod promotions;
pub mod queue;
pub mod records;
pub mod runs;
pub mod sensors;
pub mod triggers;
pub mod warnings;
pub mod writes;

pub use fixture::run_at;

/// Calls the macro `$callback` with the path of every promise below `pipectl_engine::store::conformance`.
#[macro_export]
macro_rules! each_store_promise {
    ($callback:ident) => {
        $callback! {
            backfills::the_children_of_a_backfill_are_for_it,
            backfills::a_backfill_is_made_at_once,
            backfills::a_backfill_is_made_once,
            backfills::a_backfill_goes_by_its_intervals,
            backfills::what_is_not_done_again_is_what_it_was,
            backfills::what_is_done_anew_takes_the_new_version,
            backfills::backfills_show_their_progress,
            backfills::a_cancelled_backfill_stops_its_runs,
            history::runs_go_by_age_and_number,
            history::runs_of_models_stay,
            history::runs_whose_data_others_have_taken_stay,
            history::followers_stay_while_their_success_is_looked_at,
            history::pipelines_and_their_last_versions_are_known,
            history::runs_that_are_needed_stay,
            history::a_removed_run_leaves_nothing,
            history::versions_go_with_their_runs,
            leases::a_lease_keeps_others_away,
            leases::a_lease_ends_by_itself_or_by_release,
            leases::a_renewed_lease_holds,
            leases::a_lapsed_lease_on_the_queue_is_not_renewed,
            leases::each_claim_has_a_greater_token,
            leases::only_one_of_many_claims,
            leases::runs_take_turns,
            models::a_version_is_reserved_once_for_a_task,
            models::many_tasks_get_different_versions,
            models::a_reserved_version_is_not_seen,
            models::the_first_version_is_champion,
            models::a_better_version_takes_over,
            models::a_registered_version_reads_back,
            models::an_alias_points_to_a_registered_version,
            models::a_reset_task_gets_a_new_version,
            promotions::a_rule_says_who_is_champion,
            promotions::versions_at_once_are_compared_in_turn,
            promotions::a_promotion_is_decided_once,
            promotions::an_alias_is_taken_away,
            promotions::aliases_remember_why,
            promotions::a_champion_that_stays_unjudged_is_remembered,
            promotions::a_version_is_imported,
            outbox::mails_are_taken_in_their_order,
            outbox::a_taken_mail_is_leased,
            outbox::a_settled_mail_stays_settled,
            outbox::a_mail_without_a_server_expires,
            queue::many_runs_are_made_at_once,
            queue::a_queued_run_is_given_once,
            queue::only_enqueued_runs_are_given,
            queue::pipelines_share_fairly,
            queue::a_pipeline_has_a_limit,
            queue::a_run_that_is_begun_too_late_is_refused,
            queue::a_backfill_has_a_limit,
            queue::claimers_at_once_keep_the_limits,
            daemons::daemons_are_known_by_their_beat,
            daemons::a_silent_daemon_loses_its_runs,
            daemons::a_daemon_that_is_gone_loses_its_runs_at_once,
            daemons::a_run_that_was_not_begun_goes_back_to_the_queue,
            daemons::runs_of_the_foreground_are_not_adopted,
            queue::a_run_is_done_again,
            queue::a_run_of_a_cancelled_backfill_is_done_again,
            queue::a_run_is_cancelled,
            queue::unfinished_runs_are_counted,
            pools::a_pool_is_shared,
            pools::slots_of_lost_runs_are_free,
            pools::turns_of_a_limit_follow_each_other,
            queue::those_who_wait_hear_of_changes,
            records::a_run_reads_back,
            records::tasks_read_back,
            records::attempts_read_back_in_the_order_of_their_start,
            records::events_read_back_by_pages,
            records::odd_text_reads_back,
            records::an_output_is_found_by_what_it_was_made_of,
            warnings::warnings_are_counted_by_run,
            records::checkpoints_are_kept_and_fenced,
            records::pipeline_versions_are_kept_once,
            writes::a_state_goes_from_run_to_run,
            writes::states_of_one_commit_count_in_their_order,
            runs::a_trigger_makes_one_run,
            runs::a_long_trigger_makes_one_run,
            runs::many_that_look_make_one_run,
            runs::runs_are_listed_by_pages,
            runs::the_newest_successes_come_first,
            runs::the_previous_verdict_is_that_of_another_run,
            sensors::a_sensor_counts_its_failures,
            sensors::a_thing_gets_one_run,
            sensors::many_that_sense_make_one_run,
            sensors::a_flood_of_things_is_sensed,
            sensors::ignored_things_get_no_run,
            sensors::a_thing_keeps_the_run_of_its_trigger,
            sensors::things_are_settled_after_success,
            sensors::forgotten_things_are_sensed_anew,
            sensors::odd_things_are_told_apart,
            triggers::a_schedule_moves_forward,
            triggers::a_schedule_is_paused,
            triggers::successes_are_listed_by_their_end,
            triggers::a_run_is_found_by_what_it_is_about,
            writes::a_stale_write_is_left_out,
            writes::a_write_to_no_run_is_stale,
            writes::an_empty_commit_is_nothing,
            writes::changes_apply_in_their_order,
            writes::the_run_itself_changes,
            writes::a_write_sent_twice_counts_once,
            writes::a_reset_task_starts_over,
            writes::many_writers_lose_nothing,
            writes::a_wide_run_is_one_commit,
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    macro_rules! memory {
        ($($module:ident::$promise:ident),* $(,)?) => {
            $(#[tokio::test]
            async fn $promise() {
                $module::$promise(&MemoryStore::default()).await;
            })*

            const LISTED: &[&str] = &[$(stringify!($promise)),*];
        };
    }
    each_store_promise!(memory);

    #[test]
    fn the_list_is_complete() {
        let sources = [
            include_str!("backfills.rs"),
            include_str!("daemons.rs"),
            include_str!("history.rs"),
            include_str!("leases.rs"),
            include_str!("models.rs"),
            include_str!("outbox.rs"),
            include_str!("pools.rs"),
            include_str!("promotions.rs"),
            include_str!("queue.rs"),
            include_str!("records.rs"),
            include_str!("runs.rs"),
            include_str!("sensors.rs"),
            include_str!("triggers.rs"),
            include_str!("warnings.rs"),
            include_str!("writes.rs"),
        ];
        let written = sources
            .iter()
            .flat_map(|source| source.lines())
            .filter_map(|line| line.strip_prefix("pub async fn "));
        let written: Vec<_> = written.filter_map(|line| line.split('(').next()).collect();
        for name in &written {
            assert!(
                LISTED.contains(name),
                "`{name}` is not in `each_store_promise`"
            );
        }
        assert_eq!(written.len(), LISTED.len());
    }
}
