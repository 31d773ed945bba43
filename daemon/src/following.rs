//! Makes runs when other pipelines have succeeded.

use std::{collections::BTreeMap, sync::Arc};

use chrono::TimeDelta;
use pipectl_engine::{
    failpoint,
    id::RunId,
    plan::Plan,
    store::{Created, LATE, NewRun, RunKind, RunRecord, StoreError},
    time::Timestamp,
    trigger::{Schedule, Trigger},
};
use serde_json::json;
use uuid::Uuid;

use crate::desk::{Desk, interval_key, queued};

/// How many successes are looked at in one go.
const PAGE: u32 = 1_000;
/// How far behind the last success one looks each time; what appears later is found by the look at everything.
const SOON: TimeDelta = TimeDelta::seconds(5);
/// How often everything since the cursor is looked at.
const WHOLE: TimeDelta = TimeDelta::seconds(10);

/// Starts what runs `after` other pipelines.
#[derive(Debug)]
pub(crate) struct Following {
    desk: Desk,
    places: BTreeMap<String, Place>,
    /// Which backfills start what follows their runs.
    cascades: BTreeMap<Uuid, bool>,
}

/// Where a pipeline that follows others stands. The cursor in the history stays behind, so that what appears late is still
/// found, by whoever looks.
#[derive(Debug, Default)]
struct Place {
    /// The end of the last success that was seen.
    last: Option<Timestamp>,
    /// When everything since the cursor was last looked at.
    whole: Option<Timestamp>,
    /// Successes since the cursor that were dealt with, by run and redo, with their end.
    dealt: BTreeMap<(RunId, u32), Timestamp>,
}

impl Place {
    /// From where to look now.
    fn since(&mut self, cursor: Timestamp, now: Timestamp) -> Timestamp {
        let fresh = |whole: Timestamp| whole <= now && now - whole < WHOLE;
        if let Some(last) = self.last.filter(|_| self.whole.is_some_and(fresh)) {
            return cursor.max(last - SOON);
        }
        self.whole = Some(now);
        cursor
    }
}

impl Following {
    pub(crate) fn new(desk: Desk) -> Self {
        Self {
            desk,
            places: BTreeMap::new(),
            cascades: BTreeMap::new(),
        }
    }

    /// Makes the runs of `plan` that follow successes since its cursor, which begins at the moment when the pipeline was
    /// first seen.
    pub(crate) async fn follow(
        &mut self,
        plan: &Arc<Plan>,
        schedule: &Schedule,
    ) -> Result<(), StoreError> {
        let Trigger::After { pipelines, all } = &schedule.trigger else {
            return Ok(());
        };
        let now = self.desk.now();
        let record = self.desk.store().schedule(&plan.name, now).await?;
        if record.paused {
            return Ok(());
        }
        let mut place = self.places.remove(&*plan.name).unwrap_or_default();
        let followed = self
            .look(
                &mut place,
                (plan, schedule),
                (pipelines, *all),
                (record.cursor, now),
            )
            .await;
        if followed.is_err() {
            // What is dealt with stays known; the next look is at everything.
            place.whole = None;
        }
        self.places.insert(plan.name.to_string(), place);
        followed
    }

    async fn look(
        &mut self,
        place: &mut Place,
        (plan, schedule): (&Arc<Plan>, &Schedule),
        (upstream, all): (&[String], bool),
        (cursor, now): (Timestamp, Timestamp),
    ) -> Result<(), StoreError> {
        let store = Arc::clone(self.desk.store());
        let (mut since, mut after) = (place.since(cursor, now), None);
        let mut cursor = cursor;
        loop {
            let page = store.successes_since(upstream, since, after, PAGE).await?;
            let last = page
                .last()
                .and_then(|last| Some((last.ended?, last.run.id)));
            let Some((ended, id)) = last else { break };
            let new =
                |success: &&RunRecord| !place.dealt.contains_key(&(success.run.id, success.redo));
            let new: Vec<&RunRecord> = page.iter().filter(new).collect();
            self.start(plan, schedule, (upstream, all), &new, now)
                .await?;
            for success in new {
                let ended = success.ended.unwrap_or(now);
                place.dealt.insert((success.run.id, success.redo), ended);
            }
            // A clock that is ahead must not have others passed over.
            let seen = ended.min(now);
            place.last = place.last.max(Some(seen));
            if seen - LATE > cursor {
                cursor = seen - LATE;
                store.advance(&plan.name, cursor).await?;
            }
            (since, after) = (ended, Some(id));
            if page.len() < PAGE as usize {
                break;
            }
        }
        place.dealt.retain(|_, ended| *ended >= cursor);
        Ok(())
    }

