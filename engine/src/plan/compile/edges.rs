//! The arrows that expressions draw, and cycles.

use std::collections::HashSet;

use petgraph::{algo::tarjan_scc, graph::DiGraph};

use super::Compiler;
use crate::spec::{Mark, codes};

impl Compiler<'_> {
    /// Adds the arrows of expressions, and complains about cycles.
    pub(super) fn check_edges(&mut self) {
        let mentions = std::mem::take(&mut self.mentions);
        for mention in &mentions {
            let Some(target) = mention.task else { continue };
            for name in mention.expression.tasks() {
                let Some(source) = self.names.task(name).index() else {
                    continue;
                };
                if source == target {
                    self.found.error(
                        codes::SELF_REFERENCE,
                        mention.mark,
                        format!("the task `{name}` waits for itself"),
                    );
                } else {
                    self.drafts[target].upstream.push((source, mention.mark));
                }
            }
        }
        self.mentions = mentions;
        let mut seen = HashSet::new();
        for draft in &mut self.drafts {
            seen.clear();
            draft.upstream.retain(|(source, _)| seen.insert(*source));
        }
        self.cycles();
    }

    fn cycles(&mut self) {
        let mut graph = DiGraph::<(), (), u32>::with_capacity(self.drafts.len(), self.drafts.len());
        let nodes: Vec<_> = self.drafts.iter().map(|_| graph.add_node(())).collect();
        for (target, draft) in self.drafts.iter().enumerate() {
            for (source, _) in &draft.upstream {
                graph.add_edge(nodes[*source], nodes[target], ());
            }
        }
        for group in tarjan_scc(&graph) {
            if group.len() < 2 {
                continue;
            }
            let mut members: Vec<usize> = group
                .into_iter()
                .map(petgraph::graph::NodeIndex::index)
                .collect();
            members.sort_unstable();
            self.cycle(&members);
        }
    }

    /// Spells one cycle out: the shortest through the first task of the group.
    fn cycle(&mut self, members: &[usize]) {
        let start = members[0];
        let path = self.way_round(start, members);
        let name = |index: usize| self.drafts[index].file.name.value.clone();
        let spelled: Vec<String> = path.iter().map(|index| name(*index).to_string()).collect();
        let places: Vec<String> = path
            .windows(2)
            .map(|pair| {
                let line = self.arrow_mark(pair[0], pair[1]).line;
                format!(
                    "`{}` waits for `{}` in line {line}",
                    name(pair[1]),
                    name(pair[0])
                )
            })
            .collect();
        let last = path
            .windows(2)
            .last()
            .map_or(Mark::START, |pair| self.arrow_mark(pair[0], pair[1]));
        self.found
            .error(
                codes::CYCLE,
                last,
                format!("tasks wait for each other: {}", spelled.join(" → ")),
            )
            .hint(places.join("; "));
    }

    /// From a task along the arrows back to it, by breadth-first search within its group.
    fn way_round(&self, start: usize, members: &[usize]) -> Vec<usize> {
        let inside: HashSet<usize> = members.iter().copied().collect();
        let mut below: std::collections::HashMap<usize, usize> = std::collections::HashMap::new();
        let mut queue = std::collections::VecDeque::from([start]);
        // Walks against the arrows: from a task to those it waits for.
        while let Some(task) = queue.pop_front() {
            for (source, _) in &self.drafts[task].upstream {
                if *source == start {
                    let mut path = vec![start, task];
                    let mut at = task;
                    while at != start {
                        at = below[&at];
                        path.push(at);
                    }
                    return path;
                }
                if inside.contains(source) && !below.contains_key(source) {
                    below.insert(*source, task);
                    queue.push_back(*source);
                }
            }
        }
        vec![start]
    }

    fn arrow_mark(&self, source: usize, target: usize) -> Mark {
        let upstream = &self.drafts[target].upstream;
        upstream
            .iter()
            .find(|(task, _)| *task == source)
            .map_or(Mark::START, |(_, mark)| *mark)
    }
}
