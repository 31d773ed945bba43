//! All operators by kind and name.

use std::{collections::BTreeMap, sync::Arc};

use super::{DynOperator, Kind};

/// Finds operators that the binary does not bring.
pub trait Finder: Send + Sync {
    /// The operator of this kind and name.
    fn find(&self, kind: Kind, name: &str) -> Option<&'static dyn DynOperator>;
    /// All that can be found now, by kind and name.
    fn all(&self) -> Vec<&'static dyn DynOperator>;
}

/// The operators that a binary knows.
#[derive(Clone, Default)]
pub struct Registry {
    own: BTreeMap<(Kind, &'static str), &'static dyn DynOperator>,
    finder: Option<Arc<dyn Finder>>,
}

impl Registry {
    /// A registry of `operators`.
    pub fn new(operators: impl IntoIterator<Item = &'static dyn DynOperator>) -> Self {
        let own = operators
            .into_iter()
            .map(|operator| ((operator.kind(), operator.name()), operator))
            .collect();
        Self { own, finder: None }
    }

    /// Asks `finder` for what is not its own.
    #[must_use]
    pub fn with_finder(mut self, finder: Arc<dyn Finder>) -> Self {
        self.finder = Some(finder);
        self
    }

    /// The operator of this kind and name: an own one, else one that is found.
    pub fn get(&self, kind: Kind, name: &str) -> Option<&'static dyn DynOperator> {
        let mut of_kind = self
            .own
            .range((kind, "")..)
            .map(|(_, operator)| *operator)
            .take_while(|operator| operator.kind() == kind);
        let own = of_kind.find(|operator| operator.name() == name);
        own.or_else(|| self.finder.as_ref()?.find(kind, name))
    }

    /// The own operators of one kind, by name.
    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &'static dyn DynOperator> {
        self.iter().filter(move |operator| operator.kind() == kind)
    }

    /// The own operators, by kind and name.
    pub fn iter(&self) -> impl Iterator<Item = &'static dyn DynOperator> {
        self.own.values().copied()
    }

    /// The operators that can be found now and that no own one hides, by kind and name.
    pub fn found(&self) -> Vec<&'static dyn DynOperator> {
        let found = self.finder.as_ref().map(|finder| finder.all());
        let mut found = found.unwrap_or_default();
        found.retain(|operator| !self.own.contains_key(&(operator.kind(), operator.name())));
        found
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.own.keys()).finish()
    }
}
