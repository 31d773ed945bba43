//! What `run: pipeline` gives to the pipeline that it starts, against the parameters that one has.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    operator::Kind,
    spec::{
        Diagnostic, Diagnostics, PipelineFile, codes, suggest,
        words::{ParamSpec, type_name},
        yaml::{Entry, Node, NodeValue},
    },
};

/// The parameters of each pipeline.
pub(super) type Params = BTreeMap<Arc<str>, BTreeMap<Arc<str>, ParamSpec>>;

/// The parameters of a file.
pub(super) fn params(file: &PipelineFile) -> BTreeMap<Arc<str>, ParamSpec> {
    let params = file.params.iter();
    params
        .map(|(name, spec)| (Arc::clone(&name.value), spec.clone()))
        .collect()
}

/// Complains of what a file's tasks give to pipelines that do not take it, and of what they do not give.
pub(super) fn check(file: &PipelineFile, known: &Params, found: &mut Diagnostics) {
    for task in &file.tasks {
        let (Kind::Run, "pipeline", Some(with)) =
            (task.kind.value, &*task.operator.value, &task.with)
        else {
            continue;
        };
        let Some(pipeline) = with.value.get("pipeline") else {
            continue;
        };
        // What an expression names is known only when the task runs.
        let NodeValue::Text(name) = &pipeline.value else {
            continue;
        };
        if let Some(wanted) = known.get(name) {
            let given = match with.value.get("params").map(|node| &node.value) {
                None => &[][..],
                Some(NodeValue::Map(entries)) => entries,
                // That it is no map is said elsewhere, and what an expression gives is known only when the task runs.
                Some(_) => continue,
            };
            let child = Child {
                file,
                name,
                pipeline,
                wanted,
            };
            child.check(given, found);
        }
    }
}

struct Child<'a> {
    file: &'a PipelineFile,
    name: &'a str,
    /// Where it is named.
    pipeline: &'a Node,
    wanted: &'a BTreeMap<Arc<str>, ParamSpec>,
}

impl Child<'_> {
    fn check(&self, given: &[Entry], found: &mut Diagnostics) {
        for entry in given {
            let place = self.file.source.place(entry.key_mark);
            let Some(spec) = self.wanted.get(&*entry.key) else {
                let message = format!("`{}` has no parameter `{}`", self.name, entry.key);
                let names = self.wanted.keys().map(|name| &**name);
                found.push(
                    Diagnostic::error(codes::UNKNOWN_PARAM, place, message)
                        .with_hint(suggest::hint(&entry.key, names)),
                );
                continue;
            };
            if let Some(message) = self.unfit(&entry.key, spec, &entry.value) {
                let place = self.file.source.place(entry.value.mark);
                found.push(Diagnostic::error(codes::WRONG_TYPE, place, message));
            }
        }
        let missing: Vec<&str> = self
            .wanted
            .iter()
            .filter(|(name, spec)| {
                spec.default.is_none() && !given.iter().any(|entry| *entry.key == ***name)
            })
            .map(|(name, _)| &**name)
            .collect();
        if !missing.is_empty() {
            let place = self.file.source.place(self.pipeline.mark);
            let message = format!("`{}` needs {}", self.name, suggest::listed(&missing));
            found.push(
                Diagnostic::error(codes::MISSING_SETTING, place, message)
                    .with_hint(format!("write `params: {{{}: …}}`", missing.join(": …, "))),
            );
        }
    }

    /// What is wrong with a value, as far as it is known before the task runs.
    fn unfit(&self, name: &str, spec: &ParamSpec, node: &Node) -> Option<String> {
        let value = node.to_json();
        if value.to_string().contains("${{") {
            return None;
        }
        let nothing = value.is_null()
            && spec
                .default
                .as_ref()
                .is_some_and(serde_json::Value::is_null);
        if !nothing && !spec.of.accepts(&value) {
            return Some(format!(
                "`{name}` of `{}` must be {}, not {}",
                self.name,
                spec.of.phrase(),
                type_name(&value)
            ));
        }
        let choices = spec
            .choices
            .as_ref()
            .filter(|choices| !choices.contains(&value))?;
        let choices: Vec<String> = choices.iter().map(ToString::to_string).collect();
        Some(format!(
            "`{name}` of `{}` must be one of {}, not {value}",
            self.name,
            choices.join(", ")
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{plan::Neighbours, spec::SourceFile};

    #[test]
    fn what_a_child_is_given_is_what_it_takes() {
        let file = |name: &str, text: &str| {
            let text = format!("name: {name}\n{text}");
            PipelineFile::parse(SourceFile::new(format!("pipelines/{name}.yaml"), text))
        };
        let kid = file(
            "kid",
            "params:\n  n: {type: integer}\n  mode: {type: string, default: a, choices: [a, b]}\n  day: {type: string}\ntasks:\n  one: {run: noop}\n",
        );
        let parent = |params: &str| {
            let with = format!("{{pipeline: kid, params: {{{params}}}}}");
            file(
                "parent",
                &format!("tasks:\n  child: {{run: pipeline, with: {with}}}\n"),
            )
        };
        for (params, expected) in [
            ("n: 1, day: x", vec![]),
            (
                "n: \"${{ run.id }}\", day: \"${{ item }}\", mode: b",
                vec![],
            ),
            (
                "m: 1, n: x, day: x",
                vec![
                    "`kid` has no parameter `m`",
                    "`n` of `kid` must be a whole number, not a string",
                ],
            ),
            (
                "mode: c",
                vec![
                    "`mode` of `kid` must be one of \"a\", \"b\", not \"c\"",
                    "`kid` needs `day` and `n`",
                ],
            ),
        ] {
            let parent = parent(params);
            let neighbours = Neighbours::of([&kid, &parent]);
            let found = neighbours.check(&parent);
            let said: Vec<&str> = found.iter().map(|one| one.message.as_str()).collect();
            assert_eq!(said, expected, "{params}");
        }
    }
}
