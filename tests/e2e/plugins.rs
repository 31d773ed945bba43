//! Operators that are programs.

use std::process::Command;

use super::harness::{Project, Ran};

/// The examples' programs on the PATH.
fn with_programs() -> Project {
    let mut project = Project::repository();
    let programs = project.path("examples/plugins");
    let path = std::env::var("PATH").unwrap();
    project.set("PATH", format!("{}:{path}", programs.display()));
    project
}

/// Another process writes it: a file that this one has open while another thread forks cannot be executed.
fn program(project: &Project, name: &str, script: &str) {
    let write = "printf '#!/bin/sh\n%s\n' \"$1\" > \"$2\"; chmod 755 \"$2\"";
    let path = project.path("examples/plugins").join(name);
    let write = Command::new("sh")
        .args(["-c", write, "sh", script])
        .arg(path)
        .status();
    assert!(write.unwrap().success());
}

#[test]
fn programs_in_two_languages_run_in_one_pipeline() {
    let project = with_programs();
    project.succeed(&["run", "examples/plugins/plugins.yaml"]);
    let table = project.read("data_files/weekdays.csv");
    assert!(
        table.starts_with("number,day,initials\n1,Monday,Mo\n2,Tuesday,Tu\n"),
        "{table}"
    );
    let list = project.succeed(&["operators"]).stdout;
    assert!(list.contains("extract: weekdays"), "{list}");
    let page = project
        .succeed(&["operators", "transform", "initials"])
        .stdout;
    assert!(page.contains("How many letters."), "{page}");
}

#[test]
fn settings_of_a_program_are_checked_with_their_places() {
    let project = with_programs();
    project.write(
        "pipelines/bad.yaml",
        "name: bad\ntasks:\n  days:\n    extract: weekdays\n  short:\n    transform: initials\n    from: days\n    with:\n      colum: day\n      letters: two\n",
    );
    let ran = project.run(&["validate", "pipelines/bad.yaml"]);
    assert_eq!(ran.code, Some(2), "{ran}");
    for expected in ["bad.yaml:9:7", "did you mean `column`?", "bad.yaml:10:16"] {
        assert!(
            ran.stderr.contains(expected) || ran.stdout.contains(expected),
            "{expected}\n{ran}"
        );
    }
}

#[test]
fn what_a_program_says_of_its_failure_is_what_people_read() {
    let project = with_programs();
    for (script, settings, expected) in [
        (
            r#"cat > /dev/null; echo '{"error": {"message": "the shop is closed", "hint": "come on Monday"}}'; exit 1"#,
            "{}",
            "the shop is closed",
        ),
        ("echo half >&2; exit 3", "{}", "ended with 3: half"),
        (
            "echo hello",
            "{}",
            "has not answered as it should: expected value at line 1 column 1",
        ),
        (
            "echo '{}'",
            "{}",
            "the program has not put out the dataset `data`",
        ),
        (
            r#"echo '{"datasets": {"data": "/etc/passwd"}}'"#,
            "{}",
            "does not lie in the output directory",
        ),
    ] {
        let describe = r#"echo '{"protocol": 1, "summary": "Reads a shop.", "outputs": {"datasets": ["data"]}}'"#;
        program(
            &project,
            "pipectl-extract-shop",
            &format!("[ $1 = run ] || {{ {describe}; exit; }}\n{script}"),
        );
        project.write(
            "pipelines/shop.yaml",
            format!("name: shop\ntasks:\n  it:\n    extract: shop\n    with: {settings}\n"),
        );
        let ran = project.run(&["run", "shop"]);
        assert_eq!(ran.code, Some(1), "{ran}");
        assert!(
            ran.stderr.contains(expected) || ran.stdout.contains(expected),
            "{expected}\n{ran}"
        );
    }
}

#[test]
fn a_program_that_cannot_be_used_is_a_complaint() {
    let project = with_programs();
    program(&project, "pipectl-extract-shop", "echo hello");
    project.write(
        "pipelines/shop.yaml",
        "name: shop\ntasks:\n  it:\n    extract: shop\n",
    );
    let ran = project.run(&["validate", "shop"]);
    assert_eq!(ran.code, Some(2), "{ran}");
    let text = format!("{}{}", ran.stdout, ran.stderr);
    assert!(
        text.contains("its answer to `describe` is no description"),
        "{ran}"
    );
    assert!(text.contains("shop.yaml:4"), "{ran}");
}

#[test]
fn the_kit_says_what_a_program_does_wrong() {
    let project = with_programs();
    let check = |name: &str| -> Ran {
        let path = format!("examples/plugins/{name}");
        project.run(&["plugin", "check", &path])
    };
    for good in ["pipectl-extract-weekdays", "pipectl-transform-initials"] {
        let ran = check(good);
        assert_eq!(ran.code, Some(0), "{ran}");
        assert!(!ran.stdout.contains('✕'), "{ran}");
        assert!(
            ran.stdout.contains("✓ it runs with its example's settings"),
            "{ran}"
        );
    }
    program(
        &project,
        "pipectl-extract-bad",
        r#"echo '{"protocol": 1, "summary": "It is bad.", "outputs": {"datasets": ["data"]}}'"#,
    );
    let ran = check("pipectl-extract-bad");
    assert_eq!(ran.code, Some(1), "{ran}");
    for expected in [
        "✓ it describes itself",
        "`no_such_command` ended with 0",
        "`run` ended with 0",
        "✕ it runs with its example's settings",
        "has not answered as it should",
    ] {
        assert!(ran.stdout.contains(expected), "{expected}\n{ran}");
    }
    program(&project, "pipectl-sing-song", "exit 1");
    let ran = check("pipectl-sing-song");
    assert!(ran.stdout.contains("✕ its name says what it is"), "{ran}");
    assert_eq!(check("pipectl-extract-nothing").code, Some(2));
}
