//! The queue of runs on Postgres.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use futures::{FutureExt as _, future::BoxFuture};
use pipectl_engine::{
    id::{RunId, TaskKey},
    state::RunState,
    store::{
        Cancelled, Claimed, Created, Daemon, NewRun, PoolRequest, Queue, Redo, StoreError, Turn,
    },
    time::Timestamp,
};
use sqlx::{AssertSqlSafe, PgExecutor};
use uuid::Uuid;

use super::{PostgresStore, runs::sql::CLAIM, values::lasting};
use crate::{
    batch::{element, text},
    error::{failed, reading, unknown, writing},
    rows::{name_of, named},
    trigger_rows::{claimed, counted, daemon, turn},
};

/// How often a beat comes back to runs that somebody had locked, and after how long.
const BEATS: u32 = 5;
const BETWEEN: Duration = Duration::from_millis(20);

const BEAT: &str = "with me as (
        insert into pipectl.daemons as d (name, started, heard, alive_until) values ($1, $2, now(), now() + $3)
        on conflict (name) do update set started = excluded.started, heard = now(), alive_until = now() + $3
    ), silent as (
        delete from pipectl.daemons d where d.heard < now() - interval '1 day' and d.name <> $1 and not exists (
            select 1 from pipectl.runs r where r.owner = d.name and r.state in ('queued', 'running'))
    ), mine as materialized (
        select id from pipectl.runs where owner = $1 and leased_until is not null
            and (state = 'running' or state = 'queued' and (not enqueued or leased_until > now()))
        for no key update skip locked
    ), renewed as (
        update pipectl.runs r set leased_until = now() + $3 from mine m where r.id = m.id
    )
    select r.id, r.cancelling, m.id is not null from pipectl.runs r left join mine m on m.id = r.id
    where r.owner = $1 and r.leased_until is not null
        and (r.state = 'running' or r.state = 'queued' and (not r.enqueued or r.leased_until > now()))
        and (r.cancelling or m.id is null)";

const CLAIM_LOST: &str = "with lost as (
        select r.id from pipectl.runs r join pipectl.daemons d on d.name = r.owner
        where r.state in ('queued', 'running')
            and (r.state = 'running' or not r.enqueued or r.leased_until > now())
            and (r.leased_until is null or d.alive_until is null or d.name = any ($3)
                or (r.leased_until <= now() and d.alive_until <= now()))
        order by r.id limit $4 for no key update of r skip locked
    )
    update pipectl.runs r set owner = $1, fence = r.fence + 1, leased_until = now() + $2 from lost
    where r.id = lost.id returning r.id, r.fence";

/// How many other runs of a run's pipeline are under way.
const OTHERS: &str = "select count(*) from pipectl.runs r join pipectl.runs o on o.pipeline = r.pipeline and o.id <> r.id
    where r.id = $1 and o.kind <> 'child' and o.state in ('queued', 'running') and o.owner is not null
        and (o.state = 'running' or o.leased_until > now()) and o.owner <> all ($2)";

const FOREGROUND: &str =
    "select r.id, r.owner, r.leased_until is null or r.leased_until <= now() from pipectl.runs r
    where r.state in ('queued', 'running') and r.owner is not null
        and (r.state = 'running' or not r.enqueued or r.leased_until > now())
        and not exists (select 1 from pipectl.daemons d where d.name = r.owner)
    order by r.id";

const REQUEUE: &str = "with again as (
        update pipectl.runs r set was_state = r.state, was_ended = r.ended, was_error = r.error, was_backfill = r.backfill,
            was_version = r.version, version = case when n.redo = 'anew' then coalesce($4, r.version) else r.version end,
            state = 'queued', ended = null, error = null, owner = null, leased_until = null,
            fence = r.fence + 1, requeued = n.redo, enqueued = true, backfill = coalesce($3,
                (select b.id from pipectl.backfills b where b.id = r.backfill and b.state = 'running'))
        from unnest($1::uuid[], $2::text[]) as n (id, redo)
        where r.id = n.id and r.state in ('success', 'failed', 'cancelled') returning r.id
    ) select id, pipectl.tell() from again";

