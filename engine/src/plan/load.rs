//! From a path to a plan.

use std::path::Path;

use super::{Plan, compile};
use crate::{
    operator::Registry,
    project::Project,
    spec::{Diagnostics, PipelineFile, SourceFile},
};

/// Reads, checks and plans the pipeline at `path`.
///
/// # Errors
/// All complaints, when one of them is an error.
pub fn load_pipeline(
    path: &Path,
    operators: &Registry,
    project: &Project,
) -> Result<(Plan, Diagnostics), Diagnostics> {
    let name = display_name(path, &project.root);
    let source = SourceFile::read(path, name)?;
    compile(&PipelineFile::parse(source), operators, project)
}

/// How messages call a file: relative to the project, with `/`.
pub fn display_name(path: &Path, root: &Path) -> String {
    let within = path.strip_prefix(root).unwrap_or(path);
    let within = within.strip_prefix("./").unwrap_or(within);
    within.to_string_lossy().replace('\\', "/")
}
