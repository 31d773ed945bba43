//! What sensors of things share: the newest thing at once, else a wait; and how a daemon watches for them.

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use pipectl_connections::{Connector, Sight, matches_below, things};
use pipectl_engine::{
    operator::{
        AfterSuccess, Complaints, DurationText, Existing, Outcome, Output, Senses, TaskContext,
        TaskError, Wait,
    },
    services::Services,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{location::check_named, text::thousands};

/// What becomes of a thing whose run has succeeded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum After {
    /// It stays where it is.
    #[default]
    Keep,
    /// It moves below `archive`, with its whole path.
    Move,
    /// It is removed.
    Delete,
}

/// The connections of this process.
pub(crate) fn connector(services: &Services) -> Arc<Connector> {
    services.get().unwrap_or_default()
}

/// Looks for settings that do not go together.
pub(crate) fn check(
    pattern: &str,
    poll: DurationText,
    after: After,
    archive: Option<&str>,
    found: &mut Complaints,
) {
    check_named(pattern, found);
    if poll.0.is_zero() {
        found
            .error(
                &["poll"],
                "a sensor that looks all the time leaves nothing for others",
            )
            .hint("write `1s`");
    }
    match (after, archive) {
        (After::Move, None) => {
            found
                .error(&["after_success"], "it is not said where to move it")
                .hint("name a directory as `archive`, as in `archive: done`");
        }
        (After::Move, Some(archive)) if matches_below(pattern, archive) => {
            found
                .error(&["archive"], "what is moved there would be sensed again")
                .hint("name a directory that the pattern does not reach");
        }
        (After::Keep | After::Delete, Some(_)) => {
            found
                .error(&["archive"], "nothing is moved there")
                .hint("write `after_success: move` beside it");
        }
        _ => {}
    }
}

/// How a daemon watches for what a sensor waits for.
pub(crate) fn senses(
    wait: Wait,
    existing: Existing,
    after: After,
    archive: Option<&str>,
) -> Senses {
    let after_success = match (after, archive) {
        (After::Keep, _) | (After::Move, None) => AfterSuccess::Keep,
        (After::Move, Some(archive)) => AfterSuccess::Move {
            archive: archive.to_owned(),
        },
        (After::Delete, _) => AfterSuccess::Delete,
    };
    Senses {
        wait,
        existing,
        after_success,
    }
}

/// The wait that looks again when what lies there already may count, if that is before its next look.
fn sooner(mut wait: Wait, until: Option<TimeDelta>) -> Wait {
    if let (Wait::Things { poll, .. }, Some(until)) = (&mut wait, until) {
        let until = until.to_std().unwrap_or_default();
        *poll = (*poll).min(until.max(Duration::from_millis(10)));
    }
    wait
}

/// The newest thing that is there, else the wait for one.
///
/// # Errors
/// When its place cannot be listed.
pub(crate) async fn sense(context: &TaskContext, wait: Wait) -> Result<Outcome, TaskError> {
    let connector = connector(&context.services);
    let now = context.clock.now();
    let Sight {
        things: mut found,
        next,
    } = things(&connector, &context.project, &wait, now).await?;
    let Some(thing) = found.pop() else {
        return Ok(Outcome::Wait(sooner(wait, next.map(|next| next - now))));
    };
    if !found.is_empty() {
        context.log.info(format!(
            "{} is the newest of {}",
            thing.name,
            thousands(found.len() as u64 + 1)
        ));
    }
    context
        .log
        .info(format!("{}: {} bytes", thing.name, thousands(thing.size)));
    Ok(Outcome::Done(Output {
        values: thing.values,
        ..Output::default()
    }))
}
