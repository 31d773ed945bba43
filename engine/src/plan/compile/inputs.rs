//! `from:`: the datasets that tasks read, and the top-level outputs.

use std::sync::Arc;

use indexmap::IndexMap;
use petgraph::graph::NodeIndex;

use super::Compiler;
use crate::{
    operator::Takes,
    plan::{InputBinding, OutputSource},
    spec::{
        Mark, Template, codes,
        file::{DatasetRef, FromFile, OutputFile},
        suggest,
    },
};

impl Compiler<'_> {
    /// Binds what tasks read, and draws the arrows.
    pub(super) fn check_inputs(&mut self) {
        for index in 0..self.drafts.len() {
            let task = self.drafts[index].file;
            let mut bindings: Vec<InputBinding> = Vec::new();
            for input in &task.from {
                let Some(binding) = self.binding(input, index) else {
                    continue;
                };
                if bindings.iter().any(|other| other.name == binding.name) {
                    let mark = input
                        .sources
                        .first()
                        .map_or(task.name.mark, |source| source.mark);
                    self.found
                        .error(
                            codes::INPUT_CLASH,
                            mark,
                            format!("two inputs are called `{}`", binding.name),
                        )
                        .hint(format!(
                            "give them names: `from: {{{0}: …, other_{0}: …}}`",
                            binding.name
                        ));
                    continue;
                }
                bindings.push(binding);
            }
            self.arity(index);
            for name in &task.needs {
                self.arrow(&name.value, index, name.mark);
            }
            self.drafts[index].from = bindings;
        }
    }

    fn binding(&mut self, input: &FromFile, index: usize) -> Option<InputBinding> {
        let first = input.sources.first()?;
        let name = input.called()?;
        let mut tasks = Vec::new();
        for source in &input.sources {
            if let Some(task) = self.arrow(&source.task, index, source.mark) {
                self.dataset(source, task);
                tasks.push(NodeIndex::new(task));
            }
            if source.dataset != first.dataset {
                self.found
                    .error(
                        codes::WRONG_INPUTS,
                        source.mark,
                        "all tasks of `first` must put out the same dataset",
                    )
                    .hint("write `first: [a.part, b.part]` or `first: [a, b]`");
            }
        }
        let dataset = first.dataset.as_ref().map(ToString::to_string);
        Some(InputBinding {
            name: name.to_string(),
            tasks,
            dataset,
        })
    }

    /// An arrow from the task called `name`, which is complained about when it does not exist.
    pub(super) fn arrow(&mut self, name: &Arc<str>, target: usize, mark: Mark) -> Option<usize> {
        let source = self.names.look_up(name, mark, &mut self.found)?;
        if source == target {
            self.found.error(
                codes::SELF_REFERENCE,
                mark,
                format!("the task `{name}` waits for itself"),
            );
            return None;
        }
        self.drafts[target].upstream.push((source, mark));
        Some(source)
    }

    /// Complains about a dataset that its task does not put out.
    fn dataset(&mut self, wanted: &DatasetRef, task: usize) {
        let Some(known) = self.drafts[task].datasets() else {
            return;
        };
        let message = match &wanted.dataset {
            Some(name) if known.contains(&&**name) => return,
            None if !known.is_empty() => return,
            Some(name) => format!("the task `{}` puts out no dataset `{name}`", wanted.task),
            None => format!("the task `{}` puts out no dataset", wanted.task),
        };
        let hint = match &wanted.dataset {
            Some(name) if !known.is_empty() => suggest::hint(name, known),
            _ => format!("for order without data, write `needs: {}`", wanted.task),
        };
        self.found
            .error(codes::UNKNOWN_DATASET, wanted.mark, message)
            .hint(hint);
    }

    /// Whether there are as many inputs as the operator takes.
    fn arity(&mut self, index: usize) {
        let task = self.drafts[index].file;
        let Some(operator) = self.drafts[index].operator else {
            return;
        };
        let count = task.from.len();
        if count == 0 && task.from_mark.is_some() {
            return;
        }
        let what = format!("`{}: {}`", operator.kind(), operator.name());
        let (message, hint) = match operator.takes() {
            Takes::Nothing if count > 0 => (
                format!("{what} reads no dataset"),
                "for order without data, use `needs:`".to_owned(),
            ),
            Takes::One | Takes::Many if count == 0 => (
                format!("{what} needs a dataset to read"),
                "name it: `from: <task>`".to_owned(),
            ),
            Takes::One | Takes::Optional if count > 1 => (
                format!("{what} reads one dataset, not {count}"),
                "join them first, with `transform: sql`".to_owned(),
            ),
            Takes::Named(names) => return self.named(index, names, &[], &what),
            Takes::NamedAnd { needed, optional } => {
                return self.named(index, needed, optional, &what);
            }
            _ => return,
        };
        let mark = task.from_mark.unwrap_or(task.operator.mark);
        self.found
            .error(codes::WRONG_INPUTS, mark, message)
            .hint(hint);
    }

    fn named(&mut self, index: usize, names: &[&str], optional: &[&str], what: &str) {
        let task = self.drafts[index].file;
        let mark = task.from_mark.unwrap_or(task.operator.mark);
        let form = names
            .iter()
            .map(|name| format!("{name}: …"))
            .collect::<Vec<_>>()
            .join(", ");
        let hint = format!("`from: {{{form}}}`");
        if !task.from_is_map {
            self.found
                .error(
                    codes::WRONG_INPUTS,
                    mark,
                    format!("{what} needs the datasets {}", suggest::listed(names)),
                )
                .hint(hint);
            return;
        }
        let given: Vec<_> = task
            .from
            .iter()
            .filter_map(|input| input.name.as_ref())
            .collect();
        for name in names
            .iter()
            .filter(|name| !given.iter().any(|given| *given.value == ***name))
        {
            self.found
                .error(
                    codes::WRONG_INPUTS,
                    mark,
                    format!("{what} needs the dataset `{name}`"),
                )
                .hint(&hint);
        }
        for name in given
            .into_iter()
            .filter(|given| !names.contains(&&*given.value) && !optional.contains(&&*given.value))
        {
            let known = names.iter().chain(optional).copied();
            self.found
                .error(
                    codes::WRONG_INPUTS,
                    name.mark,
                    format!("{what} reads no dataset `{}`", name.value),
                )
                .hint(suggest::hint(&name.value, known));
        }
    }

    /// The top-level outputs.
    pub(super) fn check_outputs(&mut self) -> IndexMap<String, OutputSource> {
        let file = self.file;
        let mut outputs = IndexMap::new();
        for (name, output) in &file.outputs {
            let source = match output {
                OutputFile::Value(node) => {
                    OutputSource::Value(Template::new(self.free_value(node, None)))
                }
                OutputFile::Dataset(wanted) => {
                    let task = self
                        .names
                        .look_up(&wanted.task, wanted.mark, &mut self.found);
                    let Some(task) = task else { continue };
                    self.dataset(wanted, task);
                    OutputSource::Dataset(InputBinding {
                        name: name.value.to_string(),
                        tasks: vec![NodeIndex::new(task)],
                        dataset: wanted.dataset.as_ref().map(ToString::to_string),
                    })
                }
            };
            outputs.insert(name.value.to_string(), source);
        }
        outputs
    }
}
