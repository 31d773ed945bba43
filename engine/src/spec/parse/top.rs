//! The top level of a pipeline.

use std::sync::Arc;

use super::{
    super::{
        Diagnostics, Found, Mark, SourceFile, codes,
        file::{Defaults, OutputFile, PipelineFile, Placed},
        yaml::{self, Node, NodeValue},
    },
    Reader, Section,
};
use crate::alert::{Alert, AlertKind};

/// The keys of the top level.
pub const TOP_KEYS: &[&str] = &[
    "version",
    "name",
    "description",
    "tags",
    "schedule",
    "params",
    "defaults",
    "alerts",
    "deadline",
    "max_active_runs",
    "history",
    "interval",
    "outputs",
    "tasks",
    "tests",
];

/// The engine's keys of a task, beside its sentence and `with`.
pub const TASK_KEYS: &[&str] = &[
    "with",
    "from",
    "needs",
    "if",
    "foreach",
    "trigger_rule",
    "retry",
    "timeout",
    "pool",
    "priority",
    "isolation",
    "memory",
    "executor",
    "cache",
    "persist",
    "allow_failure",
    "deadline",
    "alerts",
    "description",
];

impl PipelineFile {
    /// Reads a file. What is wrong with it is in [`complaints`](Self::complaints).
    pub fn parse(source: SourceFile) -> Self {
        let mut found = Found::new(source.name.clone());
        let root = yaml::parse(&source, &mut found);
        let mut file = Self {
            source,
            name: None,
            description: None,
            tags: Vec::new(),
            schedule: None,
            schedule_names: Vec::new(),
            params: Vec::new(),
            defaults: Defaults::default(),
            alerts: Vec::new(),
            deadline: None,
            max_active_runs: None,
            history: None,
            interval: None,
            outputs: Vec::new(),
            tasks: Vec::new(),
            unreadable: Vec::new(),
            unreadable_params: Vec::new(),
            tests: Vec::new(),
            complaints: Diagnostics::default(),
        };
        if let Some(root) = &root {
            let mut reader = Reader { found: &mut found };
            if let Some(section) = reader.section(root, "a pipeline", TOP_KEYS) {
                reader.top(&section, &mut file);
            }
        }
        file.complaints = found.into_diagnostics();
        file
    }
}

