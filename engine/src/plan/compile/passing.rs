//! `persist: false`: datasets that are passed on as plans.
//!
//! A plan can be computed where it was made, once: so there is one reader, in the same process.

use super::Compiler;
use crate::{
    kind::Kind,
    spec::{Mark, codes, file::OutputFile},
};

const HINT: &str =
    "leave `persist: false` out: the dataset is then kept, and whoever wants may read it";

impl Compiler<'_> {
    /// Complains about datasets that are to be passed on and cannot.
    pub(super) fn check_passing(&mut self) {
        for task in 0..self.drafts.len() {
            let persist = self.drafts[task].file.persist.as_ref();
            let Some(mark) = persist
                .filter(|persist| !persist.value)
                .map(|persist| persist.mark)
            else {
                continue;
            };
            if let Some(why) = self.must_be_kept(task) {
                self.not_passed_on(mark, &why);
            }
        }
    }

    fn not_passed_on(&mut self, mark: Mark, why: &str) {
        let message = format!("the dataset has to be kept: {why}");
        self.found
            .error(codes::NOT_PASSED_ON, mark, message)
            .hint(HINT);
    }

    /// Why a task's datasets cannot be passed on as plans.
    fn must_be_kept(&self, task: usize) -> Option<String> {
        let file = self.drafts[task].file;
        let alone = |task: usize| {
            let file = self.drafts[task].file;
            file.isolation.is_some() || file.memory.is_some()
        };
        if !matches!(file.kind.value, Kind::Extract | Kind::Transform) {
            return Some("only `extract` and `transform` can pass on a plan".to_owned());
        }
        if file.foreach.is_some() {
            return Some("the task is repeated".to_owned());
        }
        if alone(task) {
            return Some("the task has a process of its own".to_owned());
        }
        if file.cache.is_some() {
            return Some("`cache` wants to take it again".to_owned());
        }
        let reads = |reader: &usize| {
            let mut sources = self.drafts[*reader]
                .from
                .iter()
                .flat_map(|from| &from.tasks);
            sources.any(|source| source.index() == task)
        };
        let readers: Vec<usize> = (0..self.drafts.len()).filter(reads).collect();
        let shown = self.file.outputs.iter().any(|(_, output)| {
            matches!(output, OutputFile::Dataset(dataset) if dataset.task == file.name.value)
        });
        match *readers {
            _ if shown => Some("the pipeline's `outputs` read it".to_owned()),
            [] => Some("no task reads it".to_owned()),
            [reader] => {
                let name = &self.drafts[reader].file.name.value;
                if self.drafts[reader].file.cache.is_some() {
                    Some(format!("`{name}`, which reads it, has a `cache`"))
                } else if self.drafts[reader].file.foreach.is_some() {
                    Some(format!("`{name}`, which reads it, is repeated"))
                } else if alone(reader) {
                    Some(format!(
                        "`{name}`, which reads it, has a process of its own"
                    ))
                } else {
                    None
                }
            }
            [..] => Some(format!("{} tasks read it", readers.len())),
        }
    }
}
