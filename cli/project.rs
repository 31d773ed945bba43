//! What every command has at hand: the flags, the environment, the output, the project.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use pipectl_engine::{
    env::Env,
    operator::Registry,
    plan::Plan,
    project::{Overrides, Project, find_root},
    spec::{Diagnostics, render::render_files},
};
use pipectl_operators::Plugins;

use crate::{
    arguments::Global,
    complaints,
    exit::Problem,
    output::Output,
    pipelines::{self, Checked},
};

/// What every command has at hand.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) global: Global,
    pub(crate) env: Env,
    pub(crate) output: Output,
}

/// All operators: our own, and those on the PATH.
pub(crate) fn registry() -> Registry {
    let env = Env::system();
    pipectl_operators::all().with_finder(Arc::new(Plugins::new(env.get("PATH"))))
}

impl Context {
    pub(crate) fn new(global: Global) -> Self {
        let env = Env::system();
        let output = Output::new(&global, &env);
        Self {
            global,
            env,
            output,
        }
    }

    /// The project of the current directory, or of `--project`.
    pub(crate) fn project(&self) -> anyhow::Result<Arc<Project>> {
        self.open(&current_dir()?)
    }

    /// The project that a pipeline belongs to: of a file that of its directory, of a name the current one.
    pub(crate) fn project_of(&self, pipeline: &str) -> anyhow::Result<Arc<Project>> {
        if pipelines::is_path(pipeline) {
            return self.open(Path::new(pipeline));
        }
        self.project()
    }

    fn open(&self, start: &Path) -> anyhow::Result<Arc<Project>> {
        let current = current_dir()?;
        let root = self.global.project.clone();
        if let Some(root) = root.as_ref().filter(|root| !root.is_dir()) {
            let message = format!("there is no directory `{}`", root.display());
            return Err(Problem::usage(message).into());
        }
        let overrides = Overrides {
            state_dir: self.global.state_dir.clone(),
            root,
        };
        let colour = complaints::colour(self.output.err);
        let show = |found: &Diagnostics| {
            let root = find_root(start, &current);
            let root = overrides.root.as_ref().unwrap_or(&root);
            self.output.stderr(render_files(found, root, colour));
        };
        match Project::load(start, &current, &overrides, self.env.clone()) {
            Ok((project, warnings)) => {
                if !warnings.is_empty() {
                    show(&warnings);
                }
                Ok(Arc::new(project))
            }
            Err(found) => {
                show(&found);
                let count = complaints::count(&found);
                Err(Problem::usage(format!("the project's settings are not valid: {count}")).into())
            }
        }
    }

    /// The checked plan of a pipeline; what is wrong or doubtful about it goes to stderr.
    pub(crate) fn plan(&self, project: &Arc<Project>, pipeline: &str) -> anyhow::Result<Arc<Plan>> {
        let file = pipelines::find(project, pipeline)?;
        let checked = pipelines::check(project, &registry(), &file);
        self.judged(checked)
    }

    /// The plan of what was checked; what is wrong or doubtful about it goes to stderr.
    pub(crate) fn judged(&self, checked: Checked) -> anyhow::Result<Arc<Plan>> {
        if !checked.complaints.is_empty() {
            self.output
                .stderr(complaints::text(&checked, self.output.err));
        }
        match checked.plan {
            Some(plan) => Ok(Arc::new(plan)),
            None => Err(Problem::usage(format!(
                "`{}` is not valid: {}",
                checked.name,
                complaints::count(&checked.complaints)
            ))
            .into()),
        }
    }
}

fn current_dir() -> Result<PathBuf, Problem> {
    std::env::current_dir().map_err(|error| {
        Problem::environment("the current directory cannot be told").because(error)
    })
}
