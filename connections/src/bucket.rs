//! A bucket, or a directory that is used like one.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::{
    ObjectMeta, ObjectStoreExt as _, PutMode, UpdateVersion, path::Path as ObjectPath,
};
use pipectl_engine::operator::TaskError;

use crate::{
    disk::{blocking, files_below, write_whole},
    entry::{Entry, of_file, of_object},
    files::{io_failure, look},
    object::{ObjectPlace, object_error},
    pattern::Pattern,
};

/// An open bucket or directory. Keys are paths below the connection's prefix or directory.
#[derive(Clone, Debug)]
pub struct Bucket {
    /// How messages speak of it: `` `lake` (s3://bucket/prefix) ``.
    shown: String,
    name: String,
    pub(crate) place: Place,
}

#[derive(Clone, Debug)]
pub(crate) enum Place {
    Objects(ObjectPlace),
    Directory(PathBuf),
}

impl Bucket {
    pub(crate) fn objects(name: &str, place: ObjectPlace) -> Self {
        Self {
            shown: if name.contains("://") {
                format!("`{}`", place.shown)
            } else {
                format!("`{name}` ({})", place.shown)
            },
            name: name.to_owned(),
            place: Place::Objects(place),
        }
    }

    pub(crate) fn directory(name: &str, root: PathBuf) -> Self {
        Self {
            shown: format!("`{name}` ({})", root.display()),
            name: name.to_owned(),
            place: Place::Directory(root),
        }
    }

    /// The connection's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The connection's name and address, for messages.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// How a pipeline would write the place of `key`.
    pub fn address(&self, key: &str) -> String {
        if self.name.contains("://") {
            format!("{}/{key}", self.name)
        } else {
            format!("{}://{key}", self.name)
        }
    }

    /// The directory, when it is one.
    pub fn root(&self) -> Option<&Path> {
        match &self.place {
            Place::Objects(_) => None,
            Place::Directory(root) => Some(root),
        }
    }

    /// What `pattern` names, by key. `*` does not cross `/`, `**` does; the longest prefix without wildcards is listed.
    ///
    /// # Errors
    /// When the server or the disk refuses, or `pattern` is no key; that nothing is there is no error.
    pub async fn list(&self, pattern: &str) -> Result<Vec<Entry>, TaskError> {
        let pattern = Arc::new(self.pattern(pattern)?);
        if let Some(key) = pattern.exact() {
            return Ok(self.head(key).await?.into_iter().collect());
        }
        let (base, deep) = (pattern.base().to_owned(), pattern.deep());
        self.below(&base, deep, vec![pattern]).await
    }

    pub(crate) fn pattern(&self, text: &str) -> Result<Pattern, TaskError> {
        self.check(text)?;
        Pattern::new(text).map_err(|error| {
            TaskError::user(format!("the pattern `{text}` is too large")).because(error)
        })
    }

    /// What lies below `base` and is matched by one of `patterns`, by key.
    pub(crate) async fn below(
        &self,
        base: &str,
        deep: bool,
        patterns: Vec<Arc<Pattern>>,
    ) -> Result<Vec<Entry>, TaskError> {
        let wanted = move |key: &str| patterns.iter().any(|pattern| pattern.matches(key));
        let mut entries = match &self.place {
            Place::Objects(place) => {
                let found = self.objects_below(place, base, deep, &wanted).await?;
                self.without_folders(found).await?
            }
            Place::Directory(root) => {
                let (root, base, shown) = (root.clone(), base.to_owned(), self.shown.clone());
                blocking(move || {
                    files_below(&root, &base, deep, &wanted)
                        .map_err(|error| io_failure(&format!("list {shown}"), error))
                })
                .await?
            }
        };
        entries.sort_by(|left, right| left.key.cmp(&right.key));
        Ok(entries)
    }

