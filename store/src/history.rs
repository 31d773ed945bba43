//! What hangs on a run, and which runs may go: the same on both databases.

/// The tables whose rows go with their run, and on which condition; the runs themselves last.
///
/// Rows of registered models stay, as do mails that are still to be sent and the ledger of sensed things.
pub(crate) const HANGING: &[(&str, &str)] = &[
    ("tasks", ""),
    ("task_settings", ""),
    ("task_outputs", ""),
    ("attempts", ""),
    ("events", ""),
    ("metrics", ""),
    ("artifacts", ""),
    ("datasets", ""),
    ("checkpoints", ""),
    ("pool_slots", ""),
    ("models", " and registered is null"),
    ("outbox", " and state not in ('pending', 'unconfigured')"),
];
