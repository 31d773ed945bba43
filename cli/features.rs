//! The project's feature views: found and checked as pipelines are.

use std::path::{Path, PathBuf};

use pipectl_engine::{
    project::{
        Project,
        feature::{DIRECTORY, FeatureView},
    },
    spec::{Diagnostics, SourceFile},
};

use crate::{
    exit::Problem,
    pipelines::{Checked, shown},
};

/// Whether a file is one of the project's feature views.
pub(crate) fn is_view(project: &Project, file: &Path) -> bool {
    let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    absolute.parent() == Some(project.path(DIRECTORY).as_path())
}

/// The files of the project's views, by name.
pub(crate) fn files(project: &Project) -> Result<Vec<PathBuf>, Problem> {
    let names = FeatureView::names(project).map_err(|error| {
        let directory = project.path(DIRECTORY);
        Problem::environment(format!(
            "cannot read the directory `{}`",
            directory.display()
        ))
        .because(error)
    })?;
    Ok(names
        .iter()
        .map(|name| FeatureView::file(project, name))
        .collect())
}

/// All views, checked.
pub(crate) fn all(project: &Project) -> Result<Vec<Checked>, Problem> {
    Ok(files(project)?
        .iter()
        .map(|file| check(project, file))
        .collect())
}

/// Reads and checks a view.
pub(crate) fn check(project: &Project, file: &Path) -> Checked {
    let mut checked = Checked {
        name: shown(project, file),
        source: None,
        plan: None,
        view: None,
        complaints: Diagnostics::default(),
    };
    match SourceFile::read(file, checked.name.clone()) {
        Ok(source) => {
            match FeatureView::parse(&source, project) {
                Ok(view) => checked.view = Some(view),
                Err(complaints) => checked.complaints = complaints,
            }
            checked.source = Some(source);
        }
        Err(diagnostic) => checked.complaints = Diagnostics::from(diagnostic),
    }
    checked
}
