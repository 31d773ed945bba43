//! Text with `${{ … }}` in it: whole values, values within text, values bound to SQL.

use std::sync::Arc;

use serde_json::Value;

use super::{
    super::{
        expressions::compile,
        shape::{Shape, plain},
        sql,
        wanted::Wanted,
    },
    Notes, Pending, Settled, Walk,
    scalar::PROMOTION_HINT,
};
use crate::{
    operator::{ModelRef, PromotionText, Script, SqlText},
    spec::{
        Expression, Mark, PromotionRule, TemplateNode, codes,
        interpolation::{self, Piece},
        yaml::{Entry, Node, NodeValue},
    },
};

impl Walk<'_> {
    /// Text with `${{ … }}` in it.
    pub(super) fn with_expressions(
        &mut self,
        shape: &Shape,
        node: &Node,
        text: &Arc<str>,
    ) -> Settled {
        let format = self.text_format(shape);
        let unusable = || Settled::literal(shape.sample(self.shapes, 0));
        if format.as_deref() == Some(Script::FORMAT) {
            let mark = self.expression_mark(node.mark, 0);
            self.notes
                .found
                .error(
                    codes::EXPRESSION_IN_SCRIPT,
                    mark,
                    "an expression in a script: no value is pasted into code",
                )
                .hint("pass it by `env:`, and read the variable in the script");
            return unusable();
        }
        if format.as_deref() == Some(PromotionText::FORMAT) {
            return self.promotion(shape, node, text);
        }
        let pieces = match interpolation::split(text) {
            Ok(pieces) => pieces,
            Err(number) => {
                let mark = self.expression_mark(node.mark, number);
                self.notes
                    .found
                    .error(codes::EXPRESSION, mark, "this `${{` has no `}}`")
                    .hint("close it with `}}`");
                return unusable();
            }
        };
        if format.as_deref() == Some(SqlText::FORMAT) {
            return self.sql(&pieces, node);
        }
        if let Some(format @ (ModelRef::FORMAT | ModelRef::NAME_FORMAT)) = format.as_deref() {
            self.names_model(format);
        }
        let whole = interpolation::split(text.trim())
            .ok()
            .filter(|pieces| pieces.len() == 1);
        if let Some([Piece::Expression(inside)]) = whole.as_deref() {
            return self.whole(shape, node, inside);
        }
        self.parts(shape, node, &pieces)
    }

    /// A rule of promotion is evaluated where the champion's measures are known; `${{ }}` around it changes nothing.
    fn promotion(&mut self, shape: &Shape, node: &Node, text: &str) -> Settled {
        let Some(bare) = PromotionRule::bare(text) else {
            let mark = self.expression_mark(node.mark, 0);
            self.notes
                .found
                .error(
                    codes::EXPRESSION,
                    mark,
                    "`${{ }}` within an expression: no value is pasted into code",
                )
                .hint(PROMOTION_HINT);
            return Settled::literal(shape.sample(self.shapes, 0));
        };
        let node = Node {
            mark: node.mark,
            value: NodeValue::Text(bare.into()),
        };
        self.settle(shape, &node, node.mark)
    }

    fn whole(&mut self, shape: &Shape, node: &Node, inside: &str) -> Settled {
        let mark = self.expression_mark(node.mark, 0);
        let wanted = Wanted::of(shape, self.shapes);
        let Some(expression) = compile(inside, mark, &mut self.notes.found) else {
            return Settled::literal(shape.sample(self.shapes, 0));
        };
        let by_row = self.sees_row(&expression);
        self.notes.pending.push(Pending {
            expression: expression.clone(),
            mark,
            wanted: (!by_row).then_some(wanted),
            by_row,
        });
        if by_row {
            self.notes.open.push(self.path.clone());
            return Settled {
                node: TemplateNode::Row {
                    parts: vec![(String::new(), Some(expression))],
                    whole: true,
                },
                sample: shape.sample(self.shapes, 0),
            };
        }
        let sample = self.sample(&expression, shape, mark);
        Settled {
            node: TemplateNode::Whole(expression),
            sample,
        }
    }

    /// Whether an expression here is to be resolved for each row.
    fn sees_row(&self, expression: &Expression) -> bool {
        let setting = self.path.first();
        setting.is_some_and(|setting| self.by_row.contains(&setting.as_str()))
            && expression
                .paths()
                .any(|path| matches!(path.split('.').next(), Some("item" | "index")))
    }

    /// A value for an expression: its own when it is the same in every run, else one that fits.
    fn sample(&mut self, expression: &Expression, shape: &Shape, mark: Mark) -> Value {
        let fixed = expression.paths().next().is_none();
        if fixed {
            match expression.evaluate(self.samples) {
                Ok(value) => {
                    let node = node_of(&value, mark);
                    self.settle(shape, &node, mark);
                    return value;
                }
                Err(error) => {
                    self.notes
                        .found
                        .error(codes::EXPRESSION_FAILS, mark, error.message);
                    return shape.sample(self.shapes, 0);
                }
            }
        }
        self.notes.open.push(self.path.clone());
        let by_default = expression
            .paths()
            .all(|path| path.starts_with("params."))
            .then(|| expression.evaluate(self.samples).ok())
            .flatten();
        if let Some(value) = by_default {
            let scratch = Notes::new(self.notes.found.scratch());
            let before = std::mem::replace(&mut self.notes, scratch);
            let node = node_of(&value, mark);
            self.settle(shape, &node, mark);
            let notes = std::mem::replace(&mut self.notes, before);
            if notes.found.is_empty() {
                return value;
            }
        }
        shape.sample(self.shapes, 0)
    }

    fn parts(&mut self, shape: &Shape, node: &Node, pieces: &[Piece<'_>]) -> Settled {
        const TEXT: Shape = Shape::Text {
            format: None,
            length: [None, None],
            pattern: None,
        };
        let takes_text = Wanted::of(shape, self.shapes).takes_text();
        if !takes_text {
            let wanted = shape.phrase(self.shapes);
            self.notes
                .found
                .error(
                    codes::EXPRESSION_TYPE,
                    node.mark,
                    format!("this must be {wanted}, but it is text"),
                )
                .hint("an expression keeps its type only when it is the whole value");
        }
        let mut parts: Vec<(String, Option<Expression>)> = Vec::new();
        let mut sample = String::new();
        let mut number = 0;
        let mut by_row = false;
        for piece in pieces {
            match piece {
                Piece::Text(text) => {
                    sample.push_str(text);
                    parts.push(((*text).to_owned(), None));
                }
                Piece::Expression(inside) => {
                    let mark = self.expression_mark(node.mark, number);
                    number += 1;
                    let Some(expression) = compile(inside, mark, &mut self.notes.found) else {
                        continue;
                    };
                    let row = self.sees_row(&expression);
                    by_row |= row;
                    self.notes.pending.push(Pending {
                        expression: expression.clone(),
                        mark,
                        wanted: None,
                        by_row: row,
                    });
                    if !row {
                        sample.push_str(&plain(&self.sample(&expression, &Shape::Any, mark)));
                    }
                    match parts.last_mut() {
                        Some((_, slot @ None)) => *slot = Some(expression),
                        _ => parts.push((String::new(), Some(expression))),
                    }
                }
            }
        }
        self.notes.open.push(self.path.clone());
        let fits =
            matches!(self.shapes.follow(shape), Shape::Text { .. } | Shape::Any) || takes_text;
        let sample = if fits {
            Value::String(sample)
        } else {
            TEXT.sample(self.shapes, 0)
        };
        let node = if by_row {
            TemplateNode::Row {
                parts,
                whole: false,
            }
        } else {
            TemplateNode::Parts(parts)
        };
        Settled { node, sample }
    }

    fn sql(&mut self, pieces: &[Piece<'_>], node: &Node) -> Settled {
        let mut values = Vec::new();
        let mut number = 0;
        let statement = sql::placeholders(pieces, |place| {
            let mark = self.expression_mark(node.mark, number);
            number += 1;
            if let Some((message, hint)) = place.wrong() {
                self.notes
                    .found
                    .error(codes::EXPRESSION_IN_SQL, mark, message)
                    .hint(hint);
            }
            if let Some(expression) = compile(place.inside, mark, &mut self.notes.found) {
                self.notes.pending.push(Pending {
                    expression: expression.clone(),
                    mark,
                    wanted: None,
                    by_row: false,
                });
                values.push(expression);
            }
        });
        // Only its values are open, and no operator looks at those: the statement is known.
        let sample =
            serde_json::json!({"sql": statement, "values": vec![Value::Null; values.len()]});
        Settled {
            node: TemplateNode::Sql {
                sql: statement,
                values,
            },
            sample,
        }
    }

    /// The format of a shape that is text, or may be.
    fn text_format(&self, shape: &Shape) -> Option<Arc<str>> {
        match self.shapes.follow(shape) {
            Shape::Text { format, .. } => format.clone(),
            Shape::OneOf(branches) => branches.iter().find_map(|branch| self.text_format(branch)),
            _ => None,
        }
    }

    /// Where the expression with this number stands within a value.
    fn expression_mark(&self, value: Mark, number: usize) -> Mark {
        let text = self.source.slice(value.start, value.end);
        let Some((offset, _)) = text.match_indices("${{").nth(number) else {
            return value;
        };
        let behind = text.get(offset..).unwrap_or_default();
        let length = behind.find("}}").map_or(3, |end| end + 2);
        let at = |bytes: usize| value.start + u32::try_from(bytes).unwrap_or_default();
        self.source
            .mark_within(value, at(offset), at(offset + length))
    }
}

/// A value as a node that stands at one place.
fn node_of(value: &Value, mark: Mark) -> Node {
    let value = match value {
        Value::Null => NodeValue::Null,
        Value::Bool(value) => NodeValue::Bool(*value),
        Value::Number(number) => NodeValue::Number(number.clone()),
        // A value is no template: what looks like an expression in it stays text.
        Value::String(text) => NodeValue::Text(text.replace("${{", "$ {{").into()),
        Value::Array(items) => {
            NodeValue::List(items.iter().map(|item| node_of(item, mark)).collect())
        }
        Value::Object(map) => NodeValue::Map(
            map.iter()
                .map(|(key, value)| Entry {
                    key: key.as_str().into(),
                    key_mark: mark,
                    value: node_of(value, mark),
                })
                .collect(),
        ),
    };
    Node { mark, value }
}
