//! The longest ways through a plan.

use petgraph::algo::toposort;

use super::{Plan, TaskIndex};

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

impl Plan {
    /// The tasks in waves: each task stands one wave behind the last of those it waits for.
    pub fn waves(&self) -> Vec<Vec<TaskIndex>> {
        let mut wave_of = vec![0_usize; self.graph.node_count()];
        let mut waves: Vec<Vec<TaskIndex>> = Vec::new();
        for task in toposort(&self.graph, None).unwrap_or_default() {
            let before = self
                .upstream(task)
                .map(|parent| wave_of[parent.index()] + 1)
                .max();
            let wave = before.unwrap_or(0);
            wave_of[task.index()] = wave;
            if waves.len() <= wave {
                waves.resize_with(wave + 1, Vec::new);
            }
            waves[wave].push(task);
        }
        for wave in &mut waves {
            wave.sort_unstable();
        }
        waves
    }

    /// The longest way from a task without upstream to the end; of several, the one that the file names first.
    pub fn critical_path(&self) -> Vec<TaskIndex> {
        let lengths = longest_paths(self);
        let longest = |tasks: &mut dyn Iterator<Item = TaskIndex>| {
            tasks.max_by_key(|task| (lengths[task.index()], std::cmp::Reverse(task.index())))
        };
        let mut path = Vec::new();
        let mut next = longest(&mut self.graph.node_indices());
        while let Some(task) = next {
            path.push(task);
            next = longest(&mut self.downstream(task));
        }
        path
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use crate::operator::{
        Kind, Operator, Outcome, Output, Outputs, Takes, TaskContext, TaskError,
    };

    struct Nothing;

    impl Operator for Nothing {
        type Config = std::collections::BTreeMap<String, String>;
        const KIND: Kind = Kind::Run;
        const NAME: &'static str = "nothing";
        const SUMMARY: &'static str = "Does nothing.";
        const TAKES: Takes = Takes::Any;

        fn outputs(_: &Self::Config) -> Outputs {
            Outputs::none()
        }

        async fn run(_: Self::Config, _: &TaskContext) -> Result<Outcome, TaskError> {
            Ok(Outcome::Done(Output::default()))
        }
    }

    #[test]
    #[expect(clippy::many_single_char_names, reason = "a drawing of letters")]
    fn waves_and_the_critical_path() {
        let mut plan = testing::plan("p");
        let mut add = |name: &str, upstream: &[_]| {
            testing::add(&mut plan, name, &Nothing, serde_json::json!({}), upstream)
        };
        let a = add("a", &[]);
        let b = add("b", &[a]);
        let c = add("c", &[a]);
        let d = add("d", &[b]);
        let e = add("e", &[c, d]);
        let alone = add("alone", &[]);
        assert_eq!(plan.waves(), [vec![a, alone], vec![b, c], vec![d], vec![e]]);
        assert_eq!(plan.critical_path(), [a, b, d, e]);
        assert_eq!(plan.find("e"), Some(e));
        assert_eq!(plan.find("nobody"), None);
        assert!(plan.mermaid().contains("t0 --> t1"));
        assert!(plan.dot().contains("t2 -> t4;"));
    }
}
