//! Alerts leave with the run that is their occasion.

use pipectl_test_support::{PASSWORD, Security, TestSmtp, USER};

use super::harness::Project;

const WATCHED: &str = "\
name: watched
alerts:
  - {when: [failure, recovery], email: [team@example.com]}
tasks:
  work:
    run: shell
    with: {script: 'test -e good || { echo no good >&2; exit 3; }'}
";

fn project(server: &TestSmtp, password: &str) -> Project {
    let project = Project::with("watched", WATCHED);
    let (port, ca_file) = (server.port(), server.ca_file().display());
    let password = password.replace(' ', "%20");
    let url = format!("smtp://{USER}:{password}@localhost:{port}");
    project.write(
        "pipectl.yaml",
        format!("smtp: {{url: \"{url}\", from: pipectl@example.com, ca_file: \"{ca_file}\"}}\n"),
    );
    project
}

#[test]
fn a_failure_and_the_recovery_are_told_once_each() {
    let server = TestSmtp::start(Security::StartTls);
    let project = project(&server, PASSWORD);
    let failed = project.run(&["run", "watched"]);
    assert_eq!(failed.code, Some(1), "{failed}");
    project.write("good", "");
    project.succeed(&["run", "watched"]);
    project.succeed(&["run", "watched"]);
    let mails = server.mails();
    let subjects: Vec<&str> = mails
        .iter()
        .filter_map(|mail| {
            mail.content
                .lines()
                .find_map(|line| line.strip_prefix("Subject: "))
        })
        .collect();
    assert_eq!(
        subjects,
        [
            "[pipectl] watched failed at work",
            "[pipectl] watched has recovered"
        ]
    );
    for part in ["no good", "pipectl runs show ", "pipectl retry "] {
        assert!(
            mails[0].content.contains(part),
            "{part}\n{}",
            mails[0].content
        );
    }
    assert_eq!(mails[0].to, ["team@example.com"]);
    assert!(mails[0].encrypted);
}

#[test]
fn mail_that_cannot_leave_waits_and_the_run_says_so() {
    let server = TestSmtp::start(Security::StartTls);
    let project = project(&server, "wrong");
    let failed = project.run(&["run", "watched"]);
    assert_eq!(failed.code, Some(1), "{failed}");
    assert!(failed.stderr.contains("mail could not be sent"), "{failed}");
    assert!(!failed.stderr.contains("wrong@"), "{failed}");
    assert!(server.mails().is_empty());
    let doctor = project.run(&["doctor"]);
    assert_eq!(doctor.code, Some(3), "{doctor}");
    assert!(doctor.stdout.contains("✕ broken"), "{doctor}");
    project.write("pipectl.yaml", "{}\n");
    let unset = project.run(&["run", "watched"]);
    assert!(
        unset.stderr.contains("no mail server is configured"),
        "{unset}"
    );
}
