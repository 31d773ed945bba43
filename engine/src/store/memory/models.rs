//! The registered models in memory.

use async_trait::async_trait;

use super::{Content, MemoryStore, ModelEntry, ModelSlot};
use crate::{
    id::{RunId, TaskKey},
    store::{
        AliasChange, CHAMPION, Contender, ImportedModel, ModelRegistry, ModelVersion, NO_RUN,
        RegisterModel, StoreError, Verdict, promotion,
    },
    time::Timestamp,
};

#[async_trait]
impl ModelRegistry for MemoryStore {
    async fn reserve_version(
        &self,
        name: &str,
        run: RunId,
        key: &TaskKey,
    ) -> Result<u32, StoreError> {
        let mut content = self.lock();
        let versions = &mut content.models.entry(name.to_owned()).or_default().versions;
        let mine = versions
            .iter()
            .find(|(_, slot)| slot.reserved && slot.run == run && slot.key == *key);
        if let Some((version, _)) = mine {
            return Ok(*version);
        }
        let version = versions.last_key_value().map_or(0, |(last, _)| *last) + 1;
        versions.insert(
            version,
            ModelSlot {
                run,
                key: key.clone(),
                reserved: true,
                registered: None,
            },
        );
        Ok(version)
    }

    async fn models(&self) -> Result<Vec<String>, StoreError> {
        let content = self.lock();
        let registered = content
            .models
            .iter()
            .filter(|(_, model)| model.registered().next().is_some());
        Ok(registered.map(|(name, _)| name.clone()).collect())
    }

    async fn versions(&self, name: &str) -> Result<Vec<ModelVersion>, StoreError> {
        let content = self.lock();
        let versions = content
            .models
            .get(name)
            .into_iter()
            .flat_map(ModelEntry::registered);
        let mut versions: Vec<_> = versions.collect();
        versions.reverse();
        Ok(versions)
    }

    async fn model(&self, name: &str, version: u32) -> Result<Option<ModelVersion>, StoreError> {
        Ok(self
            .lock()
            .models
            .get(name)
            .and_then(|model| model.version(version)))
    }

    async fn aliased(&self, name: &str, alias: &str) -> Result<Option<ModelVersion>, StoreError> {
        let content = self.lock();
        let model = content.models.get(name);
        Ok(model.and_then(|model| model.version(*model.aliases.get(alias)?)))
    }

    async fn set_alias(
        &self,
        name: &str,
        alias: &str,
        version: u32,
        note: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut content = self.lock();
        let model = content
            .models
            .get_mut(name)
            .filter(|model| model.version(version).is_some());
        let model = model.ok_or_else(|| StoreError::NotFound(format!("model {name}:{version}")))?;
        model.point(alias, Some(version), note, now);
        Ok(())
    }

    async fn remove_alias(
        &self,
        name: &str,
        alias: &str,
        note: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut content = self.lock();
        let model = content
            .models
            .get_mut(name)
            .filter(|model| model.aliases.contains_key(alias));
        let Some(model) = model else {
            return Ok(false);
        };
        model.point(alias, None, note, now);
        Ok(true)
    }

    async fn alias_changes(&self, name: &str, limit: u32) -> Result<Vec<AliasChange>, StoreError> {
        let content = self.lock();
        let changes = content.models.get(name).map(|model| &model.changes);
        let newest_first = changes.into_iter().flatten().rev();
        Ok(newest_first.take(limit as usize).cloned().collect())
    }

    async fn import_model(&self, model: &ImportedModel) -> Result<u32, StoreError> {
        let mut content = self.lock();
        let entry = content.models.entry(model.name.clone()).or_default();
        let version = entry.versions.last_key_value().map_or(0, |(last, _)| *last) + 1;
        content.register(NO_RUN, &RegisterModel::imported(model, version));
        Ok(version)
    }
}

impl Content {
    pub(super) fn register(&mut self, run: RunId, new: &RegisterModel) {
        let model = self.models.entry(new.name.clone()).or_default();
        let champion = model
            .aliases
            .get(CHAMPION)
            .and_then(|version| model.version(*version));
        let champion = champion.as_ref().map(|champion| Contender {
            metrics: &champion.metrics,
            card: &champion.card,
        });
        // What is written twice is decided once: somebody may have been promoted since.
        let known = model.version(new.version).is_some();
        if !known {
            match promotion(&new.promote, new.contender(), champion) {
                Verdict::Champion(note) => {
                    model.point(CHAMPION, Some(new.version), &note, new.created);
                }
                verdict => {
                    if let Some(note) = verdict.note(new.version) {
                        model.remember(CHAMPION, &note, new.created);
                    }
                }
            }
        }
        let slot = ModelSlot {
            run,
            key: new.key.clone(),
            reserved: true,
            registered: Some(new.clone()),
        };
        model.versions.insert(new.version, slot);
    }

    /// A task that starts over gets a new version, so that a registered one never changes.
    pub(super) fn free_versions(&mut self, run: RunId, task: &str) {
        let slots = self
            .models
            .values_mut()
            .flat_map(|model| model.versions.values_mut());
        for slot in slots
            .filter(|slot| slot.run == run && slot.key.task == task && slot.registered.is_some())
        {
            slot.reserved = false;
        }
    }
}

impl ModelEntry {
    fn point(&mut self, alias: &str, version: Option<u32>, note: &str, now: Timestamp) {
        match version {
            Some(version) => self.aliases.insert(alias.to_owned(), version),
            None => self.aliases.remove(alias),
        };
        self.change(alias, version, note, now);
    }

    /// Remembers something of an alias that stays where it is.
    fn remember(&mut self, alias: &str, note: &str, now: Timestamp) {
        if let Some(version) = self.aliases.get(alias).copied() {
            self.change(alias, Some(version), note, now);
        }
    }

    fn change(&mut self, alias: &str, version: Option<u32>, note: &str, now: Timestamp) {
        self.changes.push(AliasChange {
            alias: alias.to_owned(),
            version,
            note: note.to_owned(),
            changed: now,
        });
    }

    fn registered(&self) -> impl Iterator<Item = ModelVersion> {
        self.versions
            .keys()
            .filter_map(|version| self.version(*version))
    }

    fn version(&self, version: u32) -> Option<ModelVersion> {
        let slot = self.versions.get(&version)?;
        let registered = slot.registered.as_ref()?;
        let aliases = self.aliases.iter().filter(|(_, to)| **to == version);
        Some(ModelVersion {
            name: registered.name.clone(),
            version,
            run: (slot.run != NO_RUN).then_some(slot.run),
            task: (slot.run != NO_RUN).then(|| slot.key.task.clone()),
            created: registered.created,
            artifact: registered.artifact.clone(),
            digest: registered.digest.clone(),
            bytes: registered.bytes,
            metrics: registered.metrics.clone(),
            card: registered.card.clone(),
            aliases: aliases.map(|(alias, _)| alias.clone()).collect(),
        })
    }
}
