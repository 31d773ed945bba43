//! The scheduler of one run.

use std::collections::HashMap;

use petgraph::graph::NodeIndex;

use super::{
    Upstreams, Verdict,
    group::Group,
    ready::{Rank, Ready},
};
use crate::{
    failpoint::{Mistake, planted},
    plan::{Plan, TaskIndex, TriggerRule},
    state::{IllegalTransition, RunState, TaskEvent, TaskState, next},
};

/// What is started: a task, or one element of a repeated task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Unit {
    /// The task.
    pub task: TaskIndex,
    /// The element, counted from 0.
    pub element: Option<u32>,
}

impl From<TaskIndex> for Unit {
    fn from(task: TaskIndex) -> Self {
        Self {
            task,
            element: None,
        }
    }
}

/// What the scheduler has decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The task's trigger rule is met: answer with [`Scheduler::expand`] when it is repeated, else with
    /// [`TaskEvent::Schedule`] or [`TaskEvent::Skip`].
    Ready(TaskIndex),
    /// The element's turn has come: answer with [`TaskEvent::Schedule`] or [`TaskEvent::Skip`].
    ElementReady(Unit),
    /// The task will not run.
    Ended(TaskIndex, TaskState),
    /// All elements are final: answer with [`Scheduler::close`].
    Gathered(TaskIndex, TaskState),
}

#[derive(Debug)]
struct Node {
    rule: TriggerRule,
    pool: usize,
    rank: Rank,
    upstreams: Upstreams,
    decided: bool,
    state: TaskState,
    allow_failure: bool,
    parallel: Option<u32>,
    group: Option<Box<Group>>,
    children: std::ops::Range<usize>,
}

/// The scheduler of one run.
#[derive(Debug)]
pub struct Scheduler {
    nodes: Vec<Node>,
    /// The children of all nodes, one after the other.
    children: Vec<u32>,
    pools: Vec<Option<String>>,
    ready: Ready,
    unfinished: usize,
    /// Tasks whose final state has not been told to their children.
    finished: Vec<(usize, TaskState)>,
}

impl Scheduler {
    /// A scheduler for a run of `plan` in which nothing has happened.
    pub fn new(plan: &Plan) -> Self {
        let paths = crate::plan::longest_paths(plan);
        let mut pools = vec![None];
        let mut known: HashMap<&str, usize> = HashMap::new();
        let mut children = Vec::new();
        let mut nodes = Vec::with_capacity(plan.graph.node_count());
        for (index, task) in plan.tasks() {
            let pool = task.pool.as_ref().map_or(0, |(name, _)| {
                *known.entry(name).or_insert_with(|| {
                    pools.push(Some(name.clone()));
                    pools.len() - 1
                })
            });
            let start = children.len();
            children.extend(
                plan.downstream(index)
                    .map(|child| u32::try_from(child.index()).unwrap_or(u32::MAX)),
            );
            children[start..].sort_unstable();
            let unique = dedup_from(&mut children, start);
            nodes.push(Node {
                rule: task.trigger_rule,
                pool,
                rank: Rank {
                    priority: task.priority.unwrap_or(0),
                    path: paths[index.index()],
                },
                upstreams: Upstreams::default(),
                decided: false,
                state: TaskState::None,
                allow_failure: task.allow_failure,
                parallel: task.foreach.as_ref().and_then(|foreach| foreach.parallel),
                group: None,
                children: start..unique,
            });
        }
        for child in &children {
            nodes[*child as usize].upstreams.total += 1;
        }
        let unfinished = nodes.len();
        let ready = Ready::new(pools.len());
        Self {
            nodes,
            children,
            pools,
            ready,
            unfinished,
            finished: Vec::new(),
        }
    }

    /// Takes over the final state that a task had before a restart. Call it before [`begin`](Self::begin).
    pub fn restore(&mut self, task: TaskIndex, state: TaskState) {
        let node = &mut self.nodes[task.index()];
        if state.is_final() && !node.state.is_final() {
            node.state = state;
            node.decided = true;
            self.finish(task.index(), state);
        }
    }

    /// Starts: decides for all tasks that depend on nothing open.
    pub fn begin(&mut self, decisions: &mut Vec<Decision>) {
        self.propagate(decisions);
        for index in 0..self.nodes.len() {
            self.decide(index, decisions);
        }
        self.propagate(decisions);
    }

    /// Says what has happened to a unit.
    ///
    /// # Errors
    /// When that cannot have happened in the unit's state.
    pub fn apply(
        &mut self,
        unit: Unit,
        event: TaskEvent,
        decisions: &mut Vec<Decision>,
    ) -> Result<TaskState, IllegalTransition> {
        let index = unit.task.index();
        let node = &mut self.nodes[index];
        let state = if let (Some(element), Some(group)) = (unit.element, &mut node.group) {
            group.apply(element, event)?
        } else {
            node.state = next(node.state, event)?;
            node.state
        };
        if state == TaskState::Scheduled {
            self.ready.push(node.pool, node.rank, unit);
        }
        if state.is_final() {
            if unit.element.is_some() {
                self.advance_group(unit.task, decisions);
            } else {
                self.finish(index, state);
                self.propagate(decisions);
            }
        }
        Ok(state)
    }

