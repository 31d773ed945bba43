//! Runs of a part of a pipeline: what they leave out stays left out, what they take comes from a run that is whole.

use std::{
    fs,
    process::Child,
    thread::sleep,
    time::{Duration, Instant},
};

use super::harness::{Project, Ran};

/// A chain of which every task writes its name; `c` fails as long as there is no file `mended`.
const CHAIN: &str = "\
name: chain
params:
  size: {type: number, default: 1}
  word: {type: string, default: x}
tasks:
  a:
    run: shell
    with: {script: 'echo a >> ran', env: {SIZE: '${{ params.size }}'}}
  b:
    run: shell
    needs: a
    with: {script: 'echo b >> ran; test -f go || sleep \"$PAUSE\"', env: {PAUSE: '${{ env.PAUSE }}'}}
  c:
    run: shell
    needs: b
    with: {script: 'echo c >> ran; test -f mended', env: {WORD: '${{ params.word }}'}}
  d:
    run: shell
    needs: c
    with: {script: 'echo d >> ran'}
";

fn chain(pause: &str) -> Project {
    let mut project = Project::with("chain", CHAIN);
    project.write("pipectl.yaml", "env: [PAUSE]\n");
    project.set("PAUSE", pause);
    project
}

/// What has run since this was last asked.
fn ran(project: &Project) -> String {
    let path = project.path("ran");
    let text = fs::read_to_string(&path).unwrap_or_default();
    let _none = fs::remove_file(path);
    text.split_whitespace().collect()
}

fn id(ran: &Ran) -> String {
    let json = ran.json();
    json["run"].as_str().unwrap().to_owned()
}

/// A project with one run of the whole pipeline that succeeded.
fn whole() -> (Project, String) {
    let project = chain("0");
    project.write("mended", "");
    let run = id(&project.succeed(&["run", "chain", "--format", "json"]));
    fs::remove_file(project.path("mended")).unwrap();
    assert_eq!(ran(&project), "abcd");
    (project, run)
}

#[test]
fn a_retry_leaves_out_what_its_run_left_out() {
    let (project, _) = whole();
    let failed = project.run(&["run", "chain", "--only", "c", "--format", "json"]);
    assert_eq!(
        (failed.code, ran(&project).as_str()),
        (Some(1), "c"),
        "{failed}"
    );
    let run = id(&failed);
    let again = project.run(&["retry", &run, "--failed"]);
    assert_eq!(
        (again.code, ran(&project).as_str()),
        (Some(1), "c"),
        "{again}"
    );
    project.write("mended", "");
    for arguments in [&["retry", &run, "--failed"][..], &["retry", &run]] {
        let again = project.succeed(&[arguments, &["--format", "json"]].concat());
        assert_eq!(ran(&project), "c", "{again}");
        let tasks = &again.json()["tasks"];
        assert_eq!(tasks["a"]["note"], "left out");
        assert_eq!(tasks["d"]["note"], "left out");
        assert!(
            tasks["b"]["note"]
                .as_str()
                .unwrap()
                .starts_with("taken from run")
        );
    }
    let failed = project.run(&["run", "chain", "--from", "c", "--format", "json"]);
    assert_eq!(
        (failed.code, ran(&project).as_str()),
        (Some(0), "cd"),
        "{failed}"
    );
}

#[test]
fn a_part_that_failed_says_how_it_is_run_again() {
    let (project, _) = whole();
    for (flags, again) in [(["--only", "c"], "--only c"), (["--from", "b"], "--from c")] {
        let failed = project.run(&[&["run", "chain"], &flags[..]].concat());
        assert_eq!(failed.code, Some(1), "{failed}");
        let lines = failed.stderr.lines().map(str::trim);
        let mut told = lines.filter_map(|line| line.strip_suffix("  (after its file was mended)"));
        let command = told.next().unwrap().strip_prefix("pipectl ").unwrap();
        assert!(
            command.starts_with(&format!("run chain {again} --inputs ")),
            "{failed}"
        );
        project.write("mended", "");
        project.succeed(&command.split(' ').collect::<Vec<_>>());
        fs::remove_file(project.path("mended")).unwrap();
    }
}

