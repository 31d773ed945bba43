//! The queue of runs in SQLite.

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
use serde_json::Value;
use sqlx::{AssertSqlSafe, Sqlite, SqliteConnection, query::QueryScalar, sqlite::SqliteArguments};
use uuid::Uuid;

use super::{
    SqliteStore, Writing,
    create::{NOW, hex},
    queue_sql::{ASK, FOREGROUND, GIVE, LOST, OTHERS, QUEUE, REQUEUE, RESTORE, STOP, STOPPED},
    runs::sql::CLAIM,
    values::{lasting, moment},
};
use crate::{
    batch::{element, text},
    error::{failed, reading, unknown, writing},
    rows::{name_of, named},
    trigger_rows::{claimed, counted, daemon, turn},
};

const WRITE: &str = "write the history";

#[async_trait]
impl Queue for SqliteStore {
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
        let wrong = |error| failed("renew the leases", error);
        let mut writer = self.writer().await.map_err(wrong)?;
        let cancelling = beat(&mut writer, name, started, lease).await;
        let cancelling = writer.end(cancelling).await.map_err(wrong)?;
        Ok(cancelling.into_iter().map(RunId::from).collect())
    }

    async fn leave(&self, name: &str) -> Result<(), StoreError> {
        let leave = sqlx::query("update daemons set alive_until = null where name = $1").bind(name);
        self.execute(WRITE, leave).await?;
        self.changed.notify_waiters();
        Ok(())
    }

    async fn daemons(&self) -> Result<Vec<Daemon>, StoreError> {
        let sql = "select name, started, alive_until > {now} as alive from daemons
            where alive_until is not null and heard > {now} - 86400000000 order by alive desc, name";
        let rows = sqlx::query_as(now(sql)).fetch_all(&self.readers).await;
        rows.map_err(reading)?.into_iter().map(daemon).collect()
    }

    async fn owned(&self, daemon: &str) -> Result<Vec<Claimed>, StoreError> {
        let sql = "select id, fence from runs
            where owner = $1 and leased_until is not null
                and (state = 'running' or state = 'queued' and (not enqueued or leased_until > {now})) order by id";
        let rows = sqlx::query_as(now(sql))
            .bind(daemon)
            .fetch_all(&self.readers)
            .await;
        rows.map_err(reading)?.into_iter().map(claimed).collect()
    }

    async fn claim_queued(
        &self,
        daemon: &str,
        lease: Duration,
        backfill: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<Claimed>, StoreError> {
        let chosen = sqlx::query_scalar(now(QUEUE)).bind(backfill).bind(limit);
        self.claim_chosen(chosen, daemon, lease).await
    }

    async fn claim_lost(
        &self,
        daemon: &str,
        lease: Duration,
        gone: &[String],
        limit: u32,
    ) -> Result<Vec<Claimed>, StoreError> {
        let chosen = sqlx::query_scalar(now(LOST))
            .bind(Value::from(gone).to_string())
            .bind(limit);
        self.claim_chosen(chosen, daemon, lease).await
    }

    async fn claim_in_turn(
        &self,
        run: RunId,
        owner: &str,
        lease: Duration,
        most: u32,
        gone: &[String],
    ) -> Result<Turn, StoreError> {
        let wrong = |error| failed("claim the run", error);
        let lease = lasting(lease)?;
        let mut writer = self.writer().await.map_err(wrong)?;
        writer.begin().await.map_err(wrong)?;
        let asked = async {
            let connection = &mut writer.connection;
            let others = sqlx::query_scalar::<_, i64>(now(OTHERS))
                .bind(run.uuid())
                .bind(Value::from(gone).to_string());
            if others.fetch_one(&mut *connection).await? >= i64::from(most) {
                return Ok((true, None));
            }
            let claim = sqlx::query_scalar(CLAIM).bind(run.uuid());
            let claim = claim.bind(owner).bind(lease);
            Ok((false, claim.fetch_optional(connection).await?))
        };
        let asked = asked.await;
        let asked = writer.end(asked).await.map_err(wrong)?;
        drop(writer);
        turn(self, run, asked).await
    }

    async fn foreground_runs(&self) -> Result<Vec<(RunId, String, bool)>, StoreError> {
        let rows = sqlx::query_as::<_, (Uuid, String, bool)>(now(FOREGROUND));
        let rows = rows.fetch_all(&self.readers).await.map_err(reading)?;
        let rows = rows.into_iter();
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
        let mut writer = self.writer().await.map_err(writing)?;
        let again = requeue(&mut writer.connection, &[(run, redo)], backfill, None).await;
        if again.map_err(writing)? {
            self.changed.notify_waiters();
            return Ok(true);
        }
        state(&mut writer.connection, run).await.map(|_| false)
    }

    async fn cancel(&self, run: RunId, now: Timestamp) -> Result<Cancelled, StoreError> {
        let mut writer = self.writer().await.map_err(writing)?;
        let connection = writer.begin().await.map_err(writing)?;
        let stopped = stop(connection, "id = $1", run.uuid(), now).await;
        let stopped = writer.end(stopped).await.map_err(writing)?;
        self.changed.notify_waiters();
        Ok(match stopped {
            Stopped { cancelled: 1.., .. } => Cancelled::AtOnce,
            Stopped { restored: 1.., .. } => {
                Cancelled::Restored(state(&mut writer.connection, run).await?)
            }
            Stopped { asked: 1.., .. } => Cancelled::Asked,
            Stopped { .. } => Cancelled::Over(state(&mut writer.connection, run).await?),
        })
    }

    async fn unfinished(&self) -> Result<BTreeMap<(String, RunState), u64>, StoreError> {
        let sql = "select pipeline, state, count(*) from runs where state in ('queued', 'running')
            group by pipeline, state";
        let rows = sqlx::query_as(sql).fetch_all(&self.readers).await;
        rows.map_err(reading)?.into_iter().map(counted).collect()
    }

    async fn take_pool(&self, request: &PoolRequest) -> Result<bool, StoreError> {
        let wrong = |error| failed("take slots of a pool", error);
        let mut writer = self.writer().await.map_err(wrong)?;
        let taken = take_pool(&mut writer, request).await;
        writer.end(taken).await.map_err(wrong)
    }

    async fn give_pool(&self, pool: &str, run: RunId, key: &TaskKey) -> Result<(), StoreError> {
        let sql =
            "delete from pool_slots where pool = $1 and run = $2 and task = $3 and element = $4";
        let give = sqlx::query(sql)
            .bind(text(pool))
            .bind(run.uuid())
            .bind(&key.task)
            .bind(element(key.element));
        self.execute("give slots of a pool back", give)
            .await
            .map(drop)
    }

    async fn take_turns(&self, limit: &str, time: Duration) -> Result<Duration, StoreError> {
        let wrong = |error| failed("take turns of a rate limit", error);
        let sql = "insert into rate_limits (name, next_turn) values ($1, {now} + $2)
            on conflict (name) do update set next_turn = max(next_turn, {now}) + $2
            returning next_turn - {now} - $2";
        let take = sqlx::query_scalar::<_, i64>(now(sql))
            .bind(text(limit))
            .bind(lasting(time)?);
        let mut writer = self.writer().await.map_err(wrong)?;
        let wait = take
            .fetch_one(&mut writer.connection)
            .await
            .map_err(wrong)?;
        Ok(Duration::from_micros(u64::try_from(wait).unwrap_or(0)))
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        self.changed.notified().boxed()
    }
}

