//! A file that appears whole or not at all.
//!
//! It is written under a hidden name that carries the run and the attempt, in the target's directory, made durable,
//! and then renamed. What a killed attempt leaves behind is removed by the next one of the same run.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use pipectl_engine::operator::{TaskContext, TaskError};

use super::files::io_error;

/// A file that is being written.
#[derive(Debug)]
pub(crate) struct Whole {
    target: PathBuf,
    temporary: PathBuf,
    shown: String,
    published: bool,
}

impl Whole {
    /// Begins to write `path`, which hangs on the project's directory; directories are made where they are missing.
    ///
    /// # Errors
    /// When the directory or the temporary file cannot be made.
    pub(crate) fn create(context: &TaskContext, path: &str) -> Result<(Self, File), TaskError> {
        let target = context.project.output_path(path);
        let fail = |error| io_error("write", path, error);
        let name = target
            .file_name()
            .ok_or_else(|| TaskError::user(format!("`{path}` names no file")))?;
        let directory = target.parent().unwrap_or(&context.project.root);
        std::fs::create_dir_all(directory).map_err(fail)?;
        if target.is_dir() {
            return Err(
                TaskError::user(format!("`{path}` is a directory")).hint("name a file in it")
            );
        }
        let (task, run) = (&context.task.key, context.run.id);
        let hidden = |attempt: u32| {
            directory.join(format!(
                ".{}.{run}.{task}.{attempt}.part",
                name.to_string_lossy()
            ))
        };
        // Those of other runs stay: they may be alive.
        for earlier in 0..context.task.attempt {
            let _removed = std::fs::remove_file(hidden(earlier));
        }
        let temporary = hidden(context.task.attempt);
        let file = File::create(&temporary).map_err(fail)?;
        Ok((
            Self {
                target,
                temporary,
                shown: path.to_owned(),
                published: false,
            },
            file,
        ))
    }

    /// The hidden file.
    pub(crate) fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// Makes what was written durable and lets it appear under its name.
    ///
    /// # Errors
    /// When the attempt was cancelled meanwhile, or the file system refuses; the target is then as before.
    pub(crate) fn publish(mut self, context: &TaskContext, file: File) -> Result<(), TaskError> {
        let fail = |error| io_error("write", &self.shown, error);
        file.sync_all().map_err(fail)?;
        drop(file);
        if context.cancel.is_cancelled() {
            return Err(TaskError::external(
                "the attempt was stopped before its file was complete",
            ));
        }
        std::fs::rename(&self.temporary, &self.target).map_err(fail)?;
        self.published = true;
        sync_directory(&self.target).map_err(fail)
    }

    /// Writes a whole file at once.
    ///
    /// # Errors
    /// As [`create`](Self::create) and [`publish`](Self::publish).
    pub(crate) fn write(context: &TaskContext, path: &str, bytes: &[u8]) -> Result<(), TaskError> {
        let (whole, mut file) = Self::create(context, path)?;
        std::io::Write::write_all(&mut file, bytes)
            .map_err(|error| io_error("write", path, error))?;
        whole.publish(context, file)
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        if !self.published {
            // It is hidden and bears the attempt's name: a leftover does no harm.
            let _removed = std::fs::remove_file(&self.temporary);
        }
    }
}

/// Makes the rename itself durable.
fn sync_directory(target: &Path) -> std::io::Result<()> {
    match target.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use pipectl_engine::operator::{Fault, testing::TestProject};

    use super::*;

    #[test]
    fn nothing_is_seen_before_all_is_written() {
        let project = TestProject::new();
        let context = project.context();
        let (whole, mut file) = Whole::create(&context, "out/deep/a.txt").unwrap();
        file.write_all(b"new").unwrap();
        assert!(
            project
                .list("out/deep")
                .iter()
                .all(|name| name.starts_with('.'))
        );
        whole.publish(&context, file).unwrap();
        assert_eq!(project.list("out/deep"), ["a.txt"]);
        assert_eq!(project.read("out/deep/a.txt"), "new");
    }

    #[test]
    fn what_was_there_stays_when_the_writing_fails() {
        let project = TestProject::new();
        let context = project.context();
        project.write("a.txt", "old");
        let (whole, mut file) = Whole::create(&context, "a.txt").unwrap();
        file.write_all(b"ne").unwrap();
        drop(whole);
        assert_eq!(project.read("a.txt"), "old");
        context.cancel.cancel();
        assert!(Whole::write(&context, "a.txt", b"new").is_err());
        assert_eq!(project.read("a.txt"), "old");
        assert_eq!(project.list("."), [".pipectl", "a.txt"]);
    }

    #[test]
    fn what_earlier_attempts_left_is_swept() {
        let project = TestProject::new();
        let mut context = project.context();
        let (run, task) = (context.run.id, context.task.key.clone());
        let left = |run: &str, attempt: u32| format!(".a.txt.{run}.{task}.{attempt}.part");
        let run = run.to_string();
        for name in [left(&run, 1), left(&run, 2), left("other", 1)] {
            project.write(&format!("out/{name}"), "x");
        }
        context.task.attempt = 3;
        Whole::write(&context, "out/a.txt", b"new").unwrap();
        assert_eq!(project.list("out"), [left("other", 1), "a.txt".to_owned()]);
    }

    #[test]
    fn a_directory_is_no_file() {
        let project = TestProject::new();
        project.write("out/a.txt", "");
        let error = Whole::write(&project.context(), "out", b"x").unwrap_err();
        assert_eq!(
            (error.fault, error.message.as_str()),
            (Fault::User, "`out` is a directory")
        );
        let error = Whole::write(&project.context(), "out/a.txt/b", b"x").unwrap_err();
        assert_eq!(error.fault, Fault::User, "{error:?}");
    }
}
