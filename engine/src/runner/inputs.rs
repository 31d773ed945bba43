//! What tasks have put out in this run, and what other tasks read of it.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use indexmap::IndexMap;
use polars::prelude::{LazyFrame, UnionArgs, concat};
use serde_json::{Map, Value};

use super::{Parts, persist, scope::TaskView};
use crate::{
    dataset::{Dataset, StoredDataset},
    operator::{Inputs, TaskError},
    plan::{InputBinding, Plan, TaskIndex},
    state::TaskState,
    store::OutputRecord,
};

/// Frames larger than this are read again from the artifact store rather than kept in memory.
const KEPT_IN_MEMORY: usize = 256 << 20;

/// The value by which a task says which feature views it has read.
const FEATURE_VIEWS: &str = "feature_views";

fn sources(from: &[InputBinding]) -> impl Iterator<Item = TaskIndex> + '_ {
    from.iter().flat_map(|binding| &binding.tasks).copied()
}

/// A dataset that a task has put out.
#[derive(Clone, Debug)]
enum Slot {
    Open(Dataset),
    Stored(StoredDataset),
}

/// What the tasks of a run have put out.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    views: HashMap<TaskIndex, TaskView>,
    datasets: HashMap<TaskIndex, IndexMap<String, Slot>>,
    elements: HashMap<TaskIndex, Vec<Option<Element>>>,
    readers: HashMap<TaskIndex, usize>,
    /// The tasks whose datasets are not kept.
    passing: HashSet<TaskIndex>,
}

/// What one element of a repeated task has put out.
#[derive(Clone, Debug, Default)]
struct Element {
    view: TaskView,
    datasets: IndexMap<String, Slot>,
}

impl Shelf {
    pub(super) fn new(plan: &Plan) -> Self {
        let mut readers = HashMap::new();
        for (_, task) in plan.tasks() {
            for source in task.from.iter().flat_map(|binding| &binding.tasks) {
                *readers.entry(*source).or_insert(0) += 1;
            }
        }
        let passing = plan.tasks().filter(|(_, task)| !task.persist);
        Self {
            readers,
            passing: passing.map(|(index, _)| index).collect(),
            ..Self::default()
        }
    }

    /// Keeps what a task has put out.
    pub(super) fn put(
        &mut self,
        task: TaskIndex,
        record: &OutputRecord,
        datasets: Vec<(String, Dataset)>,
    ) {
        self.views.insert(task, view(record));
        self.datasets
            .insert(task, self.slots(task, record, datasets));
    }

    /// Keeps what an element has put out.
    pub(super) fn put_element(
        &mut self,
        task: TaskIndex,
        element: u32,
        record: &OutputRecord,
        datasets: Vec<(String, Dataset)>,
    ) {
        let slots = self.slots(task, record, datasets);
        let elements = self.elements.entry(task).or_default();
        let index = element as usize;
        if elements.len() <= index {
            elements.resize(index + 1, None);
        }
        elements[index] = Some(Element {
            view: view(record),
            datasets: slots,
        });
    }

    fn slots(
        &self,
        task: TaskIndex,
        record: &OutputRecord,
        datasets: Vec<(String, Dataset)>,
    ) -> IndexMap<String, Slot> {
        let wanted = self.readers.get(&task).is_some_and(|readers| *readers > 0);
        let mut slots: IndexMap<String, Slot> = record
            .datasets
            .iter()
            .map(|stored| (stored.name.clone(), Slot::Stored(stored.clone())))
            .collect();
        for (name, dataset) in datasets {
            let small = dataset
                .in_memory()
                .is_none_or(|frame| frame.estimated_size() <= KEPT_IN_MEMORY);
            if (wanted && small) || !slots.contains_key(&name) {
                slots.insert(name, Slot::Open(dataset));
            }
        }
        slots
    }

    pub(super) fn set_state(&mut self, task: TaskIndex, state: TaskState) {
        self.views.entry(task).or_default().state = state;
    }

    /// What `tasks.<name>` shows.
    pub(super) fn view(&self, task: TaskIndex) -> Option<Value> {
        self.views.get(&task).map(TaskView::to_json)
    }

