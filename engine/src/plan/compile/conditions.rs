//! `if` and `foreach`.

use super::{Compiler, wanted::Wanted};
use crate::{
    plan::Foreach,
    spec::{
        Template, TemplateNode, codes,
        file::Placed,
        yaml::{Node, NodeValue},
    },
};

impl Compiler<'_> {
    /// Compiles the bare expressions of tasks.
    pub(super) fn check_conditions(&mut self) {
        for index in 0..self.drafts.len() {
            let task = self.drafts[index].file;
            if let Some(condition) = &task.condition {
                self.drafts[index].condition =
                    self.bare(condition, index, None, task.foreach.is_some());
            }
            if let Some(foreach) = &task.foreach {
                let items = self.items(&foreach.items, index);
                self.drafts[index].foreach = items.map(|items| Foreach {
                    items: Template::new(items),
                    parallel: foreach.parallel,
                });
            }
        }
    }

    fn items(&mut self, node: &Node, task: usize) -> Option<TemplateNode> {
        let NodeValue::Text(text) = &node.value else {
            return Some(self.free_value(node, Some(task)));
        };
        let inner = text.trim();
        let inner = inner
            .strip_prefix("${{")
            .and_then(|rest| rest.strip_suffix("}}"))
            .unwrap_or(inner)
            .trim()
            .into();
        let placed = Placed {
            value: inner,
            mark: node.mark,
        };
        let expression = self.bare(&placed, task, Some(Wanted::ITEMS), false)?;
        if expression.paths().next().is_none() {
            let list = expression.evaluate(&crate::spec::Scope::default());
            if list.is_ok_and(|list| !list.is_array()) {
                self.found
                    .error(codes::EXPRESSION_TYPE, node.mark, "this must be a list")
                    .hint("`items: [a, b]`, or an expression that gives a list");
            }
        }
        Some(TemplateNode::Whole(expression))
    }
}