    /// Makes the runs that follow these successes, in one transaction.
    async fn start(
        &mut self,
        plan: &Arc<Plan>,
        schedule: &Schedule,
        upstream: (&[String], bool),
        successes: &[&RunRecord],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut runs = Vec::new();
        for success in successes {
            let within = success.ended.is_some_and(|ended| schedule.includes(ended));
            if !within || self.alone(success).await? {
                continue;
            }
            let run = self.follower(plan, upstream, success, now).await?;
            runs.extend(run.map(|run| (run, *success)));
        }
        if runs.is_empty() {
            return Ok(());
        }
        self.desk.keep(plan).await?;
        let (runs, after): (Vec<NewRun>, Vec<&RunRecord>) = runs.into_iter().unzip();
        failpoint::hit("before_follow");
        let created = self.desk.store().create_runs(&runs).await?;
        failpoint::hit("after_follow");
        for (success, _) in after
            .iter()
            .zip(created)
            .filter(|(_, created)| *created == Created::New)
        {
            tracing::info!(pipeline = &*plan.name, after = %success.run.id, "due: `{}` has succeeded", success.run.pipeline);
        }
        Ok(())
    }

    /// Whether a backfill made the run, or had it done again, that does not cascade.
    async fn alone(&mut self, success: &RunRecord) -> Result<bool, StoreError> {
        let made = success.run.kind == RunKind::Backfill;
        let cascades = success.run.trigger["cascade"] == json!(true);
        let Some(id) = success.run.backfill else {
            return Ok(made && !cascades);
        };
        // What a backfill has made says itself whether it cascades.
        if made && cascades && success.redo == 0 {
            return Ok(false);
        }
        if let Some(cascades) = self.cascades.get(&id) {
            return Ok(!cascades);
        }
        let backfill = self.desk.store().backfill(id).await?;
        let cascades = backfill.is_some_and(|(backfill, _)| backfill.cascade);
        self.cascades.insert(id, cascades);
        Ok(!cascades)
    }

    async fn follower(
        &self,
        plan: &Plan,
        (upstream, all): (&[String], bool),
        success: &RunRecord,
        now: Timestamp,
    ) -> Result<Option<NewRun>, StoreError> {
        let key = if all {
            match self.all_of(upstream, success).await? {
                Some(key) => key,
                None => return Ok(None),
            }
        } else {
            format!("after:{}:{}", success.run.id, success.redo)
        };
        Ok(
            match queued(plan, RunKind::After, key, success.run.interval, now) {
                Ok(run) => Some(NewRun {
                    trigger: json!({"pipeline": success.run.pipeline, "run": success.run.id}),
                    ..run
                }),
                Err(error) => {
                    tracing::error!(pipeline = &*plan.name, "cannot start: {error}");
                    None
                }
            },
        )
    }