    async fn objects_below(
        &self,
        place: &ObjectPlace,
        base: &str,
        deep: bool,
        wanted: &(dyn Fn(&str) -> bool + Send + Sync),
    ) -> Result<Vec<Entry>, TaskError> {
        let fail = |error| object_error("list", &self.shown, &error);
        let prefix = match (&*place.prefix, base) {
            ("", "") => None,
            ("", only) | (only, "") => Some(self.path(only)?),
            (prefix, base) => Some(self.path(&format!("{prefix}/{base}"))?),
        };
        let of = |meta: ObjectMeta| {
            let key = place.key(&meta.location)?.to_owned();
            wanted(&key).then(|| of_object(key, meta))
        };
        if !deep {
            let listed = place.store.list_with_delimiter(prefix.as_ref()).await;
            return Ok(listed
                .map_err(fail)?
                .objects
                .into_iter()
                .filter_map(of)
                .collect());
        }
        let listed = place.store.list(prefix.as_ref()).map_err(fail);
        listed
            .try_filter_map(|meta| std::future::ready(Ok(of(meta))))
            .try_collect()
            .await
    }

    /// Consoles of servers make empty objects `in/` to show a folder; listings give them as `in`, which is not there.
    async fn without_folders(&self, found: Vec<Entry>) -> Result<Vec<Entry>, TaskError> {
        let mut objects = Vec::with_capacity(found.len());
        for entry in found {
            if entry.size > 0 || self.head(&entry.key).await?.is_some() {
                objects.push(entry);
            }
        }
        Ok(objects)
    }

    /// The content of `key`.
    ///
    /// # Errors
    /// When it is not there, or the server or the disk refuses.
    pub async fn get(&self, key: &str) -> Result<Bytes, TaskError> {
        self.check(key)?;
        match &self.place {
            Place::Objects(place) => {
                let fail = |error| self.failed("read", key, &error);
                let found = place
                    .store
                    .get(&self.full(place, key)?)
                    .await
                    .map_err(fail)?;
                found.bytes().await.map_err(fail)
            }
            Place::Directory(root) => {
                let (path, fail) = (root.join(key), self.disk("read", key));
                blocking(move || fs::read(path).map(Bytes::from).map_err(fail)).await
            }
        }
    }

    /// Writes `content` under `key`, whole or not at all.
    ///
    /// # Errors
    /// When the server or the disk refuses.
    pub async fn put(&self, key: &str, content: Bytes) -> Result<(), TaskError> {
        self.check(key)?;
        match &self.place {
            Place::Objects(place) => {
                let path = self.full(place, key)?;
                let put = place.store.put(&path, content.into()).await;
                put.map(drop)
                    .map_err(|error| self.failed("write", key, &error))
            }
            Place::Directory(root) => {
                let (target, fail) = (root.join(key), self.disk("write", key));
                blocking(move || {
                    write_whole(&target, |file| io::Write::write_all(file, &content)).map_err(fail)
                })
                .await
            }
        }
    }

    /// Writes `content` under `key` if what is there is still what is known by `tag`; `None` stands for nothing.
    ///
    /// # Errors
    /// When something else is there by now, or the server or the disk refuses.
    pub async fn put_after(
        &self,
        key: &str,
        content: Bytes,
        tag: Option<&str>,
    ) -> Result<(), TaskError> {
        let Place::Objects(place) = &self.place else {
            return self.put(key, content).await;
        };
        let mode = match tag {
            None => PutMode::Create,
            Some(tag) => PutMode::Update(UpdateVersion {
                e_tag: Some(tag.to_owned()),
                version: None,
            }),
        };
        let path = self.full(place, key)?;
        let put = place
            .store
            .put_opts(&path, content.into(), mode.into())
            .await;
        put.map(drop).map_err(|error| match error {
            object_store::Error::AlreadyExists { .. }
            | object_store::Error::Precondition { .. } => self.replaced(key),
            other => self.failed("write", key, &other),
        })
    }

