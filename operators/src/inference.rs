//! Where the library of ONNX Runtime is: named, or in a Python environment.

use std::path::{Path, PathBuf};

use pipectl_engine::{
    env::Env,
    project::{OnnxRuntime, Project},
};
use pipectl_models::rooms::Rooms;

/// Looks for the library of ONNX Runtime: what the project or the environment (`ORT_DYLIB_PATH`) names, else that of the
/// package `onnxruntime` in the active Python environment, else of a Python on the PATH. No Python is started.
pub fn rooms(project: &Project) -> Rooms {
    match &project.onnxruntime {
        Some(OnnxRuntime::Library(library)) => Rooms {
            runtime: Some(library.clone()),
            runtime_is_wanted: true,
        },
        Some(OnnxRuntime::Unused) => Rooms::default(),
        None => Rooms {
            runtime: of_python(&project.env),
            runtime_is_wanted: false,
        },
    }
}

fn of_python(env: &Env) -> Option<PathBuf> {
    let active = ["VIRTUAL_ENV", "CONDA_PREFIX"]
        .into_iter()
        .filter_map(|name| env.get(name))
        .map(PathBuf::from);
    let on_path = std::env::split_paths(env.get("PATH").unwrap_or_default())
        .filter(|directory| directory.join("python3").is_file())
        .filter_map(|directory| directory.parent().map(Path::to_owned));
    active.chain(on_path).find_map(|prefix| {
        let below = |prefix: &Path| libraries(&prefix.join("lib")).next();
        // What pip puts there for the system's Python.
        below(&prefix).or_else(|| below(&prefix.join("local")))
    })
}

/// `python3.11/site-packages/onnxruntime/capi/libonnxruntime.so.1.22.0` and its like, in order of their names.
fn libraries(lib: &Path) -> impl Iterator<Item = PathBuf> {
    let pythons = sorted(lib, |name| name.starts_with("python3"));
    pythons.into_iter().flat_map(|python| {
        ["site-packages", "dist-packages"]
            .into_iter()
            .flat_map(move |packages| {
                let capi = python.join(packages).join("onnxruntime/capi");
                sorted(&capi, |name| {
                    let library = name.strip_prefix("libonnxruntime.");
                    library.is_some_and(|rest| {
                        rest.starts_with("so") || rest.rsplit('.').next() == Some("dylib")
                    })
                })
            })
    })
}

fn sorted(directory: &Path, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(&wanted))
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use pipectl_engine::operator::testing::TestProject;

    use super::*;

    #[test]
    fn the_library_of_a_python_environment_is_found_and_a_named_one_goes_before() {
        let files = TestProject::new();
        let root = files.root();
        let library = |prefix: &str| {
            let path = format!(
                "{prefix}/lib/python3.11/site-packages/onnxruntime/capi/libonnxruntime.so.1.32.0"
            );
            files.write(&path, "")
        };
        let (venv, base) = (library("venv"), library("base"));
        files.write("base/bin/python3", "");
        files.write("none/bin/ls", "");
        let shown = |name: &str| root.join(name).display().to_string();
        let path = format!("{}:{}", shown("none/bin"), shown("base/bin"));
        let mut project = Project {
            env: Env::from([("PATH", path.as_str())]),
            ..Project::default()
        };
        assert_eq!(rooms(&project).runtime, Some(base));
        project.env = Env::from([("PATH", path.as_str()), ("VIRTUAL_ENV", &shown("venv"))]);
        let found = rooms(&project);
        assert_eq!(
            (found.runtime, found.runtime_is_wanted),
            (Some(venv), false)
        );
        project.onnxruntime = Some(OnnxRuntime::Unused);
        assert_eq!(rooms(&project), Rooms::default());
        project.onnxruntime = Some(OnnxRuntime::Library("/opt/libonnxruntime.so".into()));
        assert!(rooms(&project).runtime_is_wanted);
        assert_eq!(of_python(&Env::default()), None);
    }
}
