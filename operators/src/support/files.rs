//! Files of the project that a pattern names.

use pipectl_engine::operator::{TaskContext, TaskError};

pub(crate) use pipectl_connections::{Found, io_error, io_failure, is_pattern, matching, watched};

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
    let path = root.join(pattern);
    if path.is_dir() {
        let hint = format!(
            "it is a directory; write `{}/*`",
            pattern.trim_end_matches('/')
        );
        return Err(TaskError::user(format!("{what} `{pattern}`")).hint(hint));
    }
    if path.exists() {
        let what = format!("`{pattern}` is a pipe, a socket or a device, not a file");
        let hint = "what is read must stay as it is, to be read again when a task is retried; write it to a file first";
        return Err(TaskError::user(what).hint(hint));
    }
    Err(TaskError::user(format!("{what} `{pattern}`")).hint(format!(
        "relative paths hang on the project's directory {}",
        root.display()
    )))
}

#[cfg(test)]
mod tests {
    use pipectl_engine::operator::{Fault, testing::TestProject};

    use super::*;

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
        nix::unistd::mkfifo(
            &project.root().join("in/pipe"),
            nix::sys::stat::Mode::S_IRWXU,
        )
        .unwrap();
        assert_eq!(
            at_least_one(&project.context(), "in/pipe")
                .unwrap_err()
                .message,
            "`in/pipe` is a pipe, a socket or a device, not a file"
        );
        assert_eq!(
            at_least_one(&project.context(), "in/*.txt")
                .unwrap_err()
                .message,
            "no file matches `in/*.txt`"
        );
    }
}
