//! What an author can have checked of a program without running it for real.

use std::path::Path;

use super::{
    PREFIX,
    description::{ask, describe},
    executable, parse,
};

/// One thing that was looked at.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What ought to be.
    pub ought: &'static str,
    /// What is not so.
    pub wrong: Vec<String>,
}

/// Looks at a program's file, at its description, and at what it does when it is asked nonsense.
pub fn inspect(program: &Path) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut look = |ought, wrong: Option<String>| {
        let good = wrong.is_none();
        found.push(Finding {
            ought,
            wrong: wrong.into_iter().collect(),
        });
        good
    };
    let file = program.file_name().unwrap_or_default().to_string_lossy();
    look(
        "its name says what it is",
        parse(&file).is_none().then(|| {
            format!("`{file}` is not `{PREFIX}<kind>-<name>` with a kind of operator and a name `[a-z][a-z0-9_]*`")
        }),
    );
    let is = executable(program);
    let startable = look(
        "it can be executed",
        is.is_none().then(|| {
            format!(
                "`{}` is no executable file: `chmod +x` makes it one",
                program.display()
            )
        }),
    );
    if !startable {
        return found;
    }
    let description = describe(program);
    look("it describes itself", description.as_ref().err().cloned());
    if let Ok(description) = &description {
        found.push(Finding {
            ought: "its description is complete",
            wrong: description.flaws(),
        });
    }
    for (ought, argument) in [
        ("an unknown command is refused", "no_such_command"),
        ("`run` without a request is refused", "run"),
    ] {
        let wrong = match ask(program, argument) {
            Ok(said) if said.status.success() => Some(format!("`{argument}` ended with 0")),
            Ok(_) => None,
            Err(error) => Some(error),
        };
        found.push(Finding {
            ought,
            wrong: wrong.into_iter().collect(),
        });
    }
    found
}
