//! Pipelines of many no-op tasks.

use std::fmt::Write;

/// `tasks` tasks, one after the other.
pub(crate) fn chain(tasks: usize) -> String {
    let name = match tasks {
        1 => "one",
        _ => "chain",
    };
    let mut text = format!("name: {name}\ntasks:\n");
    for task in 0..tasks {
        let _written = write!(text, "  t{task}:\n    run: noop\n");
        if task > 0 {
            let _written = writeln!(text, "    needs: t{}", task - 1);
        }
    }
    text
}

/// `tasks` tasks behind one.
pub(crate) fn fan(tasks: usize) -> String {
    let mut text = "name: fan\ntasks:\n  root:\n    run: noop\n".to_owned();
    for task in 0..tasks {
        let _written = write!(text, "  t{task}:\n    run: noop\n    needs: root\n");
    }
    text
}

/// `tasks` tasks with three edges and an expression each.
pub(crate) fn validated(tasks: usize) -> String {
    let mut text =
        "name: large\nparams:\n  limit: {type: integer, default: 3}\ntasks:\n".to_owned();
    for task in 0..tasks {
        let _written = write!(
            text,
            "  t{task}:\n    run: noop\n    if: params.limit > {}\n",
            task % 7
        );
        if task >= 3 {
            let _written = writeln!(
                text,
                "    needs: [t{}, t{}, t{}]",
                task - 1,
                task - 2,
                task / 2
            );
        }
    }
    text
}
