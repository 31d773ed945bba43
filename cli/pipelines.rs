//! The project's pipelines: found by file or name, checked, given to runs.

use std::{
    cell::OnceCell,
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use async_trait::async_trait;
use pipectl_daemon::{Entry, Library};
use pipectl_engine::{
    operator::Registry,
    plan::{Neighbours, Plan, compile, display_name, names_pipelines},
    project::{Project, feature::FeatureView},
    runner::Pipelines,
    spec::{Diagnostics, PipelineFile, Severity, SourceFile, suggest},
    store::PipelineVersion,
};

use crate::exit::Problem;

/// A file and what checking it has shown.
#[derive(Debug)]
pub(crate) struct Checked {
    /// The file as messages name it.
    pub(crate) name: Arc<str>,
    /// Its text, when it could be read.
    pub(crate) source: Option<SourceFile>,
    /// The plan, when the file is a valid pipeline.
    pub(crate) plan: Option<Plan>,
    /// The view, when the file is a valid feature view.
    pub(crate) view: Option<FeatureView>,
    /// What is wrong or doubtful.
    pub(crate) complaints: Diagnostics,
}

/// Whether a person has written a path, not a name.
pub(crate) fn is_path(text: &str) -> bool {
    text.contains(['/', '\\']) || has_extension(Path::new(text))
}

fn has_extension(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "yaml" || extension == "yml")
}

/// The file of a pipeline that a person has named by path or by name.
pub(crate) fn find(project: &Project, text: &str) -> Result<PathBuf, Problem> {
    if is_path(text) {
        let path = PathBuf::from(text);
        // What is there and no file is told when it is read.
        if path.exists() && !path.is_dir() {
            return Ok(path);
        }
        let what = if path.is_dir() {
            format!("`{text}` is a directory")
        } else {
            format!("there is no file `{text}`")
        };
        return Err(Problem::usage(what)
            .hint("name a pipeline's file, or the name of a pipeline in `pipelines/`"));
    }
    let all = all(project)?;
    let stem = |path: &Path| {
        path.file_stem()
            .map(|stem| stem.to_string_lossy().into_owned())
    };
    let called: Vec<&PathBuf> = all
        .iter()
        .filter(|path| stem(path).as_deref() == Some(text))
        .collect();
    match called.as_slice() {
        [] => {}
        [file] => return Ok((*file).clone()),
        several => {
            let files: Vec<String> = several
                .iter()
                .map(|file| format!("`{}`", shown(project, file)))
                .collect();
            let message = format!(
                "several files hold a pipeline `{text}`: {}",
                files.join(", ")
            );
            return Err(Problem::usage(message).hint("rename all but one"));
        }
    }
    let names: Vec<String> = all.iter().filter_map(|path| stem(path)).collect();
    let hint = suggest::similar(text, names.iter().map(String::as_str)).map_or_else(
        || match names.as_slice() {
            [] => format!("there are no files in {}", directory(project).display()),
            names => format!("there are {}", names.join(", ")),
        },
        |name| format!("did you mean `{name}`?"),
    );
    Err(Problem::usage(format!("there is no pipeline `{text}`")).hint(hint))
}

/// Where the project's pipelines are.
pub(crate) fn directory(project: &Project) -> PathBuf {
    project.path("pipelines")
}

