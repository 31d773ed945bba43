//! Settings that see each row of a table as `item`: kept as they are when the others are resolved, with all else that their
//! expressions see, and resolved by the operator for each row.

use serde_json::{Map, Value, json};

use super::{Expression, ExpressionError, Place, Scope, Template, TemplateNode};

/// The key of a map that stands for such a setting.
const MARK: &str = "$item";

/// What is kept of a setting that sees rows.
pub(super) fn kept(parts: &[(String, Option<Expression>)], whole: bool, scope: &Scope) -> Value {
    let expressions = parts
        .iter()
        .filter_map(|(_, expression)| expression.as_ref());
    let paths: Vec<&str> = expressions.flat_map(Expression::paths).collect();
    let parts: Vec<Value> = parts
        .iter()
        .map(|(text, expression)| json!([text, expression.as_ref().map(Expression::source)]))
        .collect();
    json!({MARK: {"parts": parts, "whole": whole, "scope": scope.seen_by(&paths)}})
}

/// Settings of which some see rows.
#[derive(Clone, Debug)]
pub struct RowTemplate {
    template: Template,
    scope: Scope,
}

impl RowTemplate {
    /// Reads resolved settings.
    ///
    /// # Errors
    /// When one of their expressions cannot be read.
    pub fn of(settings: &Value) -> Result<Self, ExpressionError> {
        let mut scope = Scope::default();
        let node = node(settings, &mut scope)?;
        Ok(Self {
            template: Template::new(node),
            scope,
        })
    }

    /// The settings for a row.
    ///
    /// # Errors
    /// When an expression has no value.
    pub fn resolve(&self, item: &Value, index: u64) -> Result<Value, ExpressionError> {
        let mut scope = self.scope.clone();
        scope.set("item", item.clone());
        scope.set("index", index.into());
        self.template.resolve(&scope)
    }
}

fn node(value: &Value, scope: &mut Scope) -> Result<TemplateNode, ExpressionError> {
    Ok(match value {
        Value::Object(map) => match map.get(MARK).filter(|_| map.len() == 1) {
            Some(kept) => row(kept, scope)?,
            None => TemplateNode::Map(
                map.iter()
                    .map(|(key, value)| Ok((key.clone(), node(value, scope)?)))
                    .collect::<Result<_, ExpressionError>>()?,
            ),
        },
        Value::Array(items) => TemplateNode::List(
            items
                .iter()
                .map(|item| node(item, scope))
                .collect::<Result<_, _>>()?,
        ),
        plain => TemplateNode::Literal(plain.clone()),
    })
}

fn row(kept: &Value, scope: &mut Scope) -> Result<TemplateNode, ExpressionError> {
    for (name, value) in kept["scope"].as_object().into_iter().flatten() {
        match value {
            Value::Object(tasks) if name == "tasks" => {
                for (task, value) in tasks {
                    scope.set_task(task, value.clone());
                }
            }
            value => scope.set(name, value.clone()),
        }
    }
    let mut parts = Vec::new();
    for part in kept["parts"].as_array().into_iter().flatten() {
        let text = part[0].as_str().unwrap_or_default().to_owned();
        let place = || Place::start_of("the settings".into());
        let expression = part[1]
            .as_str()
            .map(|source| Expression::compile(source, place()));
        parts.push((text, expression.transpose()?));
    }
    let whole = kept["whole"] == Value::Bool(true);
    Ok(match parts.pop() {
        Some((_, Some(expression))) if whole => TemplateNode::Whole(expression),
        last => {
            parts.extend(last);
            TemplateNode::Parts(parts)
        }
    })
}

impl Scope {
    /// What expressions with these paths see of it, but for rows.
    fn seen_by(&self, paths: &[&str]) -> Map<String, Value> {
        let mut seen = Map::new();
        let mut tasks = Map::new();
        for path in paths {
            let mut names = path.split('.');
            let (root, next) = (names.next().unwrap_or_default(), names.next());
            match (root, next) {
                ("item" | "index", _) => {}
                ("tasks", Some(task)) => {
                    tasks.extend(
                        self.task(task)
                            .map(|value| (task.to_owned(), value.clone())),
                    );
                }
                _ => seen.extend(
                    self.root(root)
                        .map(|value| (root.to_owned(), value.clone())),
                ),
            }
        }
        if !tasks.is_empty() {
            seen.insert("tasks".to_owned(), Value::Object(tasks));
        }
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expression(source: &str) -> Expression {
        Expression::compile(source, Place::start_of("a.yaml".into())).unwrap()
    }

    #[test]
    fn a_row_is_seen_when_it_comes() {
        let mut scope = Scope::default();
        scope.set("params", json!({"unit": "kg", "big": "not needed"}));
        scope.set("env", json!({"SECRET": "never kept"}));
        scope.set_task("a", json!({"rows": 3}));
        let text = TemplateNode::Row {
            parts: vec![
                ("/clients/".to_owned(), Some(expression("item.id"))),
                ("?unit=".to_owned(), Some(expression("params.unit"))),
            ],
            whole: false,
        };
        let whole = TemplateNode::Row {
            parts: vec![(
                String::new(),
                Some(expression("item.value * tasks.a.rows + index")),
            )],
            whole: true,
        };
        let fixed = TemplateNode::Whole(expression("params.unit"));
        let template = Template::new(TemplateNode::Map(vec![
            ("path".to_owned(), text),
            (
                "body".to_owned(),
                TemplateNode::Map(vec![("v".to_owned(), whole), ("u".to_owned(), fixed)]),
            ),
        ]));
        let kept = template.resolve(&scope).unwrap();
        assert!(!kept.to_string().contains("never kept"), "{kept}");
        let rows = RowTemplate::of(&kept).unwrap();
        for (index, expected) in [(0, 6.0), (1, 7.0)] {
            let row = rows
                .resolve(&json!({"id": "x y", "value": 2}), index)
                .unwrap();
            assert_eq!(row["path"], json!("/clients/x y?unit=kg"));
            assert_eq!(
                (row["body"]["v"].as_f64(), &row["body"]["u"]),
                (Some(expected), &json!("kg"))
            );
        }
        let error = rows.resolve(&json!({"value": 2}), 0).unwrap_err();
        assert_eq!(error.source_text, "item.id");
    }
}
