//! What pipelines say of each other: who starts whom, across files.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::Arc,
};

use super::children::{self, Params};
use crate::{
    operator::Kind,
    spec::{Diagnostic, Diagnostics, PipelineFile, Place, codes, suggest, yaml::NodeValue},
    trigger::Trigger,
};

/// A pipeline's word about another one.
#[derive(Clone, Debug)]
struct Reference {
    /// The pipeline in whose file it stands.
    of: Arc<str>,
    /// The pipeline that it names.
    other: Arc<str>,
    how: How,
    place: Place,
}

#[derive(Clone, Debug)]
enum How {
    /// The task of this name runs the other pipeline.
    Child(Arc<str>),
    /// The other pipeline's success starts this one, alone or only beside others of the same interval.
    After { alone: bool },
    /// A task waits for the other pipeline.
    Waits(Arc<str>),
}

impl Reference {
    /// The pipeline that starts, and the one that is started.
    fn arrow(&self) -> (&Arc<str>, &Arc<str>) {
        match self.how {
            How::Child(_) => (&self.of, &self.other),
            How::After { .. } | How::Waits(_) => (&self.other, &self.of),
        }
    }

    fn starts(&self) -> bool {
        !matches!(self.how, How::Waits(_))
    }

    fn spelled(&self) -> String {
        let place = format!("{}:{}", self.place.file, self.place.line);
        match &self.how {
            How::Child(task) => format!(
                "`{}` runs `{}` as its task `{task}` ({place})",
                self.of, self.other
            ),
            How::After { .. } => format!("`{}` starts after `{}` ({place})", self.of, self.other),
            How::Waits(task) => format!(
                "`{}` waits for `{}` in its task `{task}` ({place})",
                self.of, self.other
            ),
        }
    }
}

/// The pipelines of a project and what they say of each other.
#[derive(Clone, Debug, Default)]
pub struct Neighbours {
    references: BTreeMap<Arc<str>, Vec<Reference>>,
    params: Params,
    /// Those that a sensor starts.
    sensed: BTreeSet<Arc<str>>,
}

impl Neighbours {
    /// The pipelines in these files.
    pub fn of<'a>(files: impl IntoIterator<Item = &'a PipelineFile>) -> Self {
        let mut neighbours = Self::default();
        for file in files {
            neighbours.add(file);
        }
        neighbours
    }

    /// Adds a pipeline.
    pub fn add(&mut self, file: &PipelineFile) {
        self.references.insert(stem(file), references(file));
        self.params.insert(stem(file), children::params(file));
        let trigger = file
            .schedule
            .as_ref()
            .map(|schedule| &schedule.value.trigger);
        if let Some(Trigger::Sensor(_)) = trigger {
            self.sensed.insert(stem(file));
        } else {
            self.sensed.remove(&stem(file));
        }
    }

    /// What is wrong with what a file says of the others: names of no pipeline, parameters that a child does not have,
    /// successes that never come, and pipelines that start each other.
    pub fn check(&self, file: &PipelineFile) -> Diagnostics {
        let mut found = Diagnostics::default();
        let own = references(file);
        for reference in &own {
            if !self.references.contains_key(&reference.other) {
                found.push(self.unknown(reference));
            }
            if matches!(reference.how, How::After { alone: false })
                && self.sensed.contains(&reference.other)
            {
                found.push(never_follows(reference));
            }
        }
        children::check(file, &self.params, &mut found);
        // Who only waits starts nobody.
        let starts = own.iter().filter(|reference| reference.starts());
        let ways = starts.filter_map(|reference| self.way_round(reference));
        if let Some(way) = ways.min_by_key(Vec::len) {
            let mut names = vec![&**way[0].arrow().0];
            names.extend(way.iter().map(|reference| &**reference.arrow().1));
            let hint: Vec<String> = way.iter().map(|reference| reference.spelled()).collect();
            let message = format!("pipelines start each other: {}", names.join(" → "));
            found.push(
                Diagnostic::error(codes::CYCLE, way[0].place.clone(), message)
                    .with_hint(hint.join("; ")),
            );
        }
        found
    }

    fn unknown(&self, reference: &Reference) -> Diagnostic {
        let names = self.references.keys().map(|name| &**name);
        let hint = match suggest::similar(&reference.other, names) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("it would stand in `pipelines/{}.yaml`", reference.other),
        };
        let message = format!("there is no pipeline `{}`", reference.other);
        Diagnostic::error(codes::UNKNOWN_PIPELINE, reference.place.clone(), message).with_hint(hint)
    }

    /// The shortest way along the arrows that begins with this one and comes back to where it begins.
    fn way_round<'a>(&'a self, first: &'a Reference) -> Option<Vec<&'a Reference>> {
        let (start, next) = first.arrow();
        if start == next {
            return Some(vec![first]);
        }
        let mut arrows: HashMap<&Arc<str>, Vec<&Reference>> = HashMap::new();
        let all = self.references.values().flatten();
        for reference in all.filter(|reference| reference.starts()) {
            arrows
                .entry(reference.arrow().0)
                .or_default()
                .push(reference);
        }
        let mut reached: HashMap<&Arc<str>, &Reference> = HashMap::from([(next, first)]);
        let mut queue = VecDeque::from([next]);
        while let Some(pipeline) = queue.pop_front() {
            for reference in arrows.get(pipeline).into_iter().flatten() {
                let next = reference.arrow().1;
                if reached.contains_key(next) {
                    continue;
                }
                reached.insert(next, reference);
                if next == start {
                    return Some(way_back(start, &reached));
                }
                queue.push_back(next);
            }
        }
        None
    }
}