#[test]
fn going_on_with_a_run_tells_that_its_file_has_changed() {
    let project = chain("0");
    let failed = project.run(&["run", "chain", "--format", "json"]);
    assert!(!failed.stderr.contains("has changed"), "{failed}");
    let run = id(&failed);
    let short = &run[run.len() - 8..];
    let same = project.run(&["retry", &run, "--failed"]);
    assert!(!same.stderr.contains("changed"), "{same}");
    project.write(
        "pipelines/chain.yaml",
        CHAIN.replace("test -f mended", "true"),
    );
    let note =
        "note: pipelines/chain.yaml has changed since; this goes on with the version of the run";
    let part = format!("run chain --from c --inputs {short}");
    for (arguments, command) in [
        (&["retry", &run, "--failed"][..], part.as_str()),
        (&["run", "--resume", &run], &part),
        (&["retry", &run], "run chain"),
    ] {
        let again = project.run(arguments);
        assert_eq!(again.code, Some(1), "{again}");
        let told = format!("{note} (`pipectl {command}` takes the new one)\n");
        assert!(again.stderr.contains(&told), "{again}");
        let place = "in the version of the run; the file has changed since";
        assert!(again.stderr.contains(place), "{again}");
    }
    project.succeed(&part.split(' ').collect::<Vec<_>>());
    project.write("pipelines/chain.yaml", "name: chain\ntasks: [");
    let again = project.run(&["retry", &run]);
    let told = format!("{note} (the file is not valid now)\n");
    assert!(again.stderr.contains(&told), "{again}");
}

fn wait_for(project: &Project, task: &str) {
    let start = Instant::now();
    while !fs::read_to_string(project.path("ran")).is_ok_and(|text| text.contains(task)) {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "`{task}` never runs"
        );
        sleep(Duration::from_millis(20));
    }
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_run_that_was_killed_goes_on_with_its_part_only() {
    let (mut project, _) = whole();
    project.write("mended", "");
    project.set("PAUSE", "30");
    let child = project.start(&["run", "chain", "--only", "b"]);
    wait_for(&project, "b");
    kill(child);
    assert_eq!(ran(&project), "b");
    project.write("go", "");
    let resumed = project.succeed(&["run", "--resume", "last", "--format", "json"]);
    assert_eq!(
        (resumed.json()["state"].as_str(), ran(&project).as_str()),
        (Some("success"), "b")
    );
}

