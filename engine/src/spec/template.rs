//! Settings with expressions in their scalars, resolved by replacing parsed nodes, never text.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Expression, ExpressionError, Scope, row};

/// A tree of settings.
#[derive(Clone, Debug)]
pub struct Template(Arc<TemplateNode>);

/// A node of a template.
#[derive(Clone, Debug)]
pub enum TemplateNode {
    /// A subtree without expressions.
    Literal(Value),
    /// A scalar that is one expression: its value keeps its type.
    Whole(Expression),
    /// A scalar of text and expressions: its value is text.
    Parts(Vec<(String, Option<Expression>)>),
    /// SQL, in which each expression is a numbered placeholder; `sql` holds `$1`, `$2`, ….
    Sql {
        /// The statement with placeholders.
        sql: String,
        /// What is bound to them.
        values: Vec<Expression>,
    },
    /// A scalar that is resolved for each row of a table, by the operator itself; `whole` keeps its value's type.
    Row {
        /// Text, each with the expression that follows it.
        parts: Vec<(String, Option<Expression>)>,
        /// Whether it is one expression and nothing else.
        whole: bool,
    },
    /// A list.
    List(Vec<TemplateNode>),
    /// A map.
    Map(Vec<(String, TemplateNode)>),
}

impl Template {
    /// A template of `node`.
    pub fn new(node: TemplateNode) -> Self {
        Self(Arc::new(node))
    }

    /// A template without expressions.
    pub fn literal(value: Value) -> Self {
        Self::new(TemplateNode::Literal(value))
    }

    /// Its root.
    pub fn node(&self) -> &TemplateNode {
        &self.0
    }

    /// All expressions in it.
    pub fn expressions(&self) -> Vec<&Expression> {
        let mut found = Vec::new();
        self.0.collect(&mut found);
        found
    }

    /// The settings with every expression replaced by its value.
    ///
    /// # Errors
    /// When an expression has no value.
    pub fn resolve(&self, scope: &Scope) -> Result<Value, ExpressionError> {
        self.0.resolve(scope)
    }
}

impl TemplateNode {
    fn collect<'a>(&'a self, found: &mut Vec<&'a Expression>) {
        match self {
            Self::Literal(_) => {}
            Self::Whole(expression) => found.push(expression),
            Self::Parts(parts) | Self::Row { parts, .. } => found.extend(
                parts
                    .iter()
                    .filter_map(|(_, expression)| expression.as_ref()),
            ),
            Self::Sql { values, .. } => found.extend(values),
            Self::List(items) => items.iter().for_each(|item| item.collect(found)),
            Self::Map(entries) => entries.iter().for_each(|(_, node)| node.collect(found)),
        }
    }

    fn resolve(&self, scope: &Scope) -> Result<Value, ExpressionError> {
        Ok(match self {
            Self::Literal(value) => value.clone(),
            Self::Whole(expression) => expression.evaluate(scope)?,
            Self::Parts(parts) => {
                let mut text = String::new();
                for (literal, expression) in parts {
                    text.push_str(literal);
                    if let Some(expression) = expression {
                        text.push_str(&plain(&expression.evaluate(scope)?));
                    }
                }
                Value::String(text)
            }
            Self::Sql { sql, values } => {
                let values = values
                    .iter()
                    .map(|value| value.evaluate(scope))
                    .collect::<Result<Vec<_>, _>>()?;
                serde_json::json!({"sql": sql, "values": values})
            }
            Self::Row { parts, whole } => row::kept(parts, *whole, scope),
            Self::List(items) => Value::Array(
                items
                    .iter()
                    .map(|item| item.resolve(scope))
                    .collect::<Result<_, _>>()?,
            ),
            Self::Map(entries) => Value::Object(
                entries
                    .iter()
                    .map(|(key, node)| Ok((key.clone(), node.resolve(scope)?)))
                    .collect::<Result<Map<_, _>, ExpressionError>>()?,
            ),
        })
    }
}

/// A value within text: strings as they are, the rest as JSON.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}
