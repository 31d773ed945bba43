//! What lies under a key.

use object_store::ObjectMeta;
use pipectl_engine::time::Timestamp;

use crate::files::Found;

/// An object, or a file of a directory that is used like a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its key: its path below the connection's prefix or directory.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was last changed.
    pub modified: Timestamp,
    /// What changes when it is replaced: the object's tag; of a file size, time and inode.
    pub tag: String,
    pub(crate) place: Kind,
}

/// Where an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Object,
    File,
}

impl Entry {
    /// What tells it from every other thing, also from one of the same key that comes later.
    pub fn identity(&self) -> String {
        match self.place {
            Kind::File => format!("{} {}", self.key, self.tag),
            // Servers tell the time in seconds in some answers and more exactly in others.
            Kind::Object => {
                let (tag, seconds) = (self.plain_tag(), self.modified.timestamp());
                format!("{} {tag} {seconds}", self.key)
            }
        }
    }
}

impl Entry {
    /// The tag without the quotes that servers put around it.
    pub(crate) fn plain_tag(&self) -> &str {
        self.tag.trim_matches('"')
    }
}

pub(crate) fn of_object(key: String, meta: ObjectMeta) -> Entry {
    Entry {
        key,
        size: meta.size,
        modified: meta.last_modified,
        tag: meta.e_tag.unwrap_or_default(),
        place: Kind::Object,
    }
}

pub(crate) fn of_file(key: String, found: Found) -> Entry {
    Entry {
        key,
        size: found.size,
        modified: found.modified,
        tag: found.tag,
        place: Kind::File,
    }
}
