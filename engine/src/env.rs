//! The door to the environment: read once, passed on as data.

use std::collections::BTreeMap;

/// A snapshot of the environment's variables.
#[derive(Clone, Debug, Default)]
pub struct Env {
    variables: BTreeMap<String, String>,
    /// The names of those whose value is not UTF-8.
    unreadable: Vec<String>,
}

impl Env {
    /// The process's environment; of variables that are not UTF-8 only the names are kept.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the door to the environment"
    )]
    pub fn system() -> Self {
        let mut env = Self::default();
        for (name, value) in std::env::vars_os() {
            let Ok(name) = name.into_string() else {
                continue;
            };
            match value.into_string() {
                Ok(value) => drop(env.variables.insert(name, value)),
                Err(_) => env.unreadable.push(name),
            }
        }
        env
    }

    /// The value of a variable; an empty one counts as unset.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// Whether a variable is there, but without a value, as a secret that was not handed over.
    pub fn is_empty(&self, name: &str) -> bool {
        self.variables.get(name).is_some_and(String::is_empty)
    }

    /// The variables whose value is not UTF-8.
    pub fn unreadable(&self) -> impl Iterator<Item = &str> {
        self.unreadable.iter().map(String::as_str)
    }

    /// The same environment with further variables, or other values of some.
    #[must_use]
    pub fn with(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        self.variables.extend(variables);
        self
    }

    /// The variables without a value whose name starts with `prefix`, by the rest of their name.
    pub fn empty_with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        let empty = self.variables.iter().filter(|(_, value)| value.is_empty());
        empty.filter_map(move |(name, _)| name.strip_prefix(prefix))
    }

    /// All variables with a value whose name starts with `prefix`, as (rest of the name, value).
    pub fn with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.variables
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, value.as_str())))
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Env {
    fn from(variables: [(&str, &str); N]) -> Self {
        let variables = variables.into_iter();
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self::default().with(variables)
    }
}