/// A success that is waited for with an interval, of runs that have none.
fn never_follows(reference: &Reference) -> Diagnostic {
    let message = format!(
        "a sensor starts `{}`: its runs have no interval, and without one `match: all` never fires",
        reference.other
    );
    Diagnostic::warning(codes::NEVER_FIRES, reference.place.clone(), message)
        .with_hint("write `match: any` beside `after`")
}

fn way_back<'a>(
    start: &Arc<str>,
    reached: &HashMap<&Arc<str>, &'a Reference>,
) -> Vec<&'a Reference> {
    let mut way = Vec::new();
    let mut at = start;
    while let Some(reference) = reached.get(at) {
        way.push(*reference);
        at = reference.arrow().0;
        if at == start {
            break;
        }
    }
    way.reverse();
    way
}

/// Whether a file names other pipelines.
pub fn names_pipelines(file: &PipelineFile) -> bool {
    !references(file).is_empty()
}

fn references(file: &PipelineFile) -> Vec<Reference> {
    let of = stem(file);
    let reference = |other: &Arc<str>, how, mark: crate::spec::Mark| Reference {
        of: Arc::clone(&of),
        other: Arc::clone(other),
        how,
        place: file.source.place(mark),
    };
    let tasks = file.tasks.iter().filter_map(|task| {
        if &*task.operator.value != "pipeline" {
            return None;
        }
        let how = match task.kind.value {
            Kind::Run => How::Child,
            Kind::Sensor => How::Waits,
            _ => return None,
        };
        let node = task.with.as_ref()?.value.get("pipeline")?;
        match &node.value {
            // What an expression names is known only when the task runs.
            NodeValue::Text(text) if !text.contains("${{") => Some(reference(
                text,
                how(Arc::clone(&task.name.value)),
                node.mark,
            )),
            _ => None,
        }
    });
    let trigger = file
        .schedule
        .as_ref()
        .map(|schedule| &schedule.value.trigger);
    let after = match trigger {
        Some(Trigger::After { all, .. }) => Some(How::After { alone: !all }),
        _ => None,
    };
    let after = after.into_iter().flat_map(|how| {
        let names = file.schedule_names.iter();
        names.map(move |name| (name, how.clone()))
    });
    let after = after.map(|(name, how)| reference(&name.value, how, name.mark));
    tasks.chain(after).collect()
}

