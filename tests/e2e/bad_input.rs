//! Bad files: one clear message each, the documented exit code, no half-written output.

use super::{
    commands::{SALES, sales},
    harness::{Project, snapshots::check},
};

#[test]
fn files_that_are_no_pipelines() {
    let deep = format!(
        "name: deep\ntasks: {}{}\n",
        "[".repeat(5_000),
        "]".repeat(5_000)
    );
    let bomb = {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let before = format!("*a{}, ", level - 1).repeat(10);
            text.push_str(&format!(
                "a{level}: &a{level} [{}]\n",
                before.trim_end_matches(", ")
            ));
        }
        text
    };
    for (name, content) in [
        ("empty", Vec::new()),
        ("comment", b"# nothing\n".to_vec()),
        ("binary", vec![0xff, 0xfe, 0x00, 0x01]),
        (
            "tabs",
            b"name: tabs\ntasks:\n\ta:\n\t\trun: noop\n".to_vec(),
        ),
        ("deep", deep.into_bytes()),
        ("bomb", bomb.into_bytes()),
        ("huge", vec![b' '; 100 * 1024 * 1024]),
    ] {
        let project = sales();
        project.write(&format!("pipelines/{name}.yaml"), &content);
        let ran = project.run(&["validate"]);
        assert_eq!(ran.code, Some(2), "{name}\n{ran}");
        assert!(
            ran.stdout.contains("✓ pipelines/sales.yaml"),
            "a bad file stops no good one\n{ran}"
        );
        check(&format!("bad_{name}"), &ran);
        assert_eq!(project.run(&["run", name]).code, Some(2), "{name}");
        assert!(!project.path(".pipectl").exists(), "{name}");
    }
}

#[test]
fn tables_that_are_not_as_they_should_be() {
    for (name, content) in [
        ("ragged", &b"country,amount\nDE,1.5\nFR,2.0,9,9\n"[..]),
        ("latin1", &b"country,amount\nM\xfcnchen,1.5\n"[..]),
        ("empty", &b""[..]),
        ("changed_type", &b"country,amount\nDE,much\n"[..]),
        ("no_column", &b"country,total\nDE,1.5\n"[..]),
    ] {
        let project = sales();
        project.write("data/orders.csv", content);
        if name == "latin1" {
            // Left to itself the reader finds out how a text is encoded.
            let told = project.read("pipelines/sales.yaml");
            let told = told.replace("orders.csv}", "orders.csv, encoding: utf-8}");
            project.write("pipelines/sales.yaml", told);
        }
        let ran = project.run(&["run", "sales"]);
        assert_eq!(ran.code, Some(1), "{name}\n{ran}");
        assert!(!ran.stderr.contains("panicked"), "{name}\n{ran}");
        assert!(!project.path("out").exists(), "{name}");
        check(&format!("csv_{name}"), &ran);
    }
}

const SCRIPT: &str = "\
name: script
tasks:
  work:
    run: shell
    with: SETTINGS
";

#[test]
fn scripts_that_do_not_end_well() {
    for (name, settings) in [
        ("fails", "{script: 'echo no such thing >&2; exit 3'}"),
        ("killed", "{script: 'kill -9 $$'}"),
        ("missing", "{file: scripts/none.sh}"),
        ("unknown_command", "{script: no_such_command_at_all}"),
    ] {
        let project = Project::with("script", &SCRIPT.replace("SETTINGS", settings));
        let ran = project.run(&["run", "script"]);
        assert!(matches!(ran.code, Some(1 | 2)), "{name}\n{ran}");
        check(&format!("script_{name}"), &ran);
    }
    let skipped = SCRIPT.replace("SETTINGS", "{script: 'exit 99'}");
    let project = Project::with("script", &skipped);
    let ran = project.succeed(&["run", "script", "--format", "json"]);
    assert_eq!(ran.json()["tasks"]["work"]["state"], "skipped");
}

#[test]
fn seven_mistakes_are_seven_complaints() {
    let project = Project::with(
        "seven",
        "\
name: sevn
params:
  limit: {type: integer, default: many}
tasks:
  a:
    extract: cvs
    with: {path: data/a.csv}
  b:
    transform: sql
    from: nobody
    with: {query: select 1}
  c:
    extract: csv
    with: {pth: data/a.csv}
    retry: often
  d:
    run: noop
    needs: d
    if: parms.limit > 3
",
    );
    let ran = project.run(&["validate", "--format", "json"]);
    assert_eq!(ran.code, Some(2), "{ran}");
    let complaints = ran.json()["complaints"].as_array().unwrap().len();
    assert!(complaints >= 7, "{complaints}\n{ran}");
    check("seven_mistakes", &project.run(&["validate"]));
}

#[test]
fn project_settings_that_are_wrong() {
    let project = Project::with("sales", SALES);
    project.write("pipectl.yaml", "pools: {db: 0}\nstor: x\n");
    let ran = project.run(&["validate"]);
    assert_eq!(ran.code, Some(2), "{ran}");
    check("project_settings", &ran);
}

/// All at once: what an operator itself finds is told although another setting of the task is wrong.
#[test]
fn what_an_operator_finds_is_told_beside_what_is_wrong_with_other_settings() {
    let project = Project::with(
        "bad",
        "name: bad
params:
  file: {type: string}
tasks:
  arrived:
    sensor: file
    with: {path: \"\", setle: 5s}
  customers:
    extract: csv
    with: {path: data/customers.csv, encoding: latin-99, has_header: maybe}
  rows:
    transform: sql
    from: customers
    with: {query: \"select * frm customers\", casting: strict}
  later:
    extract: csv
    with: {path: \"${{ params.file }}\"}
",
    );
    let ran = project.run(&["validate"]);
    let told: Vec<&str> = ran
        .stdout
        .lines()
        .filter_map(|line| line.strip_prefix("error["))
        .collect();
    assert_eq!(
        told,
        [
            "P018]: the path is empty",
            "P013]: `sensor: file` has no setting `setle`",
            "P018]: this is no encoding",
            "P013]: `extract: csv` has no setting `has_header`",
            "P018]: line 1, column 10 of the query: expected: end of statement, found: frm",
            "P013]: `transform: sql` has no setting `casting`",
        ],
        "{ran}"
    );
}
