//! What an operator says, before it runs, that it will put out.

use polars::prelude::SchemaRef;

/// The datasets and values that a task will have, as far as its settings tell.
#[derive(Clone, Debug, Default)]
pub struct Outputs {
    /// The datasets; the first one is the main one, which the task's bare name stands for.
    pub datasets: Vec<DatasetOutput>,
    /// The values, read by `${{ tasks.<task>.<value> }}`.
    pub values: Vec<ValueOutput>,
    /// Whether there may be more, which only a run can tell: a script's, a child run's.
    pub open: bool,
}

/// A dataset that a task will put out.
#[derive(Clone, Debug)]
pub struct DatasetOutput {
    /// Its name; that of a task's only dataset is `data` and need not be written.
    pub name: String,
    /// Its columns, where they are known before the task runs.
    pub schema: Option<SchemaRef>,
}

/// A value that a task will put out.
#[derive(Clone, Debug)]
pub struct ValueOutput {
    /// Its name.
    pub name: String,
    /// Its type.
    pub of: ValueType,
    /// What it is, for the reference page.
    pub description: &'static str,
}

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueType {
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// Any number.
    Number,
    /// True or false.
    Boolean,
    /// Anything that JSON can say.
    Any,
}

impl Outputs {
    /// The name of a task's only dataset.
    pub const MAIN: &'static str = "data";

    /// Nothing but the run's own values.
    pub fn none() -> Self {
        Self::default()
    }

    /// One dataset.
    pub fn table() -> Self {
        Self::tables([Self::MAIN])
    }

    /// Several named datasets, the main one first.
    pub fn tables<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Self {
        let datasets = names
            .into_iter()
            .map(|name| DatasetOutput {
                name: name.into(),
                schema: None,
            })
            .collect();
        Self {
            datasets,
            ..Self::default()
        }
    }

    /// Whatever a run will put out: any name is accepted before.
    pub fn open() -> Self {
        Self {
            open: true,
            ..Self::default()
        }
    }

    /// Adds a value.
    #[must_use]
    pub fn value(
        mut self,
        name: impl Into<String>,
        of: ValueType,
        description: &'static str,
    ) -> Self {
        self.values.push(ValueOutput {
            name: name.into(),
            of,
            description,
        });
        self
    }
}