    /// What is there under `key`.
    ///
    /// # Errors
    /// When the server or the disk refuses; that nothing is there is no error.
    pub async fn head(&self, key: &str) -> Result<Option<Entry>, TaskError> {
        self.check(key)?;
        match &self.place {
            Place::Objects(place) => match place.store.head(&self.full(place, key)?).await {
                Ok(meta) => Ok(Some(of_object(key.to_owned(), meta))),
                Err(object_store::Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(self.failed("look at", key, &error)),
            },
            Place::Directory(root) => {
                let (root, key, fail) = (root.clone(), key.to_owned(), self.disk("look at", key));
                blocking(move || {
                    let found = look(&root, &root.join(&key)).map_err(fail)?;
                    Ok(found.map(|found| of_file(key, found)))
                })
                .await
            }
        }
    }

    /// Removes `key`; that it is not there is no error.
    ///
    /// # Errors
    /// When the server or the disk refuses.
    pub async fn delete(&self, key: &str) -> Result<(), TaskError> {
        self.check(key)?;
        match &self.place {
            Place::Objects(place) => match place.store.delete(&self.full(place, key)?).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(self.failed("remove", key, &error)),
            },
            Place::Directory(root) => {
                let (path, fail) = (root.join(key), self.disk("remove", key));
                blocking(move || match fs::remove_file(path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => Err(fail(error)),
                    _ => Ok(()),
                })
                .await
            }
        }
    }

    /// Looks whether the server lets us in.
    ///
    /// # Errors
    /// When it does not.
    pub async fn probe(&self) -> Result<(), TaskError> {
        let Place::Objects(place) = &self.place else {
            return Ok(());
        };
        let prefix = Some(self.path(&place.prefix)?).filter(|prefix| !prefix.is_root());
        let first = place.store.list(prefix.as_ref()).next().await;
        first
            .transpose()
            .map(drop)
            .map_err(|error| object_error("reach", &self.shown, &error))
    }

    /// Looks whether `key` is one: a relative path that leads nowhere else.
    ///
    /// # Errors
    /// When it is none.
    pub fn check(&self, key: &str) -> Result<(), TaskError> {
        let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
        let good = !key.is_empty()
            && !key.ends_with('/')
            && !key.contains("//")
            && !key.contains(|character: char| character.is_ascii_control())
            && Path::new(key).components().all(plain)
            && !key.split('/').any(|part| part == ".");
        if good {
            return Ok(());
        }
        Err(TaskError::user(format!(
            "`{}` is no key of `{}`",
            key.escape_debug(),
            self.name
        ))
        .hint("a key is a path below the connection, as in `in/today.csv`"))
    }

    fn path(&self, key: &str) -> Result<ObjectPath, TaskError> {
        ObjectPath::parse(key).map_err(|error| {
            TaskError::user(format!("`{key}` is no key of `{}`", self.name)).because(error)
        })
    }

    pub(crate) fn full(&self, place: &ObjectPlace, key: &str) -> Result<ObjectPath, TaskError> {
        if place.prefix.is_empty() {
            self.path(key)
        } else {
            self.path(&format!("{}/{key}", place.prefix))
        }
    }

    /// Somebody else has written an object that was being read or written.
    pub(crate) fn replaced(&self, key: &str) -> TaskError {
        let shown = &self.shown;
        TaskError::external(format!(
            "`{key}` in {shown} was replaced while we were at it"
        ))
    }

    /// Somebody has removed an object that was being read.
    pub(crate) fn removed(&self, key: &str) -> TaskError {
        let shown = &self.shown;
        TaskError::external(format!(
            "`{key}` in {shown} was removed while we were at it"
        ))
    }

    pub(crate) fn failed(&self, doing: &str, key: &str, error: &object_store::Error) -> TaskError {
        if let object_store::Error::Precondition { .. } = error {
            return self.replaced(key);
        }
        object_error(&format!("{doing} `{key}` in"), &self.shown, error)
    }

    pub(crate) fn disk(
        &self,
        doing: &str,
        key: &str,
    ) -> impl Fn(io::Error) -> TaskError + Send + use<> {
        let doing = format!("{doing} `{key}` in {}", self.shown);
        move |error| io_failure(&doing, error)
    }
}

impl ObjectPlace {
    /// The key of an object within the place.
    fn key<'a>(&self, location: &'a ObjectPath) -> Option<&'a str> {
        let whole: &str = location.as_ref();
        if self.prefix.is_empty() {
            return Some(whole);
        }
        whole.strip_prefix(&*self.prefix)?.strip_prefix('/')
    }
}