/// Stops the runs for which a condition on `$1` holds: those that nobody works on at once.
const CANCEL: &str = "with wanted as materialized (
        select r.id, r.state = 'queued' and (r.leased_until is null or r.leased_until <= now()) as free,
            r.requeued is not null and r.was_state is not null as again
        from pipectl.runs r where {} and r.state in ('queued', 'running') order by r.id for no key update
    ), stopped as (
        update pipectl.runs r set cancelling = not w.free,
            state = case when not w.free then r.state when w.again then r.was_state else 'cancelled' end,
            ended = case when not w.free then r.ended when w.again then r.was_ended else $2 end,
            error = case when w.free and w.again then r.was_error else r.error end,
            backfill = case when w.free and w.again then r.was_backfill else r.backfill end,
            version = case when w.free and w.again then coalesce(r.was_version, r.version) else r.version end,
            requeued = case when not w.free then r.requeued end,
            leased_until = case when not w.free then r.leased_until end,
            fence = case when w.free then r.fence + 1 else r.fence end
        from wanted w where r.id = w.id returning r.id, w.free, w.again, r.state, r.error
    ), told as (
        insert into pipectl.events (run, number, happened, kind, element, data)
        select s.id, coalesce((select max(e.number) from pipectl.events e where e.run = s.id), 0) + 1, $2, 'run', -1,
            json_build_object('state', s.state, 'error', s.error)
        from stopped s where s.free
    )
    select free, again, state, pipectl.tell() from stopped";

#[async_trait]
impl Queue for PostgresStore {
    async fn create_runs(&self, runs: &[NewRun]) -> Result<Vec<Created>, StoreError> {
        self.create(runs).await
    }

    async fn beat(
        &self,
        name: &str,
        started: Timestamp,
        lease: Duration,
    ) -> Result<Vec<RunId>, StoreError> {
        let lease = lasting(lease)?;
        let mut beats = 1;
        loop {
            let beat = sqlx::query_as::<_, (Uuid, bool, bool)>(BEAT)
                .bind(name)
                .bind(started)
                .bind(lease)
                .fetch_all(&self.pool);
            let runs = self.judged("renew the leases", beat.await).await?;
            // A run that is being written is locked for a moment; one that stays locked must not hold up the others.
            if beats == BEATS || runs.iter().all(|(.., renewed)| *renewed) {
                let cancelling = runs.into_iter().filter(|(_, cancelling, _)| *cancelling);
                return Ok(cancelling.map(|(run, ..)| run.into()).collect());
            }
            beats += 1;
            tokio::time::sleep(BETWEEN).await;
        }
    }

    async fn leave(&self, name: &str) -> Result<(), StoreError> {
        let sql = "with me as (update pipectl.daemons set alive_until = null where name = $1) select pipectl.tell()";
        let leave = sqlx::query(sql).bind(name).execute(&self.pool);
        leave.await.map(drop).map_err(writing)
    }

    async fn daemons(&self) -> Result<Vec<Daemon>, StoreError> {
        let sql = "select name, pipectl.micros(started), alive_until > now() as alive from pipectl.daemons
            where alive_until is not null and heard > now() - interval '1 day' order by alive desc, name collate \"C\"";
        let rows = sqlx::query_as(sql).fetch_all(&self.pool).await;
        rows.map_err(reading)?.into_iter().map(daemon).collect()
    }

    async fn owned(&self, daemon: &str) -> Result<Vec<Claimed>, StoreError> {
        let sql = "select id, fence from pipectl.runs
            where owner = $1 and leased_until is not null
                and (state = 'running' or state = 'queued' and (not enqueued or leased_until > now())) order by id";
        let rows = sqlx::query_as(sql).bind(daemon).fetch_all(&self.pool).await;
        rows.map_err(reading)?.into_iter().map(claimed).collect()
    }