#[test]
fn a_part_takes_from_the_newest_whole_run_that_succeeded() {
    let (project, good) = whole();
    // A run that failed, one with another parameter, and one of a part.
    project.run(&["run", "chain"]);
    project.write("mended", "");
    let other = id(&project.succeed(&["run", "chain", "-p", "size=2", "--format", "json"]));
    project.succeed(&["run", "chain", "--from", "b"]);
    ran(&project);
    let taken = |arguments: &[&str]| {
        let ran = project.succeed(&[&["run", "chain", "--format", "json"], arguments].concat());
        let note = ran.json()["tasks"]["b"]["note"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(ran.stderr.contains("`b` taken from run"), "{ran}");
        note.strip_prefix("taken from run ").unwrap().to_owned()
    };
    assert_eq!(taken(&["--only", "c"]), good);
    assert_eq!(taken(&["--only", "c", "-p", "size=2"]), other);
    // What goes into later tasks only may be another.
    assert_eq!(taken(&["--only", "c", "-p", "word=y"]), good);
    assert_eq!(taken(&["--only", "c", "--inputs", &other]), other);
    let none = project.run(&["run", "chain", "--only", "c", "-p", "size=3"]);
    assert_eq!(none.code, Some(2), "{none}");
    assert!(
        none.stderr
            .contains("no run of `chain` that has succeeded has the outputs of `b`"),
        "{none}"
    );
    assert!(none.stderr.contains("which was of a part itself"), "{none}");
    assert_eq!(ran(&project), "cccc");
    let dry = project.succeed(&["run", "chain", "--only", "c", "--dry-run"]);
    assert!(
        dry.stdout.contains(&format!("taken from run {good}")),
        "{dry}"
    );
    assert_eq!(ran(&project), "");
    for (arguments, message) in [
        (&["--inputs", "last"][..], "--inputs is of no use here"),
        (
            &["--only", "a", "--inputs", "last"],
            "--inputs is of no use here",
        ),
        (&["--only", "c", "--inputs", "0000aaaa"], "there is no run"),
    ] {
        let misused = project.run(&[&["run", "chain"], arguments].concat());
        assert_eq!(misused.code, Some(2), "{misused}");
        assert!(misused.stderr.contains(message), "{misused}");
    }
}

#[test]
fn a_part_says_when_the_file_has_changed_since() {
    let (project, _) = whole();
    project.write("mended", "");
    let quiet = project.succeed(&["run", "chain", "--only", "c"]);
    assert!(!quiet.stderr.contains("changed"), "{quiet}");
    project.write("pipelines/chain.yaml", CHAIN.replace("echo d", "echo  d"));
    let quiet = project.succeed(&["run", "chain", "--only", "c"]);
    assert!(!quiet.stderr.contains("changed"), "{quiet}");
    project.write("pipelines/chain.yaml", CHAIN.replace("echo a", "echo  a"));
    for dry in [&[][..], &["--dry-run"]] {
        let warned = project.succeed(&[&["run", "chain", "--only", "c"], dry].concat());
        assert!(
            warned
                .stderr
                .contains("warning: `a` has changed in the file"),
            "{warned}"
        );
    }
}

/// A repeated task, and one behind a branch that is never taken.
const REPEATED: &str = "\
name: repeated
interval: 1d
tasks:
  one:
    extract: csv
    with: {path: one.csv}
  each:
    transform: sql
    from: one
    foreach: {items: '[1, 2, 3]'}
    with: {query: 'select n * ${{ item }} as n from one'}
  never:
    transform: sql
    from: each
    if: 1 > 2
    with: {query: select * from each}
  sum:
    transform: sql
    from: {rows: {first: [never, each]}}
    trigger_rule: none_failed_min_one_success
    with: {query: select sum(n) as n from rows}
";

#[test]
fn elements_are_taken_gathered_and_what_was_skipped_is_skipped() {
    let project = Project::with("repeated", REPEATED);
    project.write("one.csv", "n\n1\n");
    let first = project
        .succeed(&["run", "repeated", "--format", "json"])
        .json();
    let part = project
        .succeed(&["run", "repeated", "--only", "sum", "--format", "json"])
        .json();
    assert_eq!(part["interval"], first["interval"]);
    assert_eq!(part["tasks"]["never"]["state"], "skipped");
    let sum = project
        .succeed(&["runs", "preview", "last", "sum", "--format", "json"])
        .json();
    assert_eq!(sum["preview"]["head"][0][0], 6, "{sum}");
}

/// Several processes at once, which know nothing of each other.
#[test]
fn runs_that_append_to_the_same_files_wait_for_each_other() {
    let project = Project::with(
        "app",
        "\
name: app
max_active_runs: 8
params:
  k: {type: integer}
tasks:
  made:
    run: shell
    with:
      script: printf 'k,v\\n%s,1\\n' \"$K\" > in-$K.csv
      env: {K: \"${{ params.k }}\"}
  rows:
    extract: csv
    needs: made
    with: {path: \"in-${{ params.k }}.csv\"}
  csv:
    load: csv
    from: rows
    with: {path: out/app.csv, mode: append}
  parquet:
    load: parquet
    from: rows
    with: {path: out/app, partition_by: [k], mode: append}
",
    );
    let children: Vec<_> = (0..8)
        .map(|k| project.start(&["run", "app", "-p", &format!("k={k}")]))
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    assert_eq!(project.read("out/app.csv").lines().count(), 1 + 8);
    let list = project.read("out/app/_manifest.json");
    assert_eq!(list.matches(".parquet").count(), 8, "{list}");
}