    /// What makes the run the only one that follows successes of the same interval of every pipeline; a run without an
    /// interval has no counterpart. What was done again is followed again.
    async fn all_of(
        &self,
        upstream: &[String],
        success: &RunRecord,
    ) -> Result<Option<String>, StoreError> {
        let store = self.desk.store();
        let Some(interval) = success.run.interval else {
            return Ok(None);
        };
        let mut redo = success.redo;
        for other in upstream
            .iter()
            .filter(|name| **name != success.run.pipeline)
        {
            let Some(run) = store.success_of(other, interval).await? else {
                return Ok(None);
            };
            redo += store.run(run).await?.map_or(0, |record| record.redo);
        }
        let key = format!("after:{}", interval_key(interval));
        Ok(Some(match redo {
            0 => key,
            redo => format!("{key}:{redo}"),
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pipectl_engine::{
        state::RunState,
        store::{
            Backfill, BackfillState, History as _, PruneRule, Redo, Reprocess, RunStore as _,
            Triggers as _,
        },
    };

    use super::*;
    use crate::testing::{Bench, after, made};

    async fn bench() -> (Bench, Following) {
        let bench = Bench::new();
        bench.files.put(after("down", "up"));
        let mut following = Following::new(bench.desk().await);
        tick(&mut following).await;
        bench.clock.advance(Duration::from_secs(1));
        (bench, following)
    }

    async fn tick(following: &mut Following) {
        for plan in following.desk.catalogue.plans() {
            let schedule = plan.schedule.clone().unwrap();
            following.follow(&plan, &schedule).await.unwrap();
        }
    }

    #[tokio::test]
    async fn every_success_of_many_is_followed_once() {
        let (bench, mut following) = bench().await;
        for number in 0..2_500 {
            // Most of them are a backfill's own business, and end in the same moment.
            let run = NewRun {
                kind: if number < 2_300 {
                    RunKind::Backfill
                } else {
                    RunKind::Manual
                },
                ..made(&bench, "up", 0)
            };
            bench.over(run, RunState::Success, bench.now()).await;
        }
        for _ in 0..3 {
            tick(&mut following).await;
        }
        assert_eq!(bench.runs("down").await.len(), 200);
        // So does another daemon, and one whose clock has gone on.
        let mut other = Following::new(bench.desk().await);
        tick(&mut other).await;
        bench.clock.advance(Duration::from_secs(3_600));
        tick(&mut following).await;
        bench
            .over(made(&bench, "up", 0), RunState::Success, bench.now())
            .await;
        tick(&mut following).await;
        tick(&mut other).await;
        assert_eq!(bench.runs("down").await.len(), 201);
        assert_eq!(following.places["down"].dealt.len(), 1);
    }

    #[tokio::test]
    async fn what_appears_late_is_followed_too() {
        let (bench, mut following) = bench().await;
        bench
            .over(made(&bench, "up", 0), RunState::Success, bench.now())
            .await;
        tick(&mut following).await;
        bench.clock.advance(Duration::from_secs(400));
        bench
            .over(made(&bench, "up", 0), RunState::Success, bench.now())
            .await;
        tick(&mut following).await;
        let late = bench.now() - TimeDelta::seconds(300);
        bench
            .over(made(&bench, "up", 0), RunState::Success, late)
            .await;
        bench.clock.advance(Duration::from_secs(11));
        tick(&mut following).await;
        assert_eq!(bench.runs("down").await.len(), 3);
    }

    #[tokio::test]
    async fn a_pruned_follower_is_not_made_again() {
        let (bench, mut following) = bench().await;
        bench
            .over(made(&bench, "up", 0), RunState::Success, bench.now())
            .await;
        tick(&mut following).await;
        let down = bench.runs("down").await.remove(0);
        bench.end(&down.run, RunState::Success, bench.now()).await;
        bench.clock.advance(Duration::from_secs(86_400));
        let rule = PruneRule {
            pipeline: Some("down".to_owned()),
            before: Some(bench.now()),
            keep: None,
        };
        let gone = bench.store.prunable(&rule, 10).await.unwrap();
        bench.store.remove_runs(&gone).await.unwrap();
        let mut other = Following::new(bench.desk().await);
        tick(&mut other).await;
        tick(&mut following).await;
        let runs = bench.runs("down").await;
        assert_eq!(runs.len(), 1, "{runs:#?}");
        assert_eq!(runs[0].run.id, down.run.id);
        // A later success lets it go.
        bench
            .over(made(&bench, "up", 0), RunState::Success, bench.now())
            .await;
        tick(&mut following).await;
        assert_eq!(
            bench.store.prunable(&rule, 10).await.unwrap(),
            [down.run.id]
        );
    }

    #[tokio::test]
    async fn what_a_backfill_does_again_is_followed_when_it_cascades() {
        let (bench, mut following) = bench().await;
        let up = made(&bench, "up", 0);
        bench.over(up.clone(), RunState::Success, bench.now()).await;
        tick(&mut following).await;
        for (cascade, followers) in [(false, 1), (true, 2), (false, 2)] {
            bench.clock.advance(Duration::from_secs(60));
            let now = bench.now();
            let backfill = Backfill {
                id: RunId::new(now).uuid(),
                pipeline: "up".to_owned(),
                from: now,
                to: now,
                max_active: 1,
                reprocess: Reprocess::Completed,
                backwards: false,
                cascade,
                state: BackfillState::Running,
                created: now,
            };
            let again = [(up.id, Redo::All)];
            let store = &bench.store;
            store
                .create_backfill(&backfill, &[], &again, "abc")
                .await
                .unwrap();
            let queued = store.run(up.id).await.unwrap().unwrap();
            assert_eq!(queued.run.backfill, Some(backfill.id));
            let mut claimed = pipectl_engine::store::Queue::claim_queued(
                &**store,
                "one",
                Duration::from_secs(60),
                None,
                9,
            )
            .await
            .unwrap();
            claimed.retain(|claimed| claimed.run == up.id);
            assert_eq!(claimed.len(), 1);
            bench.end(&up, RunState::Success, now).await;
            tick(&mut following).await;
            assert_eq!(bench.runs("down").await.len(), followers, "{cascade}");
        }
    }
}
