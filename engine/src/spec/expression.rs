//! Expressions: Jinja's, by minijinja, over a scope of plain data.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, LazyLock},
};

use minijinja::{Environment, ErrorKind, value::Serde};
use serde_json::{Map, Value};

use super::{Place, filters, lexer::dotted};

/// The longest expression, in bytes: what is compiled goes as deep as it is long.
const LONGEST: usize = 4_000;

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(filters::environment);

/// A compiled expression.
#[derive(Clone)]
pub struct Expression {
    source: Arc<str>,
    /// The same with names in subscripts as members.
    dotted: Arc<str>,
    place: Place,
    compiled: Arc<minijinja::Expression<'static, 'static>>,
    paths: Arc<BTreeSet<String>>,
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
///
/// Cloning it copies nothing but what [`set_task`](Self::set_task) has added.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    roots: Arc<Map<String, Value>>,
    tasks: Map<String, Value>,
}

impl Scope {
    /// Puts `value` in scope under `name`.
    pub fn set(&mut self, name: &str, value: Value) {
        match (name, value) {
            ("tasks", Value::Object(tasks)) => self.tasks = tasks,
            (name, value) => {
                Arc::make_mut(&mut self.roots).insert(name.to_owned(), value);
            }
        }
    }

    /// Puts what a task has put out in scope: `tasks.<name>`.
    pub fn set_task(&mut self, name: &str, value: Value) {
        self.tasks.insert(name.to_owned(), value);
    }

    /// What stands under a name at its root.
    pub(super) fn root(&self, name: &str) -> Option<&Value> {
        self.roots.get(name)
    }

    /// What is known of a task.
    pub(super) fn task(&self, name: &str) -> Option<&Value> {
        self.tasks.get(name)
    }

    /// The part of it that an expression with these paths reads.
    fn part<'a>(&self, paths: impl Iterator<Item = &'a str>) -> minijinja::Value {
        let mut part: BTreeMap<&str, minijinja::Value> = BTreeMap::new();
        let mut tasks: BTreeMap<&str, minijinja::Value> = BTreeMap::new();
        for path in paths {
            let mut names = path.split('.');
            let (Some(root), next) = (names.next(), names.next()) else {
                continue;
            };
            if root == "tasks" {
                let wanted = self
                    .tasks
                    .iter()
                    .filter(|(name, _)| next.is_none_or(|next| next == **name));
                tasks
                    .extend(wanted.map(|(name, value)| {
                        (name.as_str(), minijinja::Value::from(Serde(value)))
                    }));
            } else if let Some(value) = self.roots.get(root) {
                part.entry(root)
                    .or_insert_with(|| minijinja::Value::from(Serde(value)));
            }
        }
        if !self.tasks.is_empty() {
            part.insert("tasks", minijinja::Value::from(tasks));
        }
        minijinja::Value::from(part)
    }
}

impl Expression {
    /// Compiles `source`, which stands at `place`, without `${{ }}`.
    ///
    /// # Errors
    /// When it is not a Jinja expression.
    pub fn compile(source: &str, place: Place) -> Result<Self, ExpressionError> {
        if source.len() > LONGEST {
            return Err(ExpressionError {
                source_text: source.chars().take(20).chain("…".chars()).collect(),
                place,
                message: format!(
                    "an expression has at most {LONGEST} bytes, and this one has {}: a long list belongs into a param or a dataset",
                    source.len()
                ),
            });
        }
        let dotted = dotted(source.trim());
        let compiled = ENVIRONMENT
            .compile_expression_owned(dotted.clone())
            .map_err(|error| ExpressionError {
                source_text: source.to_owned(),
                place: place.clone(),
                message: describe(&error),
            })?;
        let paths = compiled.undeclared_variables(true).into_iter().collect();
        Ok(Self {
            source: source.trim().into(),
            dotted: dotted.into(),
            place,
            compiled: Arc::new(compiled),
            paths: Arc::new(paths),
        })
    }

    /// The expression as written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The expression with names in subscripts as members: `a.b` for `a['b']`.
    pub(crate) fn dotted(&self) -> &str {
        &self.dotted
    }