impl Reader<'_> {
    fn top(&mut self, section: &Section<'_>, file: &mut PipelineFile) {
        self.identity(section, file);
        if let Some(entry) = section.entry("schedule")
            && let Some((value, names)) = self.schedule(&entry.value)
        {
            let mark = entry.key_mark;
            file.schedule = Some(Placed { value, mark });
            file.schedule_names = names;
        }
        if let Some(node) = section.get("interval") {
            file.interval = self.cadence(node).map(|value| Placed {
                value,
                mark: node.mark,
            });
        }
        if let Some(node) = section.get("params") {
            file.params = self.params(node);
            let is_read = |key: &Arc<str>| file.params.iter().any(|(name, _)| name.value == *key);
            if let NodeValue::Map(entries) = &node.value {
                let keys = entries.iter().map(|entry| Arc::clone(&entry.key));
                file.unreadable_params = keys.filter(|key| !is_read(key)).collect();
            }
        }
        if let Some(node) = section.get("defaults") {
            file.defaults = self.defaults(node);
        }
        file.alerts = section
            .get("alerts")
            .map(|node| self.alerts(node))
            .unwrap_or_default();
        file.deadline = section.get("deadline").and_then(|node| self.patience(node));
        file.max_active_runs = section
            .get("max_active_runs")
            .and_then(|node| self.count(node, 1));
        file.history = section.get("history").and_then(|node| self.retention(node));
        if let Some(node) = section.get("outputs") {
            file.outputs = self.outputs(node);
        }
        self.tasks(section, file);
        if let Some(node) = section.get("tests") {
            file.tests = self.tests(node);
        }
    }

    fn identity(&mut self, section: &Section<'_>, file: &mut PipelineFile) {
        if let Some(node) = section.get("version")
            && self.integer(node).is_some_and(|version| version != 1)
        {
            self.found
                .error(
                    codes::VERSION,
                    node.mark,
                    "this version of the dialect is not known",
                )
                .hint("this program knows `version: 1`");
        }
        file.name = section.get("name").and_then(|node| {
            let text = self.text(node)?;
            Some(self.name(&text.value, text.mark))
        });
        if section.get("name").is_none() {
            self.found
                .error(
                    codes::MISSING_KEY,
                    section.mark,
                    "the pipeline has no `name`",
                )
                .hint("its name is that of its file without `.yaml`");
        }
        file.description = section
            .get("description")
            .and_then(|node| self.text(node))
            .map(|text| text.value.to_string());
        if let Some(node) = section.get("tags") {
            file.tags = self
                .texts(node)
                .into_iter()
                .map(|tag| tag.value.to_string())
                .collect();
        }
    }

    fn tasks(&mut self, section: &Section<'_>, file: &mut PipelineFile) {
        let Some(entry) = section.entry("tasks") else {
            self.found.error(
                codes::MISSING_KEY,
                section.mark,
                "the pipeline has no `tasks`",
            );
            return;
        };
        let Some(tasks) = self.map(&entry.value, "a map of tasks") else {
            return;
        };
        if tasks.entries().is_empty() {
            self.found.error(
                codes::MISSING_KEY,
                entry.key_mark,
                "the pipeline has no tasks",
            );
        }
        for entry in tasks.entries() {
            match self.task(entry) {
                Some(task) => file.tasks.push(task),
                None => file.unreadable.push(entry.key.clone()),
            }
        }
    }

    fn defaults(&mut self, node: &Node) -> Defaults {
        const KEYS: &[&str] = &["retry", "timeout", "pool", "priority"];
        let Some(section) = self.section(node, "`defaults`", KEYS) else {
            return Defaults::default();
        };
        Defaults {
            retry: section
                .get("retry")
                .map(|node| self.retry(node))
                .unwrap_or_default(),
            timeout: section.get("timeout").and_then(|node| self.patience(node)),
            pool: section.get("pool").and_then(|node| self.pool(node)),
            priority: section.get("priority").and_then(|node| self.integer(node)),
        }
    }

    /// A list of alerts.
    pub(crate) fn alerts(&mut self, node: &Node) -> Vec<Alert> {
        const KINDS: &[(&str, AlertKind)] = &[
            ("failure", AlertKind::Failure),
            ("recovery", AlertKind::Recovery),
            ("warning", AlertKind::Warning),
            ("deadline", AlertKind::Deadline),
        ];
        let mut alerts = Vec::new();
        for item in self.items(node) {
            let Some(section) = self.section(item, "an alert", &["when", "email"]) else {
                continue;
            };
            let when = match section.get("when") {
                None => vec![AlertKind::Failure],
                Some(node) => self
                    .items(node)
                    .iter()
                    .filter_map(|item| self.choice(item, KINDS))
                    .collect(),
            };
            let Some(node) = section.get("email") else {
                self.found
                    .error(codes::MISSING_KEY, section.mark, "the alert has no `email`")
                    .hint("`email: [team@example.com]`");
                continue;
            };
            let mut email = Vec::new();
            for address in self.texts(node) {
                if !is_address(&address.value) {
                    self.found.error(
                        codes::OUT_OF_RANGE,
                        address.mark,
                        format!("`{}` is not a mail address", address.value),
                    );
                }
                email.push(address.value.to_string());
            }
            alerts.push(Alert { when, email });
        }
        alerts
    }

    fn outputs(&mut self, node: &Node) -> Vec<(Placed<Arc<str>>, OutputFile)> {
        let Some(section) = self.map(node, "a map of outputs") else {
            return Vec::new();
        };
        let mut outputs = Vec::new();
        for entry in section.entries() {
            let name = self.name(&entry.key, entry.key_mark);
            let output = match &entry.value.value {
                NodeValue::Map(_) => {
                    let from = self.section(&entry.value, "an output", &["from"]);
                    let Some(node) = from.and_then(|section| section.get("from")) else {
                        self.found
                            .error(
                                codes::MISSING_KEY,
                                entry.value.mark,
                                "this output has no `from`",
                            )
                            .hint("a value is `\"${{ … }}\"`, a dataset `{from: task}`");
                        continue;
                    };
                    let Some(dataset) = self.dataset(node) else {
                        continue;
                    };
                    OutputFile::Dataset(dataset)
                }
                _ => OutputFile::Value(entry.value.clone()),
            };
            outputs.push((name, output));
        }
        outputs
    }

    /// A key of ours that is not built yet.
    pub(super) fn not_built(&mut self, key: &str, mark: Mark) {
        self.found
            .error(codes::NOT_BUILT, mark, format!("`{key}` is not built yet"))
            .hint("leave it out: without it the pipeline would run other than it says");
    }
}

fn is_address(text: &str) -> bool {
    text.split_once('@').is_some_and(|(user, host)| {
        !user.is_empty()
            && !host.is_empty()
            && !host.contains('@')
            && !text.contains(char::is_whitespace)
    })
}
