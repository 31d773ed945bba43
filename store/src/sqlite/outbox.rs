//! The outbox in SQLite.

use super::{SqliteStore, values};

crate::shared::outbox!(SqliteStore, values, sql);

mod sql {
    pub(super) const EXPIRE: &str = "update outbox set state = 'expired', settled = $1 where state = 'unconfigured' and created <= $2";

    pub(super) const TAKE_DUE: &str = "update outbox set due = $2 where id in (
            select id from outbox where state in ('pending', 'unconfigured') and due <= $1
            order by created, id limit $3)
        returning id, run, kind, recipients, content, created, attempts";

    pub(super) const POST: &str =
        "insert into outbox (id, run, kind, recipients, content, created, state, attempts, due)
        values ($1, $2, $3, $4, $5, $6, 'pending', 0, $6) on conflict (id) do nothing";

    pub(super) const SETTLE: &str =
        "update outbox set state = $2, due = coalesce($3, due), error = $4,
            attempts = attempts + $5, settled = $6
        where id = $1 and state in ('pending', 'unconfigured')";

    pub(super) const KNOWN: &str = "select 1 from outbox where id = $1";

    pub(super) const COUNTS: &str = "select state, count(*) from outbox group by state";
}
