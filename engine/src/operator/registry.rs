//! All operators by kind and name.

use std::collections::BTreeMap;

use super::{DynOperator, Kind};

/// The operators that a binary knows.
#[derive(Clone, Default)]
pub struct Registry(BTreeMap<(Kind, &'static str), &'static dyn DynOperator>);

impl Registry {
    /// A registry of `operators`.
    pub fn new(operators: impl IntoIterator<Item = &'static dyn DynOperator>) -> Self {
        Self(
            operators
                .into_iter()
                .map(|operator| ((operator.kind(), operator.name()), operator))
                .collect(),
        )
    }

    /// The operator of this kind and name.
    pub fn get(&self, kind: Kind, name: &str) -> Option<&'static dyn DynOperator> {
        self.0
            .range((kind, "")..)
            .map(|(_, operator)| *operator)
            .take_while(|operator| operator.kind() == kind)
            .find(|operator| operator.name() == name)
    }

    /// All operators of one kind, by name.
    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &'static dyn DynOperator> {
        self.iter().filter(move |operator| operator.kind() == kind)
    }

    /// All operators, by kind and name.
    pub fn iter(&self) -> impl Iterator<Item = &'static dyn DynOperator> {
        self.0.values().copied()
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
