//! What works beside the runs: the outbox.
