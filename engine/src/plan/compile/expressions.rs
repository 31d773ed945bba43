//! Checks the names in expressions against what is in scope, and their types where these are known.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    Compiler,
    wanted::{Wanted, output_type},
};
use crate::{
    plan::ParamType,
    project::Project,
    spec::{
        Expression, Found, Mark, PipelineFile, codes,
        file::Placed,
        filters::{FILTERS, FUNCTIONS, TESTS},
        lexer::{self, Use},
        suggest,
    },
    trigger::Trigger,
};

/// An expression in the file.
pub(super) struct Mention {
    /// The expression.
    pub(super) expression: Expression,
    /// Where it stands.
    pub(super) mark: Mark,
    /// The task it belongs to; `None` at the top level.
    pub(super) task: Option<usize>,
    /// What it must be, when it is a whole scalar.
    pub(super) wanted: Option<Wanted>,
    /// Whether `item` and `index` are in scope.
    pub(super) repeated: bool,
}

/// The names that expressions can see.
pub(super) struct Names<'a> {
    tasks: HashMap<&'a str, Option<usize>>,
    pub(super) params: HashMap<&'a str, ParamType>,
    pub(super) used_params: BTreeSet<String>,
    all_params_used: bool,
    interval: bool,
    project: &'a Project,
}

impl<'a> Names<'a> {
    pub(super) fn of(file: &'a PipelineFile, project: &'a Project) -> Self {
        let mut tasks: HashMap<&str, Option<usize>> =
            file.unreadable.iter().map(|name| (&**name, None)).collect();
        tasks.extend(
            file.tasks
                .iter()
                .enumerate()
                .map(|(index, task)| (&*task.name.value, Some(index))),
        );
        Self {
            tasks,
            params: file
                .params
                .iter()
                .map(|(name, spec)| (&*name.value, spec.of))
                .collect(),
            used_params: BTreeSet::new(),
            all_params_used: false,
            interval: file.interval.is_some()
                || file
                    .schedule
                    .as_ref()
                    .is_some_and(|schedule| !matches!(schedule.value.trigger, Trigger::Sensor(_))),
            project,
        }
    }

    /// The task called `name`: `Some(None)` when there is one that could not be read.
    pub(super) fn task(&self, name: &str) -> Option<Option<usize>> {
        self.tasks.get(name).copied()
    }

    /// The hint for a task that does not exist.
    pub(super) fn task_hint(&self, name: &str) -> Option<String> {
        suggest::similar(name, self.tasks.keys().copied())
            .map(|meant| format!("did you mean `{meant}`?"))
    }

    /// Complains about a task that does not exist.
    pub(super) fn unknown_task(&self, name: &str, mark: Mark, found: &mut Found) {
        let complaint = found.error(
            codes::UNKNOWN_TASK,
            mark,
            format!("there is no task `{name}`"),
        );
        if let Some(hint) = self.task_hint(name) {
            complaint.hint(hint);
        }
    }
}

