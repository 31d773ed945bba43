//! Files that a pattern names.
//!
//! `*` and `?` do not cross `/`, `**` does. As in shells they do not match a leading dot, so a file that is still
//! being written by [`Whole`](super::whole::Whole) is never seen.

use std::{
    io,
    path::{Path, PathBuf},
};

use pipectl_engine::{
    operator::{Fault, TaskContext, TaskError},
    time::Timestamp,
};
use regex::Regex;

/// A file that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// The path as a pipeline would write it: relative to the project when it lies within.
    pub(crate) shown: String,
    /// Its size in bytes.
    pub(crate) size: u64,
    /// When it was last changed.
    pub(crate) modified: Timestamp,
}

/// Whether `path` is a pattern rather than the name of one file.
pub(crate) fn is_pattern(path: &str) -> bool {
    path.contains(['*', '?'])
}

/// The files that `pattern` names, by path. A plain path names at most one.
///
/// # Errors
/// When a directory or a file cannot be looked at; that it is not there is no error.
pub(crate) fn matching(root: &Path, pattern: &str) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    if is_pattern(pattern) {
        let absolute = root.join(pattern);
        let (base, rest) = split(&absolute);
        walk(
            &base,
            "",
            &expression(&rest)?,
            rest.contains("**"),
            rest.matches('/').count(),
            &mut |path| {
                found.extend(look(root, path)?);
                Ok(())
            },
        )?;
    } else {
        found.extend(look(root, &root.join(pattern))?);
    }
    found.sort_by(|left, right| left.path.cmp(&right.path));
    Ok(found)
}

/// The files that `pattern` names, at least one.
///
/// # Errors
/// As [`matching`]; and when there is none, saying where it was looked for.
pub(crate) fn at_least_one(context: &TaskContext, pattern: &str) -> Result<Vec<Found>, TaskError> {
    let root = &context.project.root;
    let found = matching(root, pattern).map_err(|error| io_error("read", pattern, error))?;
    if !found.is_empty() {
        return Ok(found);
    }
    let what = if is_pattern(pattern) {
        "no file matches"
    } else {
        "there is no file"
    };
    let hint = if root.join(pattern).is_dir() {
        format!(
            "it is a directory; write `{}/*`",
            pattern.trim_end_matches('/')
        )
    } else {
        format!(
            "relative paths hang on the project's directory {}",
            root.display()
        )
    };
    Err(TaskError::user(format!("{what} `{pattern}`")).hint(hint))
}

/// A file if it is there and no directory.
fn look(root: &Path, path: &Path) -> io::Result<Option<Found>> {
    let about = match std::fs::metadata(path) {
        Ok(about) if about.is_file() => about,
        Ok(_) => return Ok(None),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let shown = path
        .strip_prefix(root)
        .unwrap_or(path)
        .to_string_lossy()
        .into_owned();
    Ok(Some(Found {
        path: path.to_owned(),
        shown,
        size: about.len(),
        modified: about.modified()?.into(),
    }))
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
pub(crate) fn watched(root: &Path, pattern: &str) -> (PathBuf, bool) {
    let absolute = root.join(pattern);
    let (base, rest) = split(&absolute);
    if rest.is_empty() {
        return (absolute.parent().unwrap_or(root).to_owned(), false);
    }
    (base, rest.contains('/') || rest.contains("**"))
}

fn expression(pattern: &str) -> io::Result<Regex> {
    let mut text = String::from("^");
    let mut rest = pattern;
    let mut at_start = true;
    while let Some(first) = rest.chars().next() {
        // A wildcard at the start of a name leaves hidden names alone.
        let visible = if at_start { "(?:[^./][^/]*)?" } else { "[^/]*" };
        let (piece, taken) = match first {
            '*' if rest.starts_with("**/") => ("(?:[^./][^/]*/)*".to_owned(), 3),
            '*' if rest.starts_with("**") => ("(?:[^./][^/]*/)*(?:[^./][^/]*)?".to_owned(), 2),
            '*' => (visible.to_owned(), 1),
            '?' => (if at_start { "[^./]" } else { "[^/]" }.to_owned(), 1),
            other => (regex::escape(&other.to_string()), other.len_utf8()),
        };
        text.push_str(&piece);
        at_start = first == '/' || rest.starts_with("**/");
        rest = rest.get(taken..).unwrap_or_default();
    }
    text.push('$');
    Regex::new(&text).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}

/// Calls `each` for every file under `directory` whose path within it matches. Links to directories are not followed.
fn walk(
    directory: &Path,
    within: &str,
    pattern: &Regex,
    any_depth: bool,
    depth: usize,
    each: &mut impl FnMut(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(());
        }
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
            if (any_depth || depth > 0) && !name.starts_with('.') {
                walk(
                    &entry.path(),
                    &inner,
                    pattern,
                    any_depth,
                    depth.saturating_sub(1),
                    each,
                )?;
            }
        } else if pattern.is_match(&inner) {
            each(&entry.path())?;
        }
    }
    Ok(())
}

/// A failure of the file system, with the file's name and whose fault it is.
pub(crate) fn io_error(verb: &str, path: &str, error: io::Error) -> TaskError {
    io_failure(&format!("{verb} `{path}`"), error)
}

/// A failure of the file system. `doing` says what was tried, as in ``write `a.csv` ``.
pub(crate) fn io_failure(doing: &str, error: io::Error) -> TaskError {
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
    fn a_missing_file_says_where_it_was_looked_for() {
        let project = TestProject::new();
        project.write("in/a.csv", "x");
        let error = at_least_one(&project.context(), "in/b.csv").unwrap_err();
        assert_eq!(
            (error.fault, error.message.as_str()),
            (Fault::User, "there is no file `in/b.csv`")
        );
        assert!(
            error
                .hint
                .unwrap()
                .contains(&project.root().display().to_string())
        );
        let error = at_least_one(&project.context(), "in/").unwrap_err();
        assert_eq!(error.hint.unwrap(), "it is a directory; write `in/*`");
        assert_eq!(
            at_least_one(&project.context(), "in/*.txt")
                .unwrap_err()
                .message,
            "no file matches `in/*.txt`"
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
