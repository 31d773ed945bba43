//! What people see of runs afterwards: warnings, files, gathered datasets, short ids.

use super::harness::{Project, Ran};

const SHOP: &str = "\
name: shop
tasks:
  orders:
    extract: csv
    with: {path: orders.csv, rejects: {limit: 10}}
  per_city:
    transform: sql
    from: orders
    foreach: {items: '[\"B\", \"A\"]'}
    with: {query: 'select city, amount from orders where city = ${{ item }}'}
";

fn shop() -> Project {
    let project = Project::with("shop", SHOP);
    project.write("orders.csv", "city,amount\nA,1\nB,2\nA,3,9\n");
    project
}

fn id(ran: &Ran) -> String {
    ran.json()["run"].as_str().unwrap().to_owned()
}

#[test]
fn warnings_stay_visible() {
    let project = shop();
    let run = id(&project.succeed(&["run", "shop", "--format", "json"]));
    project.write("orders.csv", "city,amount\nA,1\nB,2\n");
    project.succeed(&["run", "shop"]);
    let short = &run[28..];
    let shown = project.succeed(&["runs", "show", short]).stdout;
    for part in [
        "success with 1 warning in ",
        "warning: orders: 1 record",
        "left out: see `rejects.csv`",
        &format!("Kept    orders: rejects.csv (`pipectl runs files {short} orders`)"),
    ] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
    let listed = project.succeed(&["runs", "list"]).stdout;
    let lines: Vec<&str> = listed.lines().collect();
    assert!(
        lines[2].contains(short) && lines[2].contains("success, 1 warning"),
        "{listed}"
    );
    assert!(
        lines[1].contains("success") && !lines[1].contains("warning"),
        "{listed}"
    );
    let listed = project
        .succeed(&["runs", "list", "--format", "json"])
        .json();
    assert_eq!(listed["runs"][0]["warnings"], 0);
    assert_eq!(listed["runs"][1]["warnings"], 1);
}

#[test]
fn files_are_listed_and_printed() {
    let project = shop();
    project.succeed(&["run", "shop"]);
    let listed = project.succeed(&["runs", "files", "last"]).stdout;
    assert!(
        listed.contains("orders  rejects.csv") && listed.contains("text/csv"),
        "{listed}"
    );
    let json = project.succeed(&["runs", "files", "last", "orders", "--format", "json"]);
    assert_eq!(json.json()["files"][0]["name"], "rejects.csv");
    let printed = project
        .succeed(&["runs", "files", "last", "orders", "rejects.csv"])
        .stdout;
    assert!(
        printed.starts_with("file,line,reason") && printed.contains("A,3,9"),
        "{printed}"
    );
    let none = project.succeed(&["runs", "files", "last", "per_city[0]"]);
    assert!(none.stderr.contains("no files"), "{none}");
    for (arguments, message) in [
        (
            &["order"][..],
            "the run has no task `order`\nhint: it has orders, per_city",
        ),
        (
            &["orders", "reject.csv"],
            "there is no file `reject.csv`\nhint: there is `rejects.csv` of orders",
        ),
        (
            &["per_city", "x"],
            "there is no file `x`\nhint: the task has kept no files",
        ),
    ] {
        let misused = project.run(&[&["runs", "files", "last"], arguments].concat());
        assert_eq!(misused.code, Some(2), "{misused}");
        assert!(misused.stderr.contains(message), "{misused}");
    }
}

#[test]
fn a_repeated_task_is_previewed_gathered() {
    let project = shop();
    project.succeed(&["run", "shop"]);
    let all = project
        .succeed(&["runs", "preview", "last", "per_city", "--format", "json"])
        .json();
    assert_eq!(all["preview"]["rows"], 2);
    assert_eq!(
        all["preview"]["head"],
        serde_json::json!([["B", 2], ["A", 1]])
    );
    let one = project
        .succeed(&["runs", "preview", "last", "per_city[1]", "--format", "json"])
        .json();
    assert_eq!(one["preview"]["head"], serde_json::json!([["A", 1]]));
}

#[test]
fn runs_are_named_by_what_can_be_typed() {
    let project = Project::with("a", "name: a\ntasks:\n  a: {run: noop}\n");
    let ids: Vec<String> = (0..3)
        .map(|_| id(&project.succeed(&["run", "a", "--format", "json"])))
        .collect();
    let shown = |text: &str| id(&project.succeed(&["runs", "show", text, "--format", "json"]));
    assert_eq!(shown("last"), ids[2]);
    assert_eq!(shown("last~1"), ids[1]);
    assert_eq!(shown("last~2"), ids[0]);
    assert_eq!(shown(&ids[0][28..]), ids[0]);
    assert_eq!(shown(&ids[1][28..].to_uppercase()), ids[1]);
    assert_eq!(shown(&ids[1][..30]), ids[1]);
    let listed = project.succeed(&["runs", "list"]).stdout;
    assert!(
        ids.iter()
            .all(|id| listed.contains(&id[28..]) && !listed.contains(id)),
        "{listed}"
    );
    for (text, message) in [
        (&ids[0][..4], "fits 3 runs".to_owned()),
        (&ids[0][..4], ids[2][28..].to_owned()),
        ("last~3", "there is no run `last~3`: there are 3".to_owned()),
        ("last~x", "there is no run `last~x`".to_owned()),
        ("abc", "at least four characters".to_owned()),
    ] {
        let misused = project.run(&["runs", "show", text]);
        assert_eq!(misused.code, Some(2), "{misused}");
        assert!(misused.stderr.contains(&message), "{misused}");
    }
}

#[test]
fn nothing_is_cut_where_nobody_looks() {
    let name = format!("{}.csv", "long".repeat(30));
    let pipeline = format!("name: a\ntasks:\n  a:\n    extract: csv\n    with: {{path: {name}}}\n");
    let project = Project::with("a", &pipeline);
    project.run(&["run", "a"]);
    for command in [&["runs", "list"][..], &["runs", "show", "last"]] {
        let shown = project.succeed(command).stdout;
        let row = shown
            .lines()
            .find(|line| line.contains("failed") && line.contains("long"));
        assert!(row.is_some_and(|row| row.contains(&name)), "{shown}");
    }
}

#[test]
fn only_the_run_itself_complains_of_its_mail() {
    let mut project = Project::with(
        "watched",
        "name: watched\nalerts:\n  - {when: [failure], email: [team@example.com]}\ntasks:\n  a: {run: shell, with: {script: exit 3}}\n",
    );
    project.write(
        "pipelines/quiet.yaml",
        "name: quiet\ntasks:\n  a: {run: noop}\n",
    );
    project.write(
        "pipelines/parent.yaml",
        "name: parent\ntasks:\n  a: {run: pipeline, with: {pipeline: watched}}\n",
    );
    let complaint = "no mail server is configured";
    let failed = project.run(&["run", "watched"]);
    assert!(failed.stderr.contains(complaint), "{failed}");
    // The mail rests for a minute.
    let clock = project.path("clock").display().to_string();
    project.write("clock", "120");
    project.set("PIPECTL_CLOCK", clock);
    let quiet = project.succeed(&["run", "quiet"]);
    assert!(!quiet.stderr.contains(complaint), "{quiet}");
    let parent = project.run(&["run", "parent"]);
    assert!(parent.stderr.contains(complaint), "{parent}");
}