    /// The versions of the feature views that went into what is read: those that the tasks it comes from, and the tasks
    /// before them, have put out as their value `feature_views`.
    pub(super) fn feature_views(
        &self,
        plan: &Plan,
        from: &[InputBinding],
    ) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        let mut open: Vec<TaskIndex> = sources(from).collect();
        let mut seen = HashSet::new();
        while let Some(task) = open.pop() {
            if !seen.insert(task) {
                continue;
            }
            let views = self
                .views
                .get(&task)
                .and_then(|view| view.values.get(FEATURE_VIEWS));
            let views = match views {
                Some(Value::Array(elements)) => elements.iter().collect(),
                other => Vec::from_iter(other),
            };
            for (name, version) in views.into_iter().filter_map(Value::as_object).flatten() {
                if let Some(version) = version.as_str() {
                    found.insert(name.clone(), version.to_owned());
                }
            }
            open.extend(sources(&plan.graph[task].from));
        }
        found
    }

    pub(super) fn rows(&self, task: TaskIndex) -> Option<u64> {
        self.views.get(&task)?.rows
    }

    /// A task that read from others is over: frames that nobody else will read are let go.
    pub(super) fn reader_is_done(&mut self, from: &[InputBinding]) {
        for source in from.iter().flat_map(|binding| &binding.tasks) {
            let Some(readers) = self.readers.get_mut(source) else {
                continue;
            };
            *readers = readers.saturating_sub(1);
            if *readers == 0
                && let Some(slots) = self.datasets.get_mut(source)
            {
                for slot in slots.values_mut() {
                    if let Slot::Open(dataset) = slot
                        && let Some(stored) = dataset.stored()
                    {
                        *slot = Slot::Stored(stored.clone());
                    }
                }
                // What was only passed on is of no use to anybody any more.
                if self.passing.contains(source) {
                    slots.clear();
                }
            }
        }
    }

    /// Gathers what the elements of a repeated task have put out, in their order.
    pub(super) async fn gather(
        &mut self,
        parts: &Arc<Parts>,
        task: TaskIndex,
    ) -> Result<(), TaskError> {
        let elements: Vec<Element> = self
            .elements
            .remove(&task)
            .unwrap_or_default()
            .into_iter()
            .flatten()
            .collect();
        let mut gathered = TaskView {
            state: TaskState::Success,
            ..TaskView::default()
        };
        gathered.values = gather_values(&elements);
        let rows: Vec<u64> = elements
            .iter()
            .filter_map(|element| element.view.rows)
            .collect();
        gathered.rows = (!rows.is_empty()).then(|| rows.iter().sum());
        let names: Vec<String> = elements
            .first()
            .map(|first| first.datasets.keys().cloned().collect())
            .unwrap_or_default();
        let mut slots = IndexMap::new();
        for name in names {
            let mut tables = Vec::with_capacity(elements.len());
            for element in &elements {
                if let Some(slot) = element.datasets.get(&name) {
                    tables.push(slot.open(parts).await?);
                }
            }
            let gathered = persist::blocking({
                let name = name.clone();
                move || concatenate(&name, &tables)
            });
            slots.insert(name, Slot::Open(gathered.await?));
        }
        self.views.insert(task, gathered);
        self.datasets.insert(task, slots);
        Ok(())
    }

    /// The datasets that a task reads.
    pub(super) async fn inputs(
        &self,
        parts: &Arc<Parts>,
        plan: &Plan,
        from: &[InputBinding],
    ) -> Result<Inputs, TaskError> {
        let mut inputs = Vec::with_capacity(from.len());
        for binding in from {
            inputs.push((
                binding.name.clone(),
                self.input(parts, plan, binding).await?,
            ));
        }
        Ok(Inputs::new(inputs))
    }

    /// Where a dataset that was put out is durable.
    pub(super) fn stored(&self, binding: &InputBinding) -> Option<StoredDataset> {
        match self.slot(binding)? {
            Slot::Open(dataset) => dataset.stored().cloned(),
            Slot::Stored(stored) => Some(stored.clone()),
        }
    }

    fn slot(&self, binding: &InputBinding) -> Option<&Slot> {
        let slots = binding
            .tasks
            .iter()
            .find_map(|task| self.datasets.get(task))?;
        match &binding.dataset {
            Some(name) => slots.get(name),
            None => slots.get_index(0).map(|(_, slot)| slot),
        }
    }

    /// One dataset that is read.
    pub(super) async fn input(
        &self,
        parts: &Arc<Parts>,
        plan: &Plan,
        binding: &InputBinding,
    ) -> Result<Dataset, TaskError> {
        let Some(slot) = self.slot(binding) else {
            let names: Vec<&str> = binding
                .tasks
                .iter()
                .map(|task| &*plan.graph[*task].name)
                .collect();
            return Err(TaskError::user(format!("there is no data for `{}`: `{}` has put none out", binding.name, names.join("` or `")))
                .hint("a task that was skipped or failed has no data; see `trigger_rule` and `from: {name: {first: […]}}`"));
        };
        slot.open(parts).await
    }
}

impl Slot {
    async fn open(&self, parts: &Arc<Parts>) -> Result<Dataset, TaskError> {
        match self {
            Self::Open(dataset) => Ok(dataset.clone()),
            Self::Stored(stored) => persist::open(parts, stored.clone()).await,
        }
    }
}

fn view(record: &OutputRecord) -> TaskView {
    TaskView {
        state: TaskState::Success,
        rows: record.datasets.first().map(|dataset| dataset.rows),
        metrics: record.metrics.clone(),
        values: record.values.clone(),
    }
}

/// Each value of the elements as a list.
fn gather_values(elements: &[Element]) -> Map<String, Value> {
    let names: indexmap::IndexSet<&String> = elements
        .iter()
        .flat_map(|element| element.view.values.keys())
        .collect();
    names
        .into_iter()
        .map(|name| {
            let list = elements
                .iter()
                .map(|element| element.view.values.get(name).cloned().unwrap_or_default())
                .collect();
            (name.clone(), Value::Array(list))
        })
        .collect()
}

/// Names and types of columns, for people.
fn columns(table: &Dataset) -> String {
    let columns = table.schema().iter();
    let columns: Vec<String> = columns
        .map(|(name, of)| format!("`{name}` ({of})"))
        .collect();
    columns.join(", ")
}

fn concatenate(name: &str, tables: &[Dataset]) -> Result<Dataset, TaskError> {
    if let Some(first) = tables.first()
        && let Some((index, other)) = tables
            .iter()
            .enumerate()
            .find(|(_, table)| table.schema() != first.schema())
    {
        return Err(TaskError::user(format!(
            "the elements' datasets `{name}` have different columns: element 0 has {}, element {index} has {}",
            columns(first),
            columns(other)
        ))
        .hint("give them the same columns of the same types, by `cast(… as …)` in a `transform: sql` say"));
    }
    let wrong = |error| {
        TaskError::user(format!("cannot gather the elements' datasets `{name}`")).because(error)
    };
    let plans: Vec<LazyFrame> = tables
        .iter()
        .map(Dataset::lazy)
        .collect::<Result<_, _>>()
        .map_err(wrong)?;
    Dataset::from_lazy(concat(plans, UnionArgs::default()).map_err(wrong)?).map_err(wrong)
}