    async fn claim_queued(
        &self,
        daemon: &str,
        lease: Duration,
        backfill: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<Claimed>, StoreError> {
        let rows = sqlx::query_as("select run, fence from pipectl.claim_queued($1, $2, $3, $4)")
            .bind(daemon)
            .bind(lasting(lease)?)
            .bind(backfill)
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await;
        let rows = self.judged("claim runs", rows).await?;
        rows.into_iter().map(claimed).collect()
    }

    async fn claim_lost(
        &self,
        daemon: &str,
        lease: Duration,
        gone: &[String],
        limit: u32,
    ) -> Result<Vec<Claimed>, StoreError> {
        let rows = sqlx::query_as(CLAIM_LOST)
            .bind(daemon)
            .bind(lasting(lease)?)
            .bind(gone)
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await;
        let rows = self.judged("claim runs", rows).await?;
        let claims: Result<Vec<_>, _> = rows.into_iter().map(claimed).collect();
        let mut claims = claims?;
        claims.sort_by_key(|claimed| claimed.run);
        Ok(claims)
    }

    async fn claim_in_turn(
        &self,
        run: RunId,
        owner: &str,
        lease: Duration,
        most: u32,
        gone: &[String],
    ) -> Result<Turn, StoreError> {
        let lease = lasting(lease)?;
        let asked = async {
            let mut transaction = self.pool.begin().await?;
            sqlx::query("select pg_advisory_xact_lock(hashtextextended('pipectl queue', 0))")
                .execute(&mut *transaction)
                .await?;
            let others = sqlx::query_scalar::<_, i64>(OTHERS)
                .bind(run.uuid())
                .bind(gone);
            if others.fetch_one(&mut *transaction).await? >= i64::from(most) {
                return Ok((true, None));
            }
            let claim = sqlx::query_scalar::<_, i64>(CLAIM)
                .bind(run.uuid())
                .bind(owner)
                .bind(lease);
            let fence = claim.fetch_optional(&mut *transaction).await?;
            transaction.commit().await?;
            Ok((false, fence))
        };
        let asked = asked.await;
        let asked = self.judged("claim the run", asked).await?;
        turn(self, run, asked).await
    }

    async fn foreground_runs(&self) -> Result<Vec<(RunId, String, bool)>, StoreError> {
        let rows = sqlx::query_as::<_, (Uuid, String, bool)>(FOREGROUND).fetch_all(&self.pool);
        let rows = rows.await.map_err(reading)?.into_iter();
        Ok(rows
            .map(|(run, owner, over)| (run.into(), owner, over))
            .collect())
    }

    async fn requeue(
        &self,
        run: RunId,
        redo: Redo,
        backfill: Option<Uuid>,
    ) -> Result<bool, StoreError> {
        let again = requeue(&self.pool, &[(run, redo)], backfill, None).await;
        if again.map_err(writing)? {
            return Ok(true);
        }
        self.state(run).await.map(|_| false)
    }

    async fn cancel(&self, run: RunId, now: Timestamp) -> Result<Cancelled, StoreError> {
        let stopped = cancel(&self.pool, "r.id = $1", run.uuid(), now).await;
        Ok(match stopped.map_err(writing)?.first() {
            Some((true, true, state)) => Cancelled::Restored(named(state)?),
            Some((true, false, _)) => Cancelled::AtOnce,
            Some((false, ..)) => Cancelled::Asked,
            None => Cancelled::Over(self.state(run).await?),
        })
    }

    async fn unfinished(&self) -> Result<BTreeMap<(String, RunState), u64>, StoreError> {
        let sql = "select pipeline, state, count(*) from pipectl.runs where state in ('queued', 'running')
            group by pipeline, state";
        let rows = sqlx::query_as(sql).fetch_all(&self.pool).await;
        rows.map_err(reading)?.into_iter().map(counted).collect()
    }

    async fn take_pool(&self, request: &PoolRequest) -> Result<bool, StoreError> {
        let taken = sqlx::query_scalar("select pipectl.take_pool($1, $2, $3, $4, $5, $6)")
            .bind(text(&request.pool))
            .bind(i64::from(request.capacity))
            .bind(i64::from(request.slots))
            .bind(request.run.uuid())
            .bind(&request.key.task)
            .bind(element(request.key.element))
            .fetch_one(&self.pool);
        taken
            .await
            .map_err(|error| failed("take slots of a pool", error))
    }

    async fn give_pool(&self, pool: &str, run: RunId, key: &TaskKey) -> Result<(), StoreError> {
        let sql = "delete from pipectl.pool_slots where pool = $1 and run = $2 and task = $3 and element = $4";
        let give = sqlx::query(sql)
            .bind(text(pool))
            .bind(run.uuid())
            .bind(&key.task)
            .bind(element(key.element))
            .execute(&self.pool);
        give.await
            .map(drop)
            .map_err(|error| failed("give slots of a pool back", error))
    }

    async fn take_turns(&self, limit: &str, time: Duration) -> Result<Duration, StoreError> {
        let sql = "insert into pipectl.rate_limits as l (name, next_turn)
            values ($1, clock_timestamp() + $2)
            on conflict (name) do update
                set next_turn = greatest(l.next_turn, clock_timestamp()) + $2
            returning (extract(epoch from l.next_turn - $2 - clock_timestamp()) * 1000000)::bigint";
        let wait = sqlx::query_scalar::<_, i64>(sql)
            .bind(text(limit))
            .bind(lasting(time)?)
            .fetch_one(&self.pool);
        let wait = wait
            .await
            .map_err(|error| failed("take turns of a rate limit", error))?;
        Ok(Duration::from_micros(u64::try_from(wait).unwrap_or(0)))
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        self.news.next(&self.pool).boxed()
    }
}

impl PostgresStore {
    /// What the answer to a statement means.
    async fn judged<T>(&self, what: &str, answer: Result<T, sqlx::Error>) -> Result<T, StoreError> {
        match answer.map_err(|error| failed(what, error)) {
            Err(error) => Err(self.explained(what, error).await),
            answer => answer,
        }
    }

