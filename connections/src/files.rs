//! Files on a disk that a pattern names.

use std::{
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use pipectl_engine::{
    operator::{Fault, TaskError},
    time::Timestamp,
};

use crate::pattern::{expression, is_pattern};

/// A file that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it is.
    pub path: PathBuf,
    /// The path as a pipeline would write it: relative to the project when it lies within.
    pub shown: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was last changed.
    pub modified: Timestamp,
    /// Since when it has been as it is: when it was last changed, or written, if its time was set to a later one.
    pub unchanged: Timestamp,
    /// What tells it from another file of the same name: size, time and inode.
    pub tag: String,
}

/// The files that `pattern` names, by path. A plain path names at most one.
///
/// # Errors
/// When a directory or a file cannot be looked at; that it is not there is no error.
pub fn matching(root: &Path, pattern: &str) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    if is_pattern(pattern) {
        let (base, rest) = split(&root.join(pattern));
        let expression = expression(&rest)?;
        let levels = if rest.contains("**") {
            usize::MAX
        } else {
            rest.matches('/').count()
        };
        let wanted = |within: &str| expression.is_match(within);
        walk(&base, "", levels, &wanted, &mut |path, _| {
            found.extend(look(root, path)?);
            Ok(())
        })?;
    } else {
        found.extend(look(root, &root.join(pattern))?);
    }
    found.sort_by(|left, right| left.path.cmp(&right.path));
    Ok(found)
}

