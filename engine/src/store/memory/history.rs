//! The care of the history in memory.

use std::collections::{BTreeSet, HashMap, HashSet};

use async_trait::async_trait;

use super::{Content, MemoryStore, RunEntry};
use crate::{
    id::RunId,
    store::{History, LATE, Part, PipelineVersion, PruneRule, RunKind, StoreError},
};

#[async_trait]
impl History for MemoryStore {
    async fn prunable(&self, rule: &PruneRule, limit: u32) -> Result<Vec<RunId>, StoreError> {
        if rule.before.is_none() && rule.keep.is_none() {
            return Ok(Vec::new());
        }
        let content = self.lock();
        let mut newer: HashMap<&str, u32> = HashMap::new();
        let mut prunable = Vec::new();
        let newest_first = content.runs.values().rev().map(|entry| &entry.record);
        for record in newest_first.filter(|record| record.state.is_final()) {
            let newer = newer.entry(&record.run.pipeline).or_default();
            *newer += 1;
            let beyond = rule.keep.is_none_or(|keep| *newer > keep);
            let old = rule
                .before
                .is_none_or(|before| record.ended.is_some_and(|ended| ended < before));
            let pipeline = rule.pipeline.as_ref();
            let asked = pipeline.is_none_or(|pipeline| *pipeline == record.run.pipeline);
            if beyond && old && asked && content.may_go(record.run.id) {
                prunable.push((record.ended, record.run.id));
            }
        }
        prunable.sort_unstable();
        prunable.truncate(limit as usize);
        Ok(prunable.into_iter().map(|(_, run)| run).collect())
    }

    async fn pipelines(&self) -> Result<Vec<String>, StoreError> {
        let content = self.lock();
        let runs = content.runs.values();
        let pipelines: BTreeSet<_> = runs.map(|entry| &entry.record.run.pipeline).collect();
        Ok(pipelines.into_iter().cloned().collect())
    }

    async fn last_version(&self, pipeline: &str) -> Result<Option<PipelineVersion>, StoreError> {
        let content = self.lock();
        let mut versions = content.versions.values();
        let last = versions.rfind(|version| version.pipeline == pipeline);
        Ok(last.cloned())
    }

    async fn remove_runs(&self, runs: &[RunId]) -> Result<u64, StoreError> {
        let mut content = self.lock();
        let over = |run: &&RunId| {
            let entry = content.runs.get(*run);
            entry.is_some_and(|entry| entry.record.state.is_final())
        };
        let gone: HashSet<_> = runs.iter().filter(over).copied().collect();
        for run in &gone {
            content.remove(*run);
        }
        content.drop_versions();
        Ok(gone.len() as u64)
    }
}

impl Content {
    /// Whether nothing needs the run any more.
    fn may_go(&self, run: RunId) -> bool {
        let mut models = self
            .models
            .values()
            .flat_map(|model| model.versions.values());
        let mut things = self.things.values().flat_map(|ledger| ledger.values());
        let unfinished = |entry: &RunEntry| !entry.record.state.is_final();
        let parent = |entry: &RunEntry| entry.record.run.parent.as_ref().map(|parent| parent.run);
        let own = self.runs.get(&run).and_then(parent);
        let above: Vec<_> =
            std::iter::successors(Some(run), |run| self.runs.get(run).and_then(parent)).collect();
        let takes = |entry: &RunEntry| {
            let part = Part::of(&entry.record.run);
            part.is_some_and(|part| part.taken.values().any(|taken| *taken == run))
        };
        !self.may_start_again(run)
            && !self.runs.values().any(takes)
            && !models.any(|slot| above.contains(&slot.run) && slot.registered.is_some())
            && !things.any(|thing| thing.run == Some(run) && self.is_due(thing))
            && !self
                .runs
                .values()
                .any(|entry| unfinished(entry) && parent(entry) == Some(run))
            && !own
                .and_then(|own| self.runs.get(&own))
                .is_some_and(unfinished)
    }

    /// Whether the success that a run follows is still looked at, and would start another one.
    fn may_start_again(&self, run: RunId) -> bool {
        let Some(run) = self.runs.get(&run).map(|entry| &entry.record.run) else {
            return false;
        };
        let upstream = run.trigger["run"].as_str();
        let upstream = upstream.and_then(|upstream| upstream.parse().ok());
        run.kind == RunKind::After
            && upstream.is_some_and(|upstream: RunId| self.runs.contains_key(&upstream))
            && self
                .schedules
                .get(&run.pipeline)
                .is_some_and(|schedule| run.created >= schedule.cursor - LATE)
    }

    fn remove(&mut self, run: RunId) {
        if let Some(RunEntry { record, .. }) = self.runs.remove(&run)
            && let Some(key) = record.run.trigger_key
        {
            self.triggers.remove(&(record.run.pipeline, key));
        }
        self.pools.retain(|(_, holder, _), _| *holder != run);
        self.mails.retain(|_, mail| {
            mail.mail.run != Some(run) || matches!(mail.state, "pending" | "unconfigured")
        });
        for model in self.models.values_mut() {
            model
                .versions
                .retain(|_, slot| slot.run != run || slot.registered.is_some());
        }
    }

    fn drop_versions(&mut self) {
        let runs = self.runs.values();
        let of = |entry: &RunEntry| {
            let before = entry.before.as_ref();
            let before = before.map(|before| before.version.clone());
            before.into_iter().chain([entry.record.run.version.clone()])
        };
        let named: HashSet<_> = runs.flat_map(of).collect();
        let last: HashMap<_, _> = self
            .versions
            .values()
            .map(|version| (version.pipeline.clone(), version.hash.clone()))
            .collect();
        self.versions
            .retain(|hash, version| named.contains(hash) || last[&version.pipeline] == *hash);
    }
}