    async fn state(&self, run: RunId) -> Result<RunState, StoreError> {
        let state = sqlx::query_scalar::<_, String>("select state from pipectl.runs where id = $1")
            .bind(run.uuid())
            .fetch_optional(&self.pool)
            .await;
        let state = state.map_err(reading)?;
        let state = state.ok_or_else(|| unknown(run))?;
        named(&state)
    }
}

/// Stops the runs for which a condition on `$1` holds, and says of each whether it is over at once, whether it is what it
/// was before, and its state.
pub(super) async fn cancel(
    executor: impl PgExecutor<'_>,
    which: &str,
    id: Uuid,
    now: Timestamp,
) -> Result<Vec<(bool, bool, String)>, sqlx::Error> {
    let stopped =
        sqlx::query_as::<_, (bool, bool, String, bool)>(AssertSqlSafe(CANCEL.replace("{}", which)))
            .bind(id)
            .bind(now)
            .fetch_all(executor)
            .await?;
    let stopped = stopped.into_iter();
    Ok(stopped
        .map(|(free, again, state, _)| (free, again, state))
        .collect())
}

/// Has runs that are over done again, and says whether there were any.
pub(super) async fn requeue(
    executor: impl PgExecutor<'_>,
    runs: &[(RunId, Redo)],
    backfill: Option<Uuid>,
    version: Option<&str>,
) -> Result<bool, sqlx::Error> {
    let (ids, redos): (Vec<_>, Vec<_>) = runs
        .iter()
        .map(|(run, redo)| (run.uuid(), name_of(redo)))
        .unzip();
    let again = sqlx::query(REQUEUE)
        .bind(ids)
        .bind(redos)
        .bind(backfill)
        .bind(version)
        .fetch_all(executor);
    Ok(!again.await?.is_empty())
}
