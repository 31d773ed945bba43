//! A plan as a picture: Mermaid and DOT.

use std::fmt::Write;

use super::Plan;

impl Plan {
    /// The plan in Mermaid's language.
    pub fn mermaid(&self) -> String {
        let mut text = String::from("flowchart LR\n");
        // Writing to a string cannot fail.
        for (index, task) in self.tasks() {
            writeln!(
                text,
                "    t{}[\"{}<br/><small>{}: {}</small>\"]",
                index.index(),
                task.name,
                task.operator.kind(),
                task.operator.name(),
            )
            .unwrap_or_default();
        }
        for (source, target) in self.arrows() {
            writeln!(text, "    t{source} --> t{target}").unwrap_or_default();
        }
        text
    }

    /// The plan in Graphviz' language.
    pub fn dot(&self) -> String {
        let mut text = format!(
            "digraph {} {{\n    rankdir=LR;\n    node [shape=box];\n",
            self.name
        );
        for (index, task) in self.tasks() {
            writeln!(
                text,
                "    t{} [label=\"{}\\n{}: {}\"];",
                index.index(),
                task.name,
                task.operator.kind(),
                task.operator.name(),
            )
            .unwrap_or_default();
        }
        for (source, target) in self.arrows() {
            writeln!(text, "    t{source} -> t{target};").unwrap_or_default();
        }
        text.push_str("}\n");
        text
    }

    /// The arrows by source and target.
    fn arrows(&self) -> Vec<(usize, usize)> {
        let mut arrows: Vec<(usize, usize)> = self
            .graph
            .edge_indices()
            .filter_map(|edge| self.graph.edge_endpoints(edge))
            .map(|(source, target)| (source.index(), target.index()))
            .collect();
        arrows.sort_unstable();
        arrows
    }
}
