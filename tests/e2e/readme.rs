//! What the README and the documentation show is true: every pipeline in it validates, every command runs.

use std::fs;

use super::harness::{Project, repository};

/// The fenced blocks of a language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    text.split(&fence)
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap().to_owned())
        .collect()
}

fn readme() -> String {
    fs::read_to_string(repository().join("README.md")).unwrap()
}

/// The README and the pages in `docs/`.
fn pages() -> Vec<String> {
    let docs = fs::read_dir(repository().join("docs")).unwrap();
    let docs = docs.map(|entry| entry.unwrap().path());
    let pages = docs.filter(|path| path.extension().is_some_and(|of| of == "md"));
    let pages = pages.map(|path| fs::read_to_string(path).unwrap());
    pages.chain([readme()]).collect()
}

#[test]
fn every_pipeline_and_feature_view_validates() {
    let project = Project::repository();
    let mut found = 0;
    for block in pages().iter().flat_map(|page| blocks(page, "yaml")) {
        let Some(name) = block.lines().find_map(|line| line.strip_prefix("name: ")) else {
            continue;
        };
        found += 1;
        let directory = if block.starts_with("# features/") {
            "features"
        } else {
            "pipelines"
        };
        let file = format!("{directory}/{name}.yaml");
        project.write(&file, &block);
        let ran = project.succeed(&["validate", &file]);
        assert!(!ran.stdout.contains("warning"), "{name}\n{ran}");
    }
    assert!(found > 0);
}

#[test]
fn every_command_runs() {
    let project = Project::repository();
    let mut found = 0;
    for line in blocks(&readme(), "console")
        .iter()
        .flat_map(|block| block.lines())
    {
        let Some(command) = line
            .strip_prefix("$ target/release/pipectl ")
            .or_else(|| line.strip_prefix("$ pipectl "))
        else {
            continue;
        };
        found += 1;
        let command = command.split(" #").next().unwrap();
        let words: Vec<&str> = command.split_whitespace().collect();
        let ran = project.run(&words);
        assert_eq!(ran.code, Some(0), "{command}\n{ran}");
    }
    assert!(found > 0);
}

#[test]
fn every_project_file_is_valid() {
    let mut found = 0;
    let own = "# pipectl.yaml\n";
    let pages = pages();
    let blocks = pages.iter().flat_map(|page| blocks(page, "yaml"));
    for block in blocks.filter(|block| block.starts_with(own)) {
        found += 1;
        let mut project = Project::with("one", "name: one\ntasks:\n  nothing: {run: noop}\n");
        project
            .write("pipectl.yaml", &block)
            .write("secrets/warehouse", "postgres://me:s3cret@127.0.0.1:1/shop");
        project.set("HISTORY_URL", "sqlite:history.db");
        let ran = project.succeed(&["validate"]);
        assert_eq!(ran.stderr, "", "{block}");
    }
    assert!(found > 0);
}
