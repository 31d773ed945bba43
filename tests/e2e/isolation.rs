//! Tasks in processes of their own: the same results, and an end at their limit.

use super::harness::{Project, repository};

const HUNGRY: &str = "\
name: hungry
tasks:
  before:
    extract: csv
    with: {path: data/rows.csv}
  eats:
    run: python
    from: before
    memory: 96MiB
    with:
      script: |
        import time
        kept = []
        while True:
            kept.append(bytearray(b'x' * 4_000_000))
            time.sleep(0.005)
  beside:
    load: csv
    from: before
    isolation: process
    with: {path: out/copy.csv}
";

#[test]
fn a_task_that_eats_the_machine_is_stopped_and_the_others_go_on() {
    let project = Project::with("hungry", HUNGRY);
    project.write("data/rows.csv", "id,name\n1,ada\n");
    let ran = project.run(&["run", "hungry", "--format", "json"]);
    assert_eq!(ran.code, Some(1), "{ran}");
    let answer = ran.json();
    let error = &answer["tasks"]["eats"]["error"];
    let text = error.to_string();
    assert!(
        text.contains("stopped at its limit of 96.0 MiB of memory: it had taken "),
        "{text}"
    );
    assert!(text.contains("and its inputs are 0.1 MiB"), "{text}");
    assert_eq!(answer["tasks"]["beside"]["state"], "success");
    assert_eq!(project.read("out/copy.csv"), "id,name\n1,ada\n");
}

#[test]
fn a_model_is_the_same_from_a_process_of_its_own() {
    let file = "examples/train_classifier.yaml";
    let text = std::fs::read_to_string(repository().join(file)).unwrap();
    let apart = text.replace("\n    with:", "\n    isolation: process\n    with:");
    assert_ne!(apart, text);
    let digests = [text, apart].map(|text| {
        let project = Project::repository();
        project.write(file, text);
        project.succeed(&["run", file]);
        let shown = project.succeed(&["models", "show", "churn", "--format", "json"]);
        let digest = shown.stdout.lines().find(|line| line.contains("digest"));
        digest.unwrap_or_else(|| panic!("{shown}")).to_owned()
    });
    assert_eq!(digests[0], digests[1]);
}
