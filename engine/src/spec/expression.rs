//! Expressions: Jinja's, by minijinja, over a scope of plain data.

use std::{collections::BTreeSet, sync::LazyLock};

use minijinja::{Environment, UndefinedBehavior};
use serde_json::{Map, Value};

use super::Place;

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment
});

/// A compiled expression.
#[derive(Clone)]
pub struct Expression {
    source: std::sync::Arc<str>,
    place: Place,
    compiled: std::sync::Arc<minijinja::Expression<'static, 'static>>,
    paths: std::sync::Arc<BTreeSet<String>>,
}

/// Why an expression has no value.
#[derive(Debug, thiserror::Error)]
#[error("`{source_text}`: {message}")]
pub struct ExpressionError {
    /// The expression.
    pub source_text: String,
    /// Where it stands.
    pub place: Place,
    /// What is wrong.
    pub message: String,
}

/// What an expression can see: `params`, `run`, `interval`, `trigger`, `item`, `index`, `env`, `tasks`.
#[derive(Clone, Debug, Default)]
pub struct Scope(Map<String, Value>);

impl Scope {
    /// Puts `value` in scope under `name`.
    pub fn set(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }

    /// Puts what a task has put out in scope: `tasks.<name>`.
    pub fn set_task(&mut self, name: &str, value: Value) {
        let tasks = self
            .0
            .entry("tasks")
            .or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(tasks) = tasks {
            tasks.insert(name.to_owned(), value);
        }
    }
}

impl Expression {
    /// Compiles `source`, which stands at `place`, without `${{ }}`.
    ///
    /// # Errors
    /// When it is not a Jinja expression.
    pub fn compile(source: &str, place: Place) -> Result<Self, ExpressionError> {
        let compiled = ENVIRONMENT
            .compile_expression_owned(source.trim().to_owned())
            .map_err(|error| ExpressionError {
                source_text: source.to_owned(),
                place: place.clone(),
                message: describe(&error),
            })?;
        let paths = compiled.undeclared_variables(true).into_iter().collect();
        Ok(Self {
            source: source.trim().into(),
            place,
            compiled: std::sync::Arc::new(compiled),
            paths: std::sync::Arc::new(paths),
        })
    }

    /// The expression as written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Where it stands.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The dotted paths it reads, such as `tasks.arrived.file`.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.paths.iter().map(String::as_str)
    }

    /// The tasks it reads from.
    pub fn tasks(&self) -> impl Iterator<Item = &str> {
        self.paths()
            .filter_map(|path| path.strip_prefix("tasks.")?.split('.').next())
    }

    /// Its value.
    ///
    /// # Errors
    /// When a name is not in scope or an operation is not possible.
    pub fn evaluate(&self, scope: &Scope) -> Result<Value, ExpressionError> {
        let wrong = |message: String| ExpressionError {
            source_text: self.source.to_string(),
            place: self.place.clone(),
            message,
        };
        let value = self
            .compiled
            .eval(minijinja::Value::from(minijinja::value::Serde(&scope.0)))
            .map_err(|error| wrong(describe(&error)))?;
        if value.is_undefined() {
            return Err(wrong("it has no value here".to_owned()));
        }
        serde_json::to_value(&value).map_err(|error| wrong(error.to_string()))
    }

    /// Whether its value counts as true.
    ///
    /// # Errors
    /// As [`evaluate`](Self::evaluate).
    pub fn is_true(&self, scope: &Scope) -> Result<bool, ExpressionError> {
        Ok(match self.evaluate(scope)? {
            Value::Null => false,
            Value::Bool(value) => value,
            Value::Number(number) => number.as_f64() != Some(0.0),
            Value::String(text) => !text.is_empty(),
            Value::Array(items) => !items.is_empty(),
            Value::Object(map) => !map.is_empty(),
        })
    }
}

fn describe(error: &minijinja::Error) -> String {
    error
        .detail()
        .map_or_else(|| error.kind().to_string(), ToOwned::to_owned)
}

impl std::fmt::Debug for Expression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "${{{{ {} }}}}", self.source)
    }
}