impl SqliteStore {
    /// Gives the runs that a query chooses to a daemon.
    async fn claim_chosen(
        &self,
        chosen: QueryScalar<'_, Sqlite, Uuid, SqliteArguments>,
        daemon: &str,
        lease: Duration,
    ) -> Result<Vec<Claimed>, StoreError> {
        let wrong = |error| failed("claim runs", error);
        let lease = lasting(lease)?;
        let mut writer = self.writer().await.map_err(wrong)?;
        writer.begin().await.map_err(wrong)?;
        let given = give(&mut writer.connection, chosen, daemon, lease).await;
        let given = writer.end(given).await.map_err(wrong)?;
        given.into_iter().map(claimed).collect()
    }
}

/// A statement with the present moment in its place.
fn now(sql: &str) -> AssertSqlSafe<String> {
    AssertSqlSafe(sql.replace("{now}", NOW))
}

async fn beat(
    writer: &mut Writing,
    name: &str,
    started: Timestamp,
    lease: i64,
) -> Result<Vec<Uuid>, sqlx::Error> {
    let connection = writer.begin().await?;
    let me =
        "insert into daemons (name, started, heard, alive_until) values ($1, $2, {now}, {now} + $3)
        on conflict (name) do update set started = excluded.started, heard = excluded.heard,
            alive_until = excluded.alive_until";
    let me = sqlx::query(now(me))
        .bind(name)
        .bind(moment(started))
        .bind(lease);
    me.execute(&mut *connection).await?;
    let silent = "delete from daemons where heard < {now} - 86400000000 and not exists (
            select 1 from runs r where r.owner = daemons.name and r.state in ('queued', 'running'))";
    sqlx::query(now(silent)).execute(&mut *connection).await?;
    let mine = "update runs set leased_until = {now} + $2
        where owner = $1 and leased_until is not null
            and (state = 'running' or state = 'queued' and (not enqueued or leased_until > {now}))
        returning id, cancelling";
    let mine = sqlx::query_as::<_, (Uuid, bool)>(now(mine))
        .bind(name)
        .bind(lease);
    let mine = mine.fetch_all(connection).await?.into_iter();
    Ok(mine
        .filter_map(|(run, cancelling)| cancelling.then_some(run))
        .collect())
}

