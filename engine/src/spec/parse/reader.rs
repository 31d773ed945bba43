//! Reads values of ours from nodes, complaining where they are not what they should be.

use std::{sync::Arc, time::Duration};

use super::super::{
    Found, Mark, codes,
    file::Placed,
    suggest,
    yaml::{Entry, Node, NodeValue},
};
use crate::time::parse_duration;

/// Keys that people look for at the top.
const OF_SCHEDULES: [&str; 9] = [
    "after", "catchup", "cron", "end", "every", "overlap", "start", "timezone", "match",
];

/// Reads nodes.
#[derive(Debug)]
pub struct Reader<'a> {
    /// What is wrong.
    pub found: &'a mut Found,
}

/// The entries of a map, of which each key is read once.
#[derive(Debug)]
pub struct Section<'n> {
    /// Where the map stands.
    pub mark: Mark,
    entries: &'n [Entry],
}

impl<'n> Section<'n> {
    /// The entry of a key.
    pub fn entry(&self, key: &str) -> Option<&'n Entry> {
        self.entries.iter().find(|entry| &*entry.key == key)
    }

    /// The value of a key; an empty value counts as not written.
    pub fn get(&self, key: &str) -> Option<&'n Node> {
        self.entry(key)
            .map(|entry| &entry.value)
            .filter(|node| !matches!(node.value, NodeValue::Null))
    }

    /// All entries.
    pub fn entries(&self) -> &'n [Entry] {
        self.entries
    }
}

