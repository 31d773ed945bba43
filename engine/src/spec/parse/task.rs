//! A task.

use std::{str::FromStr, sync::Arc};

use super::{
    super::{
        Mark, codes,
        file::{ForeachFile, IsolationFile, Placed, PoolFile, RetryFile, TaskFile},
        suggest,
        words::{Backoff, TriggerRule},
        yaml::{Entry, Node, NodeValue},
    },
    Reader, Section, TASK_KEYS,
};
use crate::kind::Kind;

/// Keys of ours whose meaning is not built yet.
const NOT_BUILT: &[&str] = &["executor"];

/// Where a task may run.
const ISOLATION: &[(&str, IsolationFile)] = &[("process", IsolationFile::Process)];

/// What other tools call it, and what it is here.
const ELSEWHERE: &[(&str, &str)] = &[
    ("retries", "`retry: {limit: 3}`"),
    ("retry_delay", "`retry: {delay: 10s}`"),
    (
        "depends_on",
        "`needs:`, or `from:` to read what the other task puts out",
    ),
    (
        "depends",
        "`needs:`, or `from:` to read what the other task puts out",
    ),
    (
        "upstream",
        "`needs:`, or `from:` to read what the other task puts out",
    ),
    ("when", "`if:`"),
    ("condition", "`if:`"),
    ("config", "`with:`"),
    ("params", "`with:`"),
    ("inputs", "`from:`"),
    ("for_each", "`foreach:`"),
    ("operator", "the first key: `<kind>: <operator>`"),
    ("type", "the first key: `<kind>: <operator>`"),
    ("continue_on_failure", "`allow_failure: true`"),
];

