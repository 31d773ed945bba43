//! Every pipeline that ships is valid, with the operators that ship.

use std::fs;

use pipectl_engine::{
    env::Env,
    plan::load_pipeline,
    project::{Overrides, Project},
    spec::render::{Colour, render_files},
};

use super::root;

#[test]
fn every_pipeline_and_example_is_valid() {
    let operators = pipectl_operators::all();
    let mut wrong = Vec::new();
    for directory in ["pipelines", "examples"] {
        let directory = root().join(directory);
        let (project, _) =
            Project::load(&directory, &root(), &Overrides::default(), Env::default()).unwrap();
        let mut files: Vec<_> = fs::read_dir(&directory)
            .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
            .unwrap_or_default();
        files.sort();
        for path in files.iter().filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        }) {
            match load_pipeline(path, &operators, &project) {
                Ok((_, warnings)) if warnings.is_empty() => {}
                Ok((_, found)) | Err(found) => {
                    wrong.push(render_files(&found, &project.root, Colour::Plain));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