    /// Repeats a task for `elements` elements, of which `done` had a final state before a restart.
    pub fn expand(
        &mut self,
        task: TaskIndex,
        elements: u32,
        done: impl IntoIterator<Item = (u32, TaskState)>,
        decisions: &mut Vec<Decision>,
    ) {
        let node = &mut self.nodes[task.index()];
        let mut group = Group::new(elements, node.parallel);
        for (element, state) in done {
            group.restore(element, state);
        }
        node.state = TaskState::Running;
        node.group = Some(Box::new(group));
        self.advance_group(task, decisions);
    }

    /// Closes a repeated task with the state that its elements, or their gathering, have come to.
    pub fn close(&mut self, task: TaskIndex, state: TaskState, decisions: &mut Vec<Decision>) {
        self.nodes[task.index()].state = state;
        self.finish(task.index(), state);
        self.propagate(decisions);
    }

    /// Takes the best unit that is ready and whose pool `free` allows; the pool without a name is `None`.
    pub fn pop(&mut self, mut free: impl FnMut(Option<&str>) -> bool) -> Option<Unit> {
        let pools = &self.pools;
        self.ready.pop(|pool| free(pools[pool].as_deref()))
    }

    /// Puts back a unit that was taken but found too few slots.
    pub fn put_back(&mut self, unit: Unit) {
        let node = &self.nodes[unit.task.index()];
        self.ready.push(node.pool, node.rank, unit);
    }

    /// Whether a unit waits for a slot.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// A unit's state.
    pub fn state(&self, unit: Unit) -> TaskState {
        let node = &self.nodes[unit.task.index()];
        match (unit.element, &node.group) {
            (Some(element), Some(group)) => group.state(element),
            _ => node.state,
        }
    }

    /// Cancels all that is not under way and returns it; units that are running are cancelled when their attempts end.
    pub fn cancel(&mut self, decisions: &mut Vec<Decision>) -> Vec<Unit> {
        self.ready.clear();
        // What could have started, and waits for its answer, may not any more.
        decisions
            .retain(|decision| matches!(decision, Decision::Ended(..) | Decision::Gathered(..)));
        let mut cancelled = Vec::new();
        for node in &mut self.nodes {
            node.decided = true;
            if let Some(group) = &mut node.group {
                group.stop();
            }
        }
        for index in 0..self.nodes.len() {
            let task = NodeIndex::new(index);
            let open: Vec<_> = match &self.nodes[index].group {
                Some(group) => group
                    .open()
                    .map(|(element, state)| {
                        (
                            Unit {
                                task,
                                element: Some(element),
                            },
                            state,
                        )
                    })
                    .collect(),
                None => vec![(Unit::from(task), self.nodes[index].state)],
            };
            for (unit, state) in open {
                if state != TaskState::Running
                    && self.apply(unit, TaskEvent::Cancel, decisions).is_ok()
                {
                    cancelled.push(unit);
                }
            }
        }
        cancelled
    }

    /// Whether every task is final.
    pub fn is_finished(&self) -> bool {
        self.unfinished == 0
    }

    /// What the run has come to: failed when a task failed that does not say `allow_failure`.
    pub fn verdict(&self) -> RunState {
        let cancelled = self
            .nodes
            .iter()
            .any(|node| node.state == TaskState::Cancelled);
        let failed = self
            .nodes
            .iter()
            .any(|node| node.state == TaskState::Failed && !node.allow_failure);
        match (cancelled, failed) {
            (true, _) => RunState::Cancelled,
            (false, true) => RunState::Failed,
            (false, false) => RunState::Success,
        }
    }

    fn advance_group(&mut self, task: TaskIndex, decisions: &mut Vec<Decision>) {
        let Some(group) = &mut self.nodes[task.index()].group else {
            return;
        };
        while let Some(element) = group.release() {
            decisions.push(Decision::ElementReady(Unit {
                task,
                element: Some(element),
            }));
        }
        if let Some(state) = group.verdict() {
            decisions.push(Decision::Gathered(task, state));
        }
    }

    fn finish(&mut self, index: usize, state: TaskState) {
        self.unfinished -= 1;
        self.finished.push((index, state));
    }

    /// Tells the children of finished tasks, and those of the tasks that this finishes, and so on.
    fn propagate(&mut self, decisions: &mut Vec<Decision>) {
        while let Some((index, state)) = self.finished.pop() {
            for position in self.nodes[index].children.clone() {
                let child = self.children[position] as usize;
                if self.nodes[child].upstreams.total > 1 && planted(Mistake::MissedCounter) {
                    continue;
                }
                self.nodes[child].upstreams.count(state);
                self.decide(child, decisions);
            }
        }
    }

    fn decide(&mut self, index: usize, decisions: &mut Vec<Decision>) {
        let node = &mut self.nodes[index];
        if node.decided {
            return;
        }
        let Some(verdict) = node.rule.verdict(&node.upstreams) else {
            return;
        };
        node.decided = true;
        let state = match verdict {
            Verdict::Run => {
                decisions.push(Decision::Ready(NodeIndex::new(index)));
                return;
            }
            Verdict::Skip => TaskState::Skipped,
            Verdict::UpstreamFailed => TaskState::UpstreamFailed,
        };
        node.state = state;
        decisions.push(Decision::Ended(NodeIndex::new(index), state));
        self.finish(index, state);
    }
}

/// Removes repeated values from the sorted tail of `values` and returns its new end.
fn dedup_from(values: &mut Vec<u32>, start: usize) -> usize {
    let mut tail = values.split_off(start);
    tail.dedup();
    values.append(&mut tail);
    values.len()
}
