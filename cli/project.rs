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

/// Where the project of a pipeline is looked for: of a file at its place, of a name in the current directory.
fn start_of(pipeline: Option<&str>) -> anyhow::Result<PathBuf> {
    match pipeline {
        Some(path) if pipelines::is_path(path) => Ok(PathBuf::from(path)),
        _ => Ok(current_dir()?),
    }
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

    /// The project of the current directory whose history is asked for: where there is none, none is made.
    pub(crate) fn project_with_history(&self) -> anyhow::Result<Arc<Project>> {
        let project = self.project()?;
        let signs = ["pipectl.yaml", "pipelines"].map(|name| project.path(name));
        let is_one = project.store.is_some()
            || project.state_dir.exists()
            || signs.iter().any(|sign| sign.exists());
        if !is_one {
            let message = format!("there is no project in `{}`", project.root.display());
            let hint = "go to where `pipectl.yaml` or `pipelines/` is, or name that directory with --project";
            return Err(Problem::usage(message).hint(hint).into());
        }
        Ok(project)
    }

    /// The project that a pipeline belongs to: of a file that of its directory, of a name the current one.
    pub(crate) fn project_of(&self, pipeline: &str) -> anyhow::Result<Arc<Project>> {
        self.open(&start_of(Some(pipeline))?)
    }

    /// The project that a pipeline belongs to, or the current one, or what is wrong with its settings.
    pub(crate) fn checked_project(
        &self,
        pipeline: Option<&str>,
    ) -> anyhow::Result<Result<Arc<Project>, Diagnostics>> {
        self.load(&start_of(pipeline)?)
    }

    fn open(&self, start: &Path) -> anyhow::Result<Arc<Project>> {
        match self.load(start)? {
            Ok(project) => Ok(project),
            Err(found) => {
                self.show(start, &found)?;
                let count = complaints::count(&found);
                Err(Problem::usage(format!("the project's settings are not valid: {count}")).into())
            }
        }
    }

    /// The project around `start`, or what is wrong with its settings; what is only doubtful goes to stderr.
    fn load(&self, start: &Path) -> anyhow::Result<Result<Arc<Project>, Diagnostics>> {
        let root = self.global.project.clone();
        if let Some(root) = root.as_ref().filter(|root| !root.is_dir()) {
            let message = format!("there is no directory `{}`", root.display());
            return Err(Problem::usage(message).into());
        }
        let overrides = Overrides {
            state_dir: self.global.state_dir.clone(),
            root,
        };
        match Project::load(start, &current_dir()?, &overrides, self.env.clone()) {
            Ok((project, warnings)) => {
                if !warnings.is_empty() {
                    self.show(start, &warnings)?;
                }
                Ok(Ok(Arc::new(project)))
            }
            Err(found) => Ok(Err(found)),
        }
    }

    /// Complaints about the settings of the project around `start`, to stderr.
    fn show(&self, start: &Path, found: &Diagnostics) -> anyhow::Result<()> {
        let root = match &self.global.project {
            Some(root) => root.clone(),
            None => find_root(start, &current_dir()?),
        };
        let colour = complaints::colour(self.output.err);
        self.output.stderr(render_files(found, &root, colour));
        Ok(())
    }

    /// The checked plan of a pipeline; what is wrong or doubtful about it goes to stderr.
    pub(crate) fn plan(&self, project: &Arc<Project>, pipeline: &str) -> anyhow::Result<Arc<Plan>> {
        let file = pipelines::find(project, pipeline)?;
        let checked = pipelines::check(project, &registry(), &file);
        self.judged(checked)
    }

    /// The plan of what was checked; what is wrong or doubtful about it goes to stderr.
    pub(crate) fn judged(&self, checked: Checked) -> anyhow::Result<Arc<Plan>> {
        let told = !self.global.quiet || checked.complaints.has_errors();
        if told && !checked.complaints.is_empty() {
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
