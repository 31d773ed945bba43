//! The longest ways through a plan.

use petgraph::algo::toposort;

use super::Plan;

/// For each task, by its index, how many tasks are on the longest way from it to the end, itself included.
pub fn longest_paths(plan: &Plan) -> Vec<u32> {
    let mut paths = vec![1_u32; plan.graph.node_count()];
    // A plan has no cycle; if one came here all the same, every task would count as 1.
    for task in toposort(&plan.graph, None)
        .unwrap_or_default()
        .into_iter()
        .rev()
    {
        let below = plan
            .downstream(task)
            .map(|child| paths[child.index()])
            .max()
            .unwrap_or(0);
        paths[task.index()] = below.saturating_add(1);
    }
    paths
}