impl Reader<'_> {
    /// A complaint about the type of a value.
    pub fn wrong_type(&mut self, node: &Node, wanted: &str) {
        let complaint = self.found.error(
            codes::WRONG_TYPE,
            node.mark,
            format!("this must be {wanted}, not {}", node.kind()),
        );
        if node.text().is_some_and(|text| text.contains("${{")) {
            complaint.code = codes::NO_EXPRESSION;
            complaint.message = format!("this must be {wanted}; an expression cannot stand here");
        } else if let Some(hint) = node.hint(wanted) {
            complaint.hint(hint);
        }
    }

    /// A map with any keys.
    pub fn map<'n>(&mut self, node: &'n Node, wanted: &str) -> Option<Section<'n>> {
        match &node.value {
            NodeValue::Map(entries) => Some(Section {
                mark: node.mark,
                entries,
            }),
            NodeValue::Null => Some(Section {
                mark: node.mark,
                entries: &[],
            }),
            _ => {
                self.wrong_type(node, wanted);
                None
            }
        }
    }

    /// A map with keys of a closed list.
    pub fn section<'n>(
        &mut self,
        node: &'n Node,
        what: &str,
        keys: &[&str],
    ) -> Option<Section<'n>> {
        let section = self.map(node, "a map")?;
        self.check_keys(&section, what, keys);
        Some(section)
    }

    /// Complains about keys that are not in the list.
    pub fn check_keys(&mut self, section: &Section<'_>, what: &str, keys: &[&str]) {
        for entry in section.entries {
            if !keys.contains(&&*entry.key) {
                let hint = if OF_SCHEDULES.contains(&&*entry.key) && keys.contains(&"schedule") {
                    format!(
                        "it belongs below `schedule:`, as in `schedule: {{{}: …}}`",
                        entry.key
                    )
                } else {
                    suggest::hint(&entry.key, keys.iter().copied())
                };
                self.found
                    .error(
                        codes::UNKNOWN_KEY,
                        entry.key_mark,
                        format!("unknown key `{}` in {what}", entry.key),
                    )
                    .hint(hint);
            }
        }
    }

    /// Text.
    pub fn text(&mut self, node: &Node) -> Option<Placed<Arc<str>>> {
        let Some(text) = node.text() else {
            self.wrong_type(node, "text");
            return None;
        };
        if text.contains("${{") {
            self.wrong_type(node, "plain text");
            return None;
        }
        Some(Placed {
            value: text.clone(),
            mark: node.mark,
        })
    }

    /// A name of ours: `[a-z][a-z0-9_]*`.
    pub fn name(&mut self, name: &Arc<str>, mark: Mark) -> Placed<Arc<str>> {
        if !is_name(name) {
            self.found
                .error(codes::NAME, mark, format!("`{name}` is not a name"))
                .hint("a name is made of a-z, 0-9 and `_`, and begins with a letter");
        }
        Placed {
            value: name.clone(),
            mark,
        }
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, node: &Node) -> Option<bool> {
        if let NodeValue::Bool(value) = node.value {
            return Some(value);
        }
        self.wrong_type(node, "true or false");
        None
    }

    /// A whole number.
    pub fn integer(&mut self, node: &Node) -> Option<i64> {
        if let NodeValue::Number(number) = &node.value
            && let Some(value) = number.as_i64()
        {
            return Some(value);
        }
        self.wrong_type(node, "a whole number");
        None
    }

    /// A whole number of at least `least`.
    pub fn count(&mut self, node: &Node, least: u32) -> Option<u32> {
        let value = self.integer(node)?;
        match u32::try_from(value) {
            Ok(value) if value >= least => Some(value),
            _ => {
                self.found.error(
                    codes::OUT_OF_RANGE,
                    node.mark,
                    format!("this must be at least {least}, not {value}"),
                );
                None
            }
        }
    }

    /// A duration.
    pub fn duration(&mut self, node: &Node) -> Option<Duration> {
        let text = match &node.value {
            NodeValue::Text(text) if text.contains("${{") => {
                self.wrong_type(node, "a duration");
                return None;
            }
            NodeValue::Text(text) => text.clone(),
            NodeValue::Number(number) => {
                self.found
                    .error(
                        codes::DURATION,
                        node.mark,
                        format!("`{number}` is a duration without a unit"),
                    )
                    .hint(format!(
                        "write for example `{number}s`, `{number}m`, `{number}h` or `{number}d`"
                    ));
                return None;
            }
            _ => {
                self.wrong_type(node, "a duration");
                return None;
            }
        };
        match parse_duration(&text) {
            Ok(duration) => Some(duration),
            Err(message) => {
                self.found.error(codes::DURATION, node.mark, message);
                None
            }
        }
    }

    /// A duration in which something is to happen.
    pub fn patience(&mut self, node: &Node) -> Option<Duration> {
        let duration = self.duration(node)?;
        if duration.is_zero() {
            self.found
                .error(codes::DURATION, node.mark, "in no time nothing can be done")
                .hint("leave the key out where there is to be no limit");
            return None;
        }
        Some(duration)
    }

    /// One of a few words.
    pub fn choice<T: Copy>(&mut self, node: &Node, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(node)?;
        let chosen = choices
            .iter()
            .find(|(name, _)| **name == *text.value)
            .map(|(_, value)| *value);
        if chosen.is_none() {
            self.found
                .error(
                    codes::NOT_A_CHOICE,
                    node.mark,
                    format!("`{}` is not one of the choices", text.value),
                )
                .hint(suggest::hint(
                    &text.value,
                    choices.iter().map(|(name, _)| *name),
                ));
        }
        chosen
    }

    /// A list, or a single value that stands for a list of one.
    pub fn items<'n>(&mut self, node: &'n Node) -> &'n [Node] {
        match &node.value {
            NodeValue::List(items) => items,
            NodeValue::Null => &[],
            _ => std::slice::from_ref(node),
        }
    }

    /// A list of texts, or one text.
    pub fn texts(&mut self, node: &Node) -> Vec<Placed<Arc<str>>> {
        self.items(node)
            .iter()
            .filter_map(|item| self.text(item))
            .collect()
    }
}

/// Whether a text is a name of ours.
pub(crate) fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_lowercase())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}
