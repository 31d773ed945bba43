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
        assert_eq!(
            at_least_one(&project.context(), "in/*.txt")
                .unwrap_err()
                .message,
            "no file matches `in/*.txt`"
        );
    }
}
