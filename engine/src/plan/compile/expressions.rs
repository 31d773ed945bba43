//! Checks the names in expressions against what is in scope, and their types where these are known.

use std::sync::Arc;

use super::{Compiler, wanted::Wanted, wanted::output_type};
use crate::spec::{
    Diagnostic, Expression, Found, Mark, codes,
    file::Placed,
    filters::{FILTERS, FUNCTIONS, TESTS},
    lexer::{self, Use},
    suggest,
};

/// The names that an expression may begin with.
const ROOTS: [&str; 8] = [
    "params", "run", "interval", "trigger", "item", "index", "env", "tasks",
];

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

impl Mention {
    /// Whether it names something of this root.
    pub(super) fn reads(&self, root: &str) -> bool {
        let mut paths = self.expression.paths();
        paths.any(|path| path.split('.').next() == Some(root))
    }
}

impl Compiler<'_> {
    /// Checks every expression that was found.
    pub(super) fn check_mentions(&mut self) {
        let mut mentions = std::mem::take(&mut self.mentions);
        for mention in &mut mentions {
            self.calls(mention);
            let whole = mention.mark;
            let paths: Vec<String> = mention.expression.paths().map(str::to_owned).collect();
            for path in paths {
                mention.mark = self.file.source.within(whole, &path);
                self.path(&path, mention);
                self.check_members(&path, mention);
            }
            mention.mark = whole;
            self.check_type(mention);
            self.check_comparisons(mention);
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
        let unreadable = &self.file.unreadable_params;
        if unreadable.iter().any(|unreadable| **unreadable == *name) {
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
        let index = self.names.look_up(name, mention.mark, &mut self.found);
        let (Some(index), Some(output)) = (index, output) else {
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
        // What an expression reads that cannot be read nobody knows.
        let unread = |one: &Diagnostic| one.code == codes::EXPRESSION;
        if self.names.all_params_used || self.found.iter().any(unread) {
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
        found
            .error(codes::EXPRESSION, mark, "the expression is empty")
            .hint("write what is meant between `${{` and `}}`, such as `params.day`");
        return None;
    }
    match Expression::compile(source, mark.place(found.file())) {
        Ok(expression) => Some(expression),
        Err(error) => {
            found
                .error(
                    codes::EXPRESSION,
                    mark,
                    format!("this is not an expression: {}", error.message),
                )
                .hint("such as `params.day`, `tasks.scores.rows > 0`, `interval.start | date('%d')`; `pipectl docs pipelines` says more");
            None
        }
    }
}