/// A file if it is there and no directory.
///
/// # Errors
/// When it cannot be looked at.
pub fn look(root: &Path, path: &Path) -> io::Result<Option<Found>> {
    let about = match std::fs::metadata(path) {
        Ok(about) if about.is_file() => about,
        Ok(_) => return Ok(None),
        Err(error) if is_away(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let shown = path
        .strip_prefix(root)
        .unwrap_or(path)
        .to_string_lossy()
        .into_owned();
    let modified: Timestamp = about.modified()?.into();
    let written = u32::try_from(about.ctime_nsec())
        .ok()
        .and_then(|nanoseconds| Timestamp::from_timestamp(about.ctime(), nanoseconds));
    Ok(Some(Found {
        path: path.to_owned(),
        shown,
        size: about.len(),
        modified,
        unchanged: written.map_or(modified, |written| written.min(modified)),
        tag: format!(
            "{:x}-{:x}.{:x}-{:x}",
            about.len(),
            about.mtime(),
            about.mtime_nsec(),
            about.ino()
        ),
    }))
}

fn is_away(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// The directory before the first part with a wildcard, and the rest.
fn split(pattern: &Path) -> (PathBuf, String) {
    let mut base = PathBuf::new();
    let mut rest = Vec::new();
    for part in pattern.components() {
        let text = part.as_os_str().to_string_lossy();
        if rest.is_empty() && !is_pattern(&text) {
            base.push(part);
        } else {
            rest.push(text.into_owned());
        }
    }
    (base, rest.join("/"))
}

/// The directory that has to be watched for `pattern`, and whether those below it too.
pub fn watched(root: &Path, pattern: &str) -> (PathBuf, bool) {
    let absolute = root.join(pattern);
    let (base, rest) = split(&absolute);
    if rest.is_empty() {
        return (absolute.parent().unwrap_or(root).to_owned(), false);
    }
    (base, rest.contains('/') || rest.contains("**"))
}

/// Calls `each` with the path, and the path within, of every file at most `levels` directories below `directory` that
/// is wanted. Links to directories are not followed, hidden directories not entered.
///
/// # Errors
/// When a directory cannot be read, or `each` fails.
pub(crate) fn walk(
    directory: &Path,
    within: &str,
    levels: usize,
    wanted: &dyn Fn(&str) -> bool,
    each: &mut dyn FnMut(&Path, &str) -> io::Result<()>,
) -> io::Result<()> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if is_away(&error) => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let inner = if within.is_empty() {
            name.clone()
        } else {
            format!("{within}/{name}")
        };
        if entry.file_type()?.is_dir() {
            if levels > 0 && !name.starts_with('.') {
                walk(&entry.path(), &inner, levels - 1, wanted, each)?;
            }
        } else if wanted(&inner) {
            each(&entry.path(), &inner)?;
        }
    }
    Ok(())
}

/// A failure of the file system, with the file's name and whose fault it is.
pub fn io_error(verb: &str, path: &str, error: io::Error) -> TaskError {
    io_failure(&format!("{verb} `{path}`"), error)
}

/// A failure of the file system. `doing` says what was tried, as in ``write `a.csv` ``.
pub fn io_failure(doing: &str, error: io::Error) -> TaskError {
    use io::ErrorKind as K;
    let (fault, retryable, hint) = match error.kind() {
        K::PermissionDenied => (
            Fault::External,
            false,
            Some("the user who runs pipectl needs the right to do so"),
        ),
        K::ReadOnlyFilesystem => (
            Fault::External,
            false,
            Some("the file system is mounted read-only"),
        ),
        K::StorageFull | K::QuotaExceeded => (Fault::External, true, Some("make room on the disk")),
        K::NotFound
        | K::IsADirectory
        | K::NotADirectory
        | K::AlreadyExists
        | K::InvalidInput
        | K::InvalidFilename => (Fault::User, false, None),
        _ => (Fault::External, true, None),
    };
    let mut wrong = TaskError::external(format!("cannot {doing}"))
        .retryable(retryable)
        .because(error);
    wrong.fault = fault;
    wrong.hint = hint.map(ToOwned::to_owned);
    wrong
}

#[cfg(test)]
mod tests {
    use pipectl_engine::operator::testing::TestProject;

    use super::*;

    fn names(project: &TestProject, pattern: &str) -> Vec<String> {
        matching(project.root(), pattern)
            .unwrap()
            .into_iter()
            .map(|found| found.shown)
            .collect()
    }

    #[test]
    fn wildcards_stay_within_a_directory_and_double_ones_do_not() {
        let project = TestProject::new();
        for path in [
            "a.csv",
            "in/a.csv",
            "in/b.csv",
            "in/deep/c.csv",
            "in/deep/er/d.csv",
            "in/.e.csv",
            "in/f.txt",
        ] {
            project.write(path, "x");
        }
        let cases: [(&str, &[&str]); 10] = [
            ("in/a.csv", &["in/a.csv"]),
            ("in/none.csv", &[]),
            ("in", &[]),
            ("in/*.csv", &["in/a.csv", "in/b.csv"]),
            ("in/?.csv", &["in/a.csv", "in/b.csv"]),
            ("*/*.csv", &["in/a.csv", "in/b.csv"]),
            (
                "in/**/*.csv",
                &["in/a.csv", "in/b.csv", "in/deep/c.csv", "in/deep/er/d.csv"],
            ),
            ("in/deep/**", &["in/deep/c.csv", "in/deep/er/d.csv"]),
            ("**/d.csv", &["in/deep/er/d.csv"]),
            ("nowhere/*", &[]),
        ];
        for (pattern, expected) in cases {
            assert_eq!(names(&project, pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn an_absolute_pattern_is_taken_as_it_is() {
        let (here, there) = (TestProject::new(), TestProject::new());
        let file = there.write("x/a.csv", "x");
        assert_eq!(
            names(&here, &format!("{}/x/*", there.root().display())),
            [file.to_string_lossy()]
        );
    }

    #[test]
    fn the_directory_to_watch_is_the_one_before_the_wildcard() {
        let root = Path::new("/p");
        assert_eq!(watched(root, "in/a.csv"), ("/p/in".into(), false));
        assert_eq!(watched(root, "in/*.csv"), ("/p/in".into(), false));
        assert_eq!(watched(root, "in/**/*.csv"), ("/p/in".into(), true));
        assert_eq!(watched(root, "in/*/a.csv"), ("/p/in".into(), true));
    }
}
