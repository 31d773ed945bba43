//! What a kept run has taken from an earlier one, by `cache:` or as a part, is there when the earlier one is pruned.

use super::harness::{Project, Ran};

const PIPELINE: &str = "\
name: table
tasks:
  rows:
    extract: csv
    with: {path: rows.csv}
  sorted:
    transform: sql
    from: rows
    cache: true
    with: {query: select * from rows order by id desc}
  out:
    load: csv
    from: sorted
    with: {path: out.csv}
";

fn project() -> Project {
    let project = Project::with("table", PIPELINE);
    project.write("rows.csv", "id\n1\n2\n");
    project
}

fn note(ran: &Ran, task: &str) -> String {
    let json = ran.json();
    json["tasks"][task]["note"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// Prunes by a rule, and says how many runs have gone.
#[track_caller]
fn pruned(project: &Project, rule: &[&str]) -> String {
    let ran = project.succeed(&[&["history", "prune"], rule].concat());
    ran.stdout.trim().to_owned()
}

/// Loads again what the last run has put out.
#[track_caller]
fn loads_again(project: &Project) {
    project.write("out.csv", "");
    let ran = project.succeed(&[
        "run", "table", "--only", "out", "--inputs", "last", "--format", "json",
    ]);
    assert!(note(&ran, "sorted").starts_with("taken from run "), "{ran}");
    assert_eq!(project.read("out.csv"), "id\n2\n1\n");
}

#[test]
fn what_was_taken_by_cache_outlives_the_run_that_made_it() {
    let project = project();
    project.succeed(&["run", "table"]);
    let second = project.succeed(&["run", "table", "--format", "json"]);
    assert!(
        note(&second, "sorted").starts_with("taken from run "),
        "{second}"
    );
    assert_eq!(
        pruned(&project, &["--keep", "1"]),
        "removed 1 run, with data and logs"
    );
    let third = project.succeed(&["run", "table", "--format", "json"]);
    assert!(
        note(&third, "sorted").starts_with("taken from run "),
        "{third}"
    );
    loads_again(&project);
}

#[test]
fn a_run_stays_while_a_part_has_taken_its_data() {
    let project = project();
    project.succeed(&["run", "table"]);
    // A part of the whole run, then a part of the part.
    loads_again(&project);
    loads_again(&project);
    assert_eq!(
        pruned(&project, &["--keep", "1"]),
        "removed 0 runs, with data and logs"
    );
    loads_again(&project);
    assert_eq!(
        pruned(&project, &["--older-than", "0s"]),
        "removed 4 runs, with data and logs"
    );
    let none = project.run(&["run", "table", "--only", "out", "--inputs", "last"]);
    assert_eq!(none.code, Some(2), "{none}");
}

/// A slip of the pen is no pipeline without runs.
#[test]
fn a_name_that_nobody_knows_is_told() {
    let project = project();
    for command in [
        &["history", "prune", "--keep", "1"][..],
        &["history", "export"],
    ] {
        project.succeed(&[command, &["--pipeline", "table"]].concat());
        let ran = project.run(&[command, &["--pipeline", "tabel"]].concat());
        assert_eq!(ran.code, Some(2), "{ran}");
        assert!(ran.stderr.contains("did you mean `table`?"), "{ran}");
    }
}