impl Reader<'_> {
    /// A task with its name.
    pub(super) fn task(&mut self, entry: &Entry) -> Option<TaskFile> {
        let name = self.name(&entry.key, entry.key_mark);
        if matches!(entry.value.value, NodeValue::Null) {
            self.no_sentence(&name.value, entry.key_mark);
            return None;
        }
        let section = self.map(&entry.value, "a task")?;
        self.task_keys(&section);
        let (kind, operator) = self.sentence(&name, &section)?;
        let work = kind.value;
        let from = section.get("from");
        let mut task = TaskFile {
            name,
            kind,
            operator,
            with: section.entry("with").map(|entry| Placed {
                value: entry.value.clone(),
                mark: entry.key_mark,
            }),
            from: from.map(|node| self.inputs(node)).unwrap_or_default(),
            from_is_map: from.is_some_and(|node| matches!(node.value, NodeValue::Map(_))),
            from_mark: section.entry("from").map(|entry| entry.key_mark),
            needs: section
                .get("needs")
                .map(|node| self.texts(node))
                .unwrap_or_default(),
            condition: section
                .get("if")
                .and_then(|node| self.bare_expression(node)),
            foreach: section.get("foreach").and_then(|node| self.foreach(node)),
            trigger_rule: section
                .get("trigger_rule")
                .and_then(|node| self.choice(node, &TriggerRule::ALL)),
            retry: section
                .get("retry")
                .map(|node| self.retry(node))
                .unwrap_or_default(),
            timeout: section.get("timeout").and_then(|node| self.patience(node)),
            pool: section.get("pool").and_then(|node| self.pool(node)),
            priority: section.get("priority").and_then(|node| self.integer(node)),
            allow_failure: false,
            deadline: section.get("deadline").and_then(|node| self.patience(node)),
            isolation: section
                .get("isolation")
                .and_then(|node| self.choice(node, ISOLATION)),
            memory: section.get("memory").and_then(|node| self.memory(node)),
            cache: section.get("cache").and_then(|node| self.cache(work, node)),
            persist: section.get("persist").and_then(|node| {
                let (value, mark) = (self.boolean(node)?, node.mark);
                Some(Placed { value, mark })
            }),
            alerts: section
                .get("alerts")
                .map(|node| self.alerts(node))
                .unwrap_or_default(),
            description: None,
        };
        task.allow_failure = section
            .get("allow_failure")
            .and_then(|node| self.boolean(node))
            .unwrap_or_default();
        task.description = section
            .get("description")
            .and_then(|node| self.text(node))
            .map(|text| text.value.to_string());
        Some(task)
    }

    fn task_keys(&mut self, section: &Section<'_>) {
        for entry in section.entries() {
            if NOT_BUILT.contains(&&*entry.key) {
                self.not_built(&entry.key, entry.key_mark);
            } else if !TASK_KEYS.contains(&&*entry.key) && Kind::from_str(&entry.key).is_err() {
                self.unknown_task_key(entry);
            }
        }
    }

    fn unknown_task_key(&mut self, entry: &Entry) {
        let kinds = Kind::ALL.map(Kind::name);
        let looks_like_kind = suggest::similar(&entry.key, kinds);
        let looks_like_key = suggest::similar(&entry.key, TASK_KEYS.iter().copied());
        if let (Some(kind), None) = (looks_like_kind, looks_like_key) {
            self.found
                .error(
                    codes::UNKNOWN_KIND,
                    entry.key_mark,
                    format!("unknown kind of work `{}`", entry.key),
                )
                .hint(format!("did you mean `{kind}`?"));
            return;
        }
        let elsewhere = ELSEWHERE.iter().find(|(word, _)| **word == *entry.key);
        if let Some((_, ours)) = elsewhere {
            self.found
                .error(
                    codes::UNKNOWN_KEY,
                    entry.key_mark,
                    format!("unknown key `{}` in a task", entry.key),
                )
                .hint(format!("here it is {ours}"));
            return;
        }
        let hint = match looks_like_key {
            Some(key) => format!("did you mean `{key}`?"),
            None => "settings of the operator belong under `with:`".to_owned(),
        };
        self.found
            .error(
                codes::UNKNOWN_KEY,
                entry.key_mark,
                format!("unknown key `{}` in a task", entry.key),
            )
            .hint(hint);
    }

    /// `<kind>: <operator>`, the first key.
    fn sentence(
        &mut self,
        name: &Placed<Arc<str>>,
        section: &Section<'_>,
    ) -> Option<(Placed<Kind>, Placed<Arc<str>>)> {
        let kinds: Vec<(Kind, &Entry)> = section
            .entries()
            .iter()
            .filter_map(|entry| Some((Kind::from_str(&entry.key).ok()?, entry)))
            .collect();
        let Some((kind, entry)) = kinds.first() else {
            let misspelt = section.entries().first().is_some_and(|entry| {
                !TASK_KEYS.contains(&&*entry.key)
                    && suggest::similar(&entry.key, Kind::ALL.map(Kind::name)).is_some()
            });
            if !misspelt {
                self.no_sentence(&name.value, name.mark);
            }
            return None;
        };
        if let Some((_, second)) = kinds.get(1) {
            self.found
                .error(
                    codes::SENTENCE,
                    second.key_mark,
                    format!("the task `{}` has two operators", name.value),
                )
                .hint("one task does one thing; make two tasks of it");
        }
        if section
            .entries()
            .first()
            .is_some_and(|first| first.key_mark != entry.key_mark)
        {
            self.found
                .error(
                    codes::SENTENCE,
                    entry.key_mark,
                    format!("`{kind}:` is not the first key of its task"),
                )
                .hint("a task reads as a sentence: put it first");
        }
        if matches!(entry.value.value, NodeValue::Null) {
            self.found
                .error(
                    codes::SENTENCE,
                    entry.key_mark,
                    format!("`{kind}:` names no operator"),
                )
                .hint("`pipectl operators` lists them all");
            return None;
        }
        let operator = self.text(&entry.value)?;
        Some((
            Placed {
                value: *kind,
                mark: entry.key_mark,
            },
            operator,
        ))
    }

    fn no_sentence(&mut self, name: &str, mark: Mark) {
        self.found
            .error(
                codes::SENTENCE,
                mark,
                format!("the task `{name}` does not say what it does"),
            )
            .hint("its first key is `<kind>: <operator>`, such as `extract: csv`");
    }

    /// The text of a bare expression; `${{ }}` round it is taken off.
    pub(crate) fn bare_expression(&mut self, node: &Node) -> Option<Placed<Arc<str>>> {
        let text: Arc<str> = match &node.value {
            NodeValue::Text(text) => text.clone(),
            NodeValue::Bool(value) => value.to_string().into(),
            _ => {
                self.wrong_type(node, "an expression");
                return None;
            }
        };
        let inner = text
            .trim()
            .strip_prefix("${{")
            .and_then(|rest| rest.strip_suffix("}}"));
        let value = inner.map_or_else(|| text.trim().into(), |inner| inner.trim().into());
        Some(Placed {
            value,
            mark: node.mark,
        })
    }

    fn foreach(&mut self, node: &Node) -> Option<ForeachFile> {
        let section = self.section(node, "`foreach`", &["items", "parallel"])?;
        let parallel = section.get("parallel").and_then(|node| self.count(node, 1));
        let Some(items) = section.get("items") else {
            self.found
                .error(codes::MISSING_KEY, section.mark, "`foreach` has no `items`")
                .hint("`foreach: {items: [a, b]}` or an expression that gives a list");
            return None;
        };
        if !matches!(items.value, NodeValue::List(_) | NodeValue::Text(_)) {
            self.wrong_type(items, "a list or an expression");
            return None;
        }
        Some(ForeachFile {
            items: items.clone(),
            parallel,
        })
    }

    pub(super) fn retry(&mut self, node: &Node) -> RetryFile {
        const KEYS: &[&str] = &["limit", "delay", "backoff", "max_delay"];
        if let NodeValue::Number(number) = &node.value {
            self.found
                .error(
                    codes::WRONG_TYPE,
                    node.mark,
                    "`retry` must be a map, not a whole number",
                )
                .hint(format!("`retry: {{limit: {number}}}`"));
            return RetryFile::default();
        }
        let Some(section) = self.section(node, "`retry`", KEYS) else {
            return RetryFile::default();
        };
        RetryFile {
            limit: section.get("limit").and_then(|node| self.count(node, 0)),
            delay: section.get("delay").and_then(|node| self.duration(node)),
            backoff: section.get("backoff").and_then(|node| {
                self.choice(
                    node,
                    &[
                        ("fixed", Backoff::Fixed),
                        ("exponential", Backoff::Exponential),
                    ],
                )
            }),
            max_delay: section
                .get("max_delay")
                .and_then(|node| self.duration(node)),
        }
    }

    /// `pool: name` or `pool: {name, slots}`.
    pub(super) fn pool(&mut self, node: &Node) -> Option<Placed<PoolFile>> {
        if !matches!(node.value, NodeValue::Map(_)) {
            let text = self.text(node)?;
            return Some(Placed {
                value: PoolFile {
                    name: text.value.to_string(),
                    slots: 1,
                },
                mark: node.mark,
            });
        }
        let section = self.section(node, "`pool`", &["name", "slots"])?;
        let slots = section
            .get("slots")
            .and_then(|node| self.count(node, 1))
            .unwrap_or(1);
        let Some(name) = section.get("name") else {
            self.found
                .error(codes::MISSING_KEY, section.mark, "`pool` has no `name`");
            return None;
        };
        let text = self.text(name)?;
        Some(Placed {
            value: PoolFile {
                name: text.value.to_string(),
                slots,
            },
            mark: name.mark,
        })
    }
}