async fn give(
    connection: &mut SqliteConnection,
    chosen: QueryScalar<'_, Sqlite, Uuid, SqliteArguments>,
    owner: &str,
    lease: i64,
) -> Result<Vec<(Uuid, i64)>, sqlx::Error> {
    let chosen = chosen.fetch_all(&mut *connection).await?;
    let ids: Value = chosen.iter().map(|run| hex(*run)).collect();
    let given = sqlx::query_as::<_, (Uuid, i64)>(now(GIVE))
        .bind(owner)
        .bind(lease)
        .bind(ids.to_string());
    let mut given = given.fetch_all(connection).await?;
    given.sort_by_key(|(run, _)| chosen.iter().position(|id| id == run));
    Ok(given)
}

/// How many runs have been stopped, and how.
pub(super) struct Stopped {
    cancelled: usize,
    restored: usize,
    asked: u64,
}

/// Stops runs: those that nobody works on at once.
pub(super) async fn stop(
    connection: &mut SqliteConnection,
    which: &str,
    id: Uuid,
    at: Timestamp,
) -> Result<Stopped, sqlx::Error> {
    let stopped = sqlx::query_scalar::<_, Uuid>(now(&STOP.replace("{}", which)))
        .bind(id)
        .bind(moment(at))
        .fetch_all(&mut *connection)
        .await?;
    // What is restored may belong to another backfill then: nobody asks it to stop.
    let restored = sqlx::query_scalar::<_, Uuid>(now(&RESTORE.replace("{}", which)))
        .bind(id)
        .fetch_all(&mut *connection)
        .await?;
    let ids: Value = stopped
        .iter()
        .chain(&restored)
        .map(|run| hex(*run))
        .collect();
    let events = sqlx::query(STOPPED).bind(ids.to_string()).bind(moment(at));
    events.execute(&mut *connection).await?;
    let asked = sqlx::query(now(&ASK.replace("{}", which))).bind(id);
    Ok(Stopped {
        cancelled: stopped.len(),
        restored: restored.len(),
        asked: asked.execute(connection).await?.rows_affected(),
    })
}

async fn state(connection: &mut SqliteConnection, run: RunId) -> Result<RunState, StoreError> {
    let state = sqlx::query_scalar::<_, String>("select state from runs where id = $1")
        .bind(run.uuid())
        .fetch_optional(connection)
        .await;
    let state = state.map_err(reading)?;
    let state = state.ok_or_else(|| unknown(run))?;
    named(&state)
}

/// Has runs that are over done again, and says whether there were any.
pub(super) async fn requeue(
    connection: &mut SqliteConnection,
    runs: &[(RunId, Redo)],
    backfill: Option<Uuid>,
    version: Option<&str>,
) -> Result<bool, sqlx::Error> {
    let mut requeued = 0;
    for (run, redo) in runs {
        let again = sqlx::query(REQUEUE)
            .bind(run.uuid())
            .bind(backfill)
            .bind(name_of(redo))
            .bind(version);
        requeued += again.execute(&mut *connection).await?.rows_affected();
    }
    Ok(requeued > 0)
}

async fn take_pool(writer: &mut Writing, request: &PoolRequest) -> Result<bool, sqlx::Error> {
    let connection = writer.begin().await?;
    let free = "delete from pool_slots where pool = $1 and not exists (
            select 1 from runs r cross join (select {now} as now) as clock
            where r.id = pool_slots.run and r.state in ('queued', 'running') and r.leased_until is not null
                and (r.leased_until > clock.now
                    or exists (select 1 from daemons d where d.name = r.owner and d.alive_until > clock.now)))";
    let free = sqlx::query(now(free)).bind(text(&request.pool));
    free.execute(&mut *connection).await?;
    let take = "insert into pool_slots (pool, run, task, element, slots) select $1, $2, $3, $4, $5
        where (select coalesce(sum(slots), 0) from pool_slots where pool = $1) + $5 <= $6
            or exists (select 1 from pool_slots where pool = $1 and run = $2 and task = $3 and element = $4)
        on conflict (pool, run, task, element) do update set slots = pool_slots.slots";
    let take = sqlx::query(take)
        .bind(text(&request.pool))
        .bind(request.run.uuid())
        .bind(&request.key.task)
        .bind(element(request.key.element))
        .bind(request.slots)
        .bind(request.capacity);
    Ok(take.execute(connection).await?.rows_affected() > 0)
}
