//! The outbox on Postgres.

use super::{PostgresStore, values};

crate::shared::outbox!(PostgresStore, values, sql);

mod sql {
    pub(super) const EXPIRE: &str = "update pipectl.outbox set state = 'expired', settled = $1 where state = 'unconfigured' and created <= $2";

    pub(super) const TAKE_DUE: &str = "with taken as (
            update pipectl.outbox o set due = $2 from (
                select id from pipectl.outbox where state in ('pending', 'unconfigured') and due <= $1
                order by created, id limit $3 for update skip locked
            ) d where o.id = d.id
            returning o.id, o.run, o.kind, o.recipients, o.content, o.created, o.attempts
        )
        select id, run, kind, recipients::text as recipients, content::text as content,
            pipectl.micros(created) as created, attempts from taken";

    pub(super) const POST: &str = "insert into pipectl.outbox (id, run, kind, recipients, content, created, state, attempts, due)
        values ($1, $2, $3, $4::text::json, $5::text::json, $6, 'pending', 0, $6) on conflict (id) do nothing";

    pub(super) const SETTLE: &str =
        "update pipectl.outbox set state = $2, due = coalesce($3, due), error = $4,
            attempts = attempts + $5, settled = $6
        where id = $1 and state in ('pending', 'unconfigured')";

    pub(super) const KNOWN: &str = "select 1 from pipectl.outbox where id = $1";

    pub(super) const COUNTS: &str = "select state, count(*) from pipectl.outbox group by state";
}