/// The name by which other pipelines know a file.
fn stem(file: &PipelineFile) -> Arc<str> {
    let stem = file.source.path.file_stem();
    stem.map(|stem| stem.to_string_lossy().into())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::SourceFile;

    fn file(name: &str, text: &str) -> PipelineFile {
        let text = format!("name: {name}\n{text}");
        PipelineFile::parse(SourceFile::new(format!("pipelines/{name}.yaml"), text))
    }

    fn runs(name: &str, others: &[&str]) -> PipelineFile {
        let tasks = others.iter().fold(String::new(), |tasks, other| {
            tasks + &format!("  to_{other}: {{run: pipeline, with: {{pipeline: {other}}}}}\n")
        });
        file(name, &format!("tasks:\n  first: {{run: noop}}\n{tasks}"))
    }

    fn after(name: &str, others: &str) -> PipelineFile {
        let text = format!("schedule: {{after: {others}}}\ntasks:\n  first: {{run: noop}}\n");
        file(name, &text)
    }

    fn said(neighbours: &Neighbours, file: &PipelineFile) -> Vec<String> {
        neighbours
            .check(file)
            .iter()
            .map(|complaint| {
                format!(
                    "{}:{} {} ({})",
                    complaint.place.line,
                    complaint.place.column,
                    complaint.message,
                    complaint.hint.as_deref().unwrap_or_default()
                )
            })
            .collect()
    }

    #[test]
    fn names_of_no_pipeline_are_told() {
        let files = [runs("all", &["daily", "dayli"]), after("daily", "[weekly]")];
        let neighbours = Neighbours::of(&files);
        assert_eq!(
            said(&neighbours, &files[0]),
            ["5:46 there is no pipeline `dayli` (did you mean `daily`?)"]
        );
        assert_eq!(
            said(&neighbours, &files[1]),
            ["2:20 there is no pipeline `weekly` (it would stand in `pipelines/weekly.yaml`)"]
        );
        let waits = "tasks:\n  one: {sensor: pipeline, with: {pipeline: OTHER, until: idle}}\n";
        let waits = [("a", "b"), ("b", "a"), ("c", "nobody")]
            .map(|(name, other)| file(name, &waits.replace("OTHER", other)));
        let neighbours = Neighbours::of(&waits);
        assert_eq!(said(&neighbours, &waits[0]), Vec::<String>::new());
        assert_eq!(
            said(&neighbours, &waits[2]),
            ["3:44 there is no pipeline `nobody` (it would stand in `pipelines/nobody.yaml`)"]
        );
        let open = file(
            "open",
            "params: {which: daily}\ntasks:\n  one: {run: pipeline, with: {pipeline: \"${{ params.which }}\"}}\n",
        );
        assert!(!names_pipelines(&open));
    }

    #[test]
    fn what_a_sensor_starts_is_followed_only_alone() {
        let sensed = file(
            "arrivals",
            "schedule: {sensor: arrived}\ntasks:\n  arrived: {sensor: file, with: {path: in/x.csv}}\n",
        );
        let [all, any] = [
            after("all", "arrivals"),
            after("any", "arrivals, match: any"),
        ];
        let neighbours = Neighbours::of([&sensed, &all, &any]);
        assert_eq!(
            said(&neighbours, &all),
            [
                "2:19 a sensor starts `arrivals`: its runs have no interval, and without one `match: all` never fires \
                 (write `match: any` beside `after`)"
            ]
        );
        assert_eq!(said(&neighbours, &any), Vec::<String>::new());
    }

    #[test]
    fn pipelines_that_start_each_other_are_told_with_their_way() {
        let files = [
            runs("a", &["b"]),
            runs("b", &["c"]),
            after("d", "[c]"),
            runs("c", &[]),
            runs("d", &["a"]),
            runs("z", &["a"]),
        ];
        let mut neighbours = Neighbours::of(&files);
        assert_eq!(said(&neighbours, &files[0]), Vec::<String>::new());
        // `d` runs `a`, and starts after `c`, which `a` comes to.
        let both = file(
            "d",
            "schedule: {after: c}\ntasks:\n  first: {run: pipeline, with: {pipeline: a}}\n",
        );
        neighbours.add(&both);
        assert_eq!(
            said(&neighbours, &files[0]),
            [
                "4:42 pipelines start each other: a → b → c → d → a (`a` runs `b` as its task `to_b` (pipelines/a.yaml:4); \
                 `b` runs `c` as its task `to_c` (pipelines/b.yaml:4); `d` starts after `c` (pipelines/d.yaml:2); \
                 `d` runs `a` as its task `first` (pipelines/d.yaml:4))"
            ]
        );
        assert_eq!(said(&neighbours, &both).len(), 1);
        // It leads there, but is no part of it; and the file of `c` says nothing of the others.
        for file in [&files[3], &files[5]] {
            assert_eq!(said(&neighbours, file), Vec::<String>::new());
        }
        for file in [runs("me", &["me"]), after("me", "me")] {
            let said = said(&Neighbours::of([&file]), &file);
            assert!(said[0].contains("start each other: me → me"), "{said:?}");
        }
    }
}