impl Compiler<'_> {
    /// Checks every expression that was found.
    pub(super) fn check_mentions(&mut self) {
        let mentions = std::mem::take(&mut self.mentions);
        for mention in &mentions {
            self.calls(mention);
            let paths: Vec<&str> = mention.expression.paths().collect();
            for path in paths {
                self.path(path, mention);
            }
            self.check_type(mention);
        }
        self.mentions = mentions;
    }

    fn calls(&mut self, mention: &Mention) {
        for (usage, name) in lexer::calls(mention.expression.source()) {
            let (known, what): (&[&str], _) = match usage {
                Use::Filter => (FILTERS, "filter"),
                Use::Test => (TESTS, "test"),
                Use::Function => (FUNCTIONS, "function"),
                Use::Method => {
                    self.found
                        .error(
                            codes::UNKNOWN_FUNCTION,
                            mention.mark,
                            format!("`.{name}(…)` cannot be called"),
                        )
                        .hint(suggest::similar(name, FILTERS.iter().copied()).map_or_else(
                            || "values have no methods; use filters: `value | upper`".to_owned(),
                            |filter| format!("use the filter: `… | {filter}`"),
                        ));
                    continue;
                }
            };
            if !known.contains(&name) {
                self.found
                    .error(
                        codes::UNKNOWN_FUNCTION,
                        mention.mark,
                        format!("unknown {what} `{name}`"),
                    )
                    .hint(suggest::hint(name, known.iter().copied()));
            }
        }
    }

    fn path(&mut self, path: &str, mention: &Mention) {
        let mut parts = path.split('.');
        let root = parts.next().unwrap_or_default();
        let (next, last) = (parts.next(), parts.next());
        match root {
            "params" => self.param(next, mention),
            "run" => self.member("run", next, &["id", "kind", "pipeline"], mention),
            "interval" => {
                if !self.names.interval {
                    self.found
                        .error(
                            codes::NO_INTERVAL,
                            mention.mark,
                            "this pipeline has no interval",
                        )
                        .hint("give it a `schedule`, or declare `interval: 1d`");
                }
                self.member("interval", next, &["start", "end"], mention);
            }
            "item" | "index" if mention.repeated => {}
            "item" | "index" => {
                self.found
                    .error(
                        codes::OUTSIDE_FOREACH,
                        mention.mark,
                        format!("`{root}` stands outside of `foreach`"),
                    )
                    .hint("only the settings, `if` and `from` of a repeated task see it");
            }
            "env" => self.env(next, mention),
            "tasks" => self.task_path(next, last, mention),
            "trigger" => {}
            _ if FUNCTIONS.contains(&root) => {}
            _ => self.unknown_root(root, mention),
        }
    }

    fn unknown_root(&mut self, root: &str, mention: &Mention) {
        if lexer::calls(mention.expression.source()).contains(&(Use::Function, root)) {
            return;
        }
        const ROOTS: [&str; 8] = [
            "params", "run", "interval", "trigger", "item", "index", "env", "tasks",
        ];
        let hint = if let Some(meant) = suggest::similar(root, ROOTS) {
            format!("did you mean `{meant}`?")
        } else if self.names.params.contains_key(root) {
            format!("did you mean `params.{root}`?")
        } else if self.names.tasks.contains_key(root) {
            format!("did you mean `tasks.{root}`?")
        } else if matches!(root, "secret" | "secrets" | "connections") {
            "secrets are never in scope: name the connection in a setting".to_owned()
        } else {
            format!("there are {}", suggest::listed(&ROOTS))
        };
        self.found
            .error(
                codes::UNKNOWN_NAME,
                mention.mark,
                format!("unknown name `{root}`"),
            )
            .hint(hint);
    }

    fn param(&mut self, name: Option<&str>, mention: &Mention) {
        let Some(name) = name else {
            self.names.all_params_used = true;
            return;
        };
        if self.names.params.contains_key(name) {
            self.names.used_params.insert(name.to_owned());
            return;
        }
        let known: Vec<&str> = self
            .file
            .params
            .iter()
            .map(|(name, _)| &*name.value)
            .collect();
        let hint = if known.is_empty() {
            format!("declare it: `params: {{{name}: {{type: string}}}}`")
        } else {
            suggest::hint(name, known)
        };
        self.found
            .error(
                codes::UNKNOWN_PARAM,
                mention.mark,
                format!("the pipeline has no parameter `{name}`"),
            )
            .hint(hint);
    }

    fn member(&mut self, root: &str, name: Option<&str>, known: &[&str], mention: &Mention) {
        if let Some(name) = name.filter(|name| !known.contains(name)) {
            self.found
                .error(
                    codes::UNKNOWN_NAME,
                    mention.mark,
                    format!("`{root}` has no `{name}`"),
                )
                .hint(suggest::hint(name, known.iter().copied()));
        }
    }

    fn env(&mut self, name: Option<&str>, mention: &Mention) {
        let allowed = &self.names.project.allowed_env;
        match name {
            Some(name) if allowed.iter().any(|allowed| allowed == name) => {}
            Some(name) => {
                self.found
                    .error(
                        codes::ENV_NOT_ALLOWED,
                        mention.mark,
                        format!("the variable `{name}` may not be read"),
                    )
                    .hint(format!("add `env: [{name}]` to pipectl.yaml"));
            }
            None => {
                self.found.error(
                    codes::UNKNOWN_NAME,
                    mention.mark,
                    "`env` needs the name of a variable",
                );
            }
        }
    }

    fn task_path(&mut self, name: Option<&str>, output: Option<&str>, mention: &Mention) {
        let Some(name) = name else {
            self.found
                .error(
                    codes::UNKNOWN_NAME,
                    mention.mark,
                    "`tasks` needs the name of a task",
                )
                .hint("write `tasks.<name>.<output>`, so that the file shows what waits for what");
            return;
        };
        let Some(index) = self.names.task(name) else {
            self.names.unknown_task(name, mention.mark, &mut self.found);
            return;
        };
        let (Some(output), Some(index)) = (output, index) else {
            return;
        };
        let Some(outputs) = &self.drafts[index].outputs else {
            return;
        };
        if output_type(outputs, output).is_none() {
            let known: Vec<&str> = outputs
                .values
                .iter()
                .map(|value| value.name.as_str())
                .chain(["state", "rows", "metrics"])
                .collect();
            self.found
                .error(
                    codes::UNKNOWN_OUTPUT,
                    mention.mark,
                    format!("the task `{name}` has no output `{output}`"),
                )
                .hint(suggest::hint(output, known));
        }
    }

    /// Parameters that nothing reads.
    pub(super) fn check_unused_params(&mut self) {
        if self.names.all_params_used {
            return;
        }
        for (name, _) in &self.file.params {
            if !self.names.used_params.contains(&*name.value) {
                self.found
                    .warning(
                        codes::UNUSED_PARAM,
                        name.mark,
                        format!("nothing reads the parameter `{}`", name.value),
                    )
                    .hint(format!(
                        "read it with `${{{{ params.{} }}}}`, or remove it",
                        name.value
                    ));
            }
        }
    }

    /// Compiles an expression and notes it for checking.
    pub(super) fn mention(
        &mut self,
        source: &str,
        mark: Mark,
        task: Option<usize>,
        wanted: Option<Wanted>,
        repeated: bool,
    ) -> Option<Expression> {
        let expression = compile(source, mark, &mut self.found)?;
        self.mentions.push(Mention {
            expression: expression.clone(),
            mark,
            task,
            wanted,
            repeated,
        });
        Some(expression)
    }

    /// Compiles a bare expression.
    pub(super) fn bare(
        &mut self,
        text: &Placed<Arc<str>>,
        task: usize,
        wanted: Option<Wanted>,
        repeated: bool,
    ) -> Option<Expression> {
        self.mention(&text.value, text.mark, Some(task), wanted, repeated)
    }
}

/// Compiles an expression.
pub(super) fn compile(source: &str, mark: Mark, found: &mut Found) -> Option<Expression> {
    if source.trim().is_empty() {
        found.error(codes::EXPRESSION, mark, "the expression is empty");
        return None;
    }
    match Expression::compile(source, mark.place(found.file())) {
        Ok(expression) => Some(expression),
        Err(error) => {
            found.error(
                codes::EXPRESSION,
                mark,
                format!("this is not an expression: {}", error.message),
            );
            None
        }
    }
}