    /// Where it stands.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The dotted paths it reads, such as `tasks.arrived.file`.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.paths.iter().map(String::as_str)
    }

    /// The dotted path that the whole expression is, when it is one.
    pub fn whole_path(&self) -> Option<&str> {
        self.paths
            .first()
            .filter(|path| ***path == *self.dotted)
            .map(String::as_str)
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
            .eval(scope.part(self.paths()))
            .map_err(|error| match self.missing(scope) {
                Some(path) if error.kind() == ErrorKind::UndefinedError => {
                    wrong(format!("`{path}` has no value here"))
                }
                _ => wrong(describe(&error)),
            })?;
        if value.is_undefined() {
            return Err(wrong("it has no value here".to_owned()));
        }
        serde_json::to_value(&value).map_err(|error| wrong(error.to_string()))
    }

    /// A path that it reads and that leads nowhere.
    fn missing(&self, scope: &Scope) -> Option<&str> {
        let led = |path: &str| {
            let mut names = path.split('.');
            let root = names.next()?;
            let start = match root {
                "tasks" => scope.task(names.next()?)?,
                root => scope.root(root)?,
            };
            names.try_fold(start, |at, name| at.get(name))
        };
        let mut paths = self.paths();
        paths.find(|path| !filters::FUNCTIONS.contains(path) && led(path).is_none())
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
    match error.detail() {
        // What Rust says of text that `int` and `float` cannot read.
        Some("invalid float literal" | "invalid digit found in string") => {
            "the text is no number".to_owned()
        }
        Some(detail) => detail.to_owned(),
        None => error.kind().to_string(),
    }
}

impl std::fmt::Debug for Expression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "${{{{ {} }}}}", self.source)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_expression_is_no_book() {
        for part in ["not ", "-", "1+"] {
            let place = || Place::start_of("a.yaml".into());
            let fits = part.repeat((LONGEST - 8) / part.len()) + "1";
            Expression::compile(&fits, place()).unwrap();
            let error = Expression::compile(&part.repeat(50_000), place()).unwrap_err();
            assert!(error.to_string().contains("at most 4000 bytes"), "{error}");
        }
    }

    #[test]
    fn what_has_no_value_is_named() {
        let mut scope = Scope::default();
        scope.set("params", json!({"day": 3}));
        scope.set_task("child", json!({"state": "success"}));
        for (source, path) in [
            ("tasks.child.nothing > 3", "tasks.child.nothing"),
            ("params.day > 3 or item.size > 1", "item.size"),
            (
                "range(3) | length > 3 or tasks.kid.rows + 1",
                "tasks.kid.rows",
            ),
        ] {
            let place = Place::start_of("a.yaml".into());
            let expression = Expression::compile(source, place).unwrap();
            let error = expression.evaluate(&scope).unwrap_err();
            assert_eq!(error.message, format!("`{path}` has no value here"));
        }
    }

    #[test]
    fn text_that_is_no_number_is_said_to_be_none() {
        let mut scope = Scope::default();
        scope.set("params", json!({"day": "x", "part": "5 h"}));
        for source in ["params.day | int > 2", "params.part | float"] {
            let expression = Expression::compile(source, Place::start_of("a.yaml".into())).unwrap();
            let error = expression.evaluate(&scope).unwrap_err().to_string();
            assert!(error.contains("the text is no number"), "{error}");
        }
    }

    #[test]
    fn an_expression_sees_what_is_in_scope() {
        let mut scope = Scope::default();
        scope.set("params", json!({"limit": 7, "city": "Ulm"}));
        scope.set_task("a", json!({"rows": 3, "metrics": {"f1": 0.5}}));
        for (source, value) in [
            ("params.limit", json!(7)),
            ("params.limit + tasks.a.rows", json!(10)),
            (
                "tasks.a.metrics.f1 > 0.4 and params.city == 'Ulm'",
                json!(true),
            ),
        ] {
            let expression = Expression::compile(source, Place::start_of("a.yaml".into())).unwrap();
            assert_eq!(expression.evaluate(&scope).unwrap(), value, "{source}");
        }
    }
}