/// The files of all pipelines of the project, by name.
pub(crate) fn all(project: &Project) -> Result<Vec<PathBuf>, Problem> {
    let mut found = Vec::new();
    let mut open = vec![directory(project)];
    while let Some(directory) = open.pop() {
        let entries = match std::fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => {
                return Err(Problem::environment(format!(
                    "cannot read the directory `{}`",
                    directory.display()
                ))
                .because(error));
            }
        };
        for entry in entries.flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if has_extension(&path) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// A file's path as messages show it: relative to the project where it is in it.
pub(crate) fn shown(project: &Project, file: &Path) -> Arc<str> {
    let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    display_name(&absolute, &project.root).into()
}

/// Reads and checks a file, and what it says of other pipelines.
pub(crate) fn check(project: &Project, registry: &Registry, file: &Path) -> Checked {
    check_among(project, registry, file, &OnceCell::new())
}

/// The same among files that are read once for many.
pub(crate) fn check_among(
    project: &Project,
    registry: &Registry,
    file: &Path,
    neighbours: &OnceCell<Neighbours>,
) -> Checked {
    let name = shown(project, file);
    match SourceFile::read(file, name.clone()) {
        Ok(source) => {
            let file = PipelineFile::parse(source);
            let others = if names_pipelines(&file) {
                let neighbours = neighbours.get_or_init(|| read_neighbours(project));
                neighbours.check(&file)
            } else {
                Diagnostics::default()
            };
            judge(project, registry, file, others)
        }
        Err(diagnostic) => Checked {
            name,
            source: None,
            plan: None,
            view: None,
            complaints: Diagnostics::from(diagnostic),
        },
    }
}

/// Checks the version of a pipeline that a run was made of.
pub(crate) fn check_version(
    project: &Project,
    registry: &Registry,
    version: PipelineVersion,
) -> Checked {
    let mut source = SourceFile::new(version.path.as_str(), version.source);
    source.path = project.path(&version.path);
    let file = PipelineFile::parse(source);
    judge(project, registry, file, Diagnostics::default())
}

/// Whether a plan's file reads differently by now; one that is gone does not count.
pub(crate) fn changed(plan: &Plan) -> bool {
    let now = SourceFile::read(&plan.source.file, Arc::clone(&plan.source.path));
    now.is_ok_and(|now| now.text != plan.source.text)
}

/// All pipelines of the project, as far as they can be read; what cannot is complained about elsewhere.
fn read_neighbours(project: &Project) -> Neighbours {
    let mut neighbours = Neighbours::default();
    for file in all(project).unwrap_or_default() {
        if let Ok(source) = SourceFile::read(&file, shown(project, &file)) {
            neighbours.add(&PipelineFile::parse(source));
        }
    }
    neighbours
}

fn judge(
    project: &Project,
    registry: &Registry,
    file: PipelineFile,
    others: Diagnostics,
) -> Checked {
    let (plan, mut complaints) = match compile(&file, registry, project) {
        Ok((plan, warnings)) => (Some(plan), warnings),
        Err(complaints) => (None, complaints),
    };
    complaints.append(others);
    let complaints = complaints.sorted();
    let plan = plan.filter(|_| !complaints.has_errors());
    Checked {
        name: Arc::clone(&file.source.name),
        source: Some(file.source),
        plan,
        view: None,
        complaints,
    }
}

/// The project's files: where child runs find their plans, and the daemon what it starts.
#[derive(Debug)]
pub(crate) struct Files {
    project: RwLock<Arc<Project>>,
    registry: Registry,
    /// What was read of each file, as long as it stays as it is.
    read: Mutex<HashMap<PathBuf, (Stamp, Entry)>>,
}

/// What tells whether a file has changed.
type Stamp = (Option<std::time::SystemTime>, u64);

fn stamp(file: &Path) -> Stamp {
    std::fs::metadata(file).map_or((None, 0), |data| (data.modified().ok(), data.len()))
}

impl Files {
    pub(crate) fn new(project: Arc<Project>, registry: Registry) -> Self {
        Self {
            project: RwLock::new(project),
            registry,
            read: Mutex::default(),
        }
    }

    fn project(&self) -> Arc<Project> {
        Arc::clone(&self.project.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads all files anew, by these settings.
    pub(crate) fn take(&self, project: Arc<Project>) {
        *self.project.write().unwrap_or_else(PoisonError::into_inner) = project;
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.clear();
    }

    /// A file as the daemon sees it; read again only when it has changed.
    fn entry(&self, file: &Path) -> Entry {
        let stamp = stamp(file);
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, entry)) = read.get(file)
            && *known == stamp
        {
            return entry.clone();
        }
        let checked = check(&self.project(), &self.registry, file);
        let entry = Entry {
            name: file
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            path: checked.name.to_string(),
            plan: planned(checked),
        };
        read.insert(file.to_owned(), (stamp, entry.clone()));
        entry
    }
}

/// The plan, or the first thing that is wrong.
fn planned(checked: Checked) -> Result<Arc<Plan>, String> {
    let Some(plan) = checked.plan else {
        let first = checked
            .complaints
            .iter()
            .find(|complaint| complaint.severity == Severity::Error);
        return Err(first.map_or_else(
            || format!("`{}` is not valid", checked.name),
            |complaint| {
                let place = &complaint.place;
                format!("{}:{}: {}", place.file, place.line, complaint.message)
            },
        ));
    };
    Ok(Arc::new(plan))
}

#[async_trait]
impl Library for Files {
    async fn entries(&self) -> Result<Vec<Entry>, String> {
        let files = all(&self.project()).map_err(|problem| problem.to_string())?;
        Ok(files.iter().map(|file| self.entry(file)).collect())
    }

    async fn version(&self, version: PipelineVersion) -> Result<Arc<Plan>, String> {
        planned(check_version(&self.project(), &self.registry, version))
    }
}

#[async_trait]
impl Pipelines for Files {
    async fn plan(&self, name: &str) -> Result<Arc<Plan>, String> {
        let file = find(&self.project(), name).map_err(|problem| problem.to_string())?;
        self.entry(&file).plan
    }
}
