//! What an operator finds wrong with its settings, without any input or output.

use crate::connection::Connections;

/// One complaint about one setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// Where: keys and indices under `with`, as in `["columns", "tenure", "between"]`; empty for the whole.
    pub path: Vec<String>,
    /// What is wrong: a lower-case fragment.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// Whether the pipeline may run all the same.
    pub warning: bool,
}

/// What [`Operator::check`](super::Operator::check) has found.
#[derive(Debug, Default)]
pub struct Complaints {
    list: Vec<Complaint>,
    inputs: Option<Vec<String>>,
    connections: Connections,
}

impl Complaints {
    /// Nothing found yet in a task that reads these datasets, where they are known, and has these connections.
    pub fn within(inputs: Option<Vec<String>>, connections: &Connections) -> Self {
        Self {
            list: Vec::new(),
            inputs,
            connections: connections.clone(),
        }
    }

    /// The names of the datasets that the task reads, when they are known.
    pub fn inputs(&self) -> Option<&[String]> {
        self.inputs.as_deref()
    }

    /// The scheme of a connection's address, when it is known: `postgres`, `s3`, `https`.
    pub fn scheme(&self, connection: &str) -> Option<String> {
        let connection = self.connections.get(connection)?;
        Some(connection.scheme())
    }

    /// Adds an error at a setting.
    pub fn error(&mut self, path: &[&str], message: impl Into<String>) -> &mut Complaint {
        self.add(path, message.into(), false)
    }

    /// Adds a warning at a setting.
    pub fn warning(&mut self, path: &[&str], message: impl Into<String>) -> &mut Complaint {
        self.add(path, message.into(), true)
    }

    fn add(&mut self, path: &[&str], message: String, warning: bool) -> &mut Complaint {
        let path = path.iter().map(|part| (*part).to_owned()).collect();
        self.list.push(Complaint {
            path,
            message,
            hint: None,
            warning,
        });
        let last = self.list.len() - 1;
        &mut self.list[last]
    }

    /// What was found, in order.
    pub fn into_vec(self) -> Vec<Complaint> {
        self.list
    }
}

impl Complaint {
    /// Says what to do about it.
    pub fn hint(&mut self, hint: impl Into<String>) -> &mut Self {
        self.hint = Some(hint.into());
        self
    }
}
