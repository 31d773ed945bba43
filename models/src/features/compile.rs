//! SQL text to a typed tree. Errors are reasons, to stand after "cannot be part of a model:".

use sqlparser::ast::{
    BinaryOperator, CaseWhen, CeilFloorKind, DataType, DateTimeField, Expr, UnaryOperator, Value,
};

use crate::data::{ColumnKind, ColumnSpec};
use crate::features::expression::{Expression, Kind, Node, Operation};
use crate::features::read::parse;

pub(super) type Reason<T> = Result<T, String>;

/// Compiles one expression over the columns.
pub(crate) fn compile(sql: &str, columns: &[ColumnSpec]) -> Reason<Expression> {
    let columns = Some(columns);
    Compiler { columns }.expression(&parse(sql)?)
}

/// Looks at what can be seen of an expression before the columns are known.
pub(crate) fn check(sql: &str) -> Reason<()> {
    Compiler { columns: None }
        .expression(&parse(sql)?)
        .map(drop)
}

pub(super) struct Compiler<'a> {
    /// Before they are known any name is a column that fits.
    columns: Option<&'a [ColumnSpec]>,
}

impl Compiler<'_> {
    pub(super) fn expression(&self, parsed: &Expr) -> Reason<Expression> {
        match parsed {
            Expr::Nested(inner) => self.expression(inner),
            Expr::Identifier(name) => self.column(&name.value),
            Expr::Value(literal) => value(&literal.value),
            Expr::UnaryOp { op, expr } => self.unary(*op, expr),
            Expr::BinaryOp { left, op, right } => self.binary(left, op, right),
            Expr::IsNull(inner) => self.is_null(inner),
            Expr::IsNotNull(inner) => Ok(not(self.is_null(inner)?)),
            Expr::InList {
                expr,
                list,
                negated,
            } => self.in_list(expr, list, *negated),
            Expr::Between {
                expr,
                negated,
                low,
                high,
            } => self.between(expr, low, high, *negated),
            Expr::Case {
                operand,
                conditions,
                else_result,
                ..
            } => self.case(operand.as_deref(), conditions, else_result.as_deref()),
            Expr::Cast {
                expr, data_type, ..
            } => self.cast(expr, data_type),
            Expr::Floor {
                expr,
                field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime),
            } => self.numeric(Operation::Floor, expr),
            Expr::Ceil {
                expr,
                field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime),
            } => self.numeric(Operation::Ceiling, expr),
            Expr::Function(function) => self.function(function),
            other => Err(format!("`{other}` is not supported")),
        }
    }

    fn column(&self, name: &str) -> Reason<Expression> {
        let Some(columns) = self.columns else {
            return Ok(Expression {
                kind: Kind::Null,
                node: Node::Column(name.to_owned()),
            });
        };
        let column = columns
            .iter()
            .find(|column| column.name == name)
            .ok_or_else(|| format!("there is no column `{name}`"))?;
        let kind = match column.kind {
            ColumnKind::Number => Kind::Number,
            ColumnKind::Boolean => Kind::Boolean,
            ColumnKind::Text => Kind::Text,
            ColumnKind::Date => return Err(format!("column `{name}` is a date")),
        };
        Ok(Expression {
            kind,
            node: Node::Column(name.to_owned()),
        })
    }

    pub(super) fn of_kind(&self, parsed: &Expr, kind: Kind) -> Reason<Expression> {
        let found = self.expression(parsed)?;
        if found.kind == kind || found.kind == Kind::Null {
            Ok(found)
        } else {
            Err(format!(
                "`{parsed}` is {} where {} is needed",
                found.kind.name(),
                kind.name()
            ))
        }
    }

    pub(super) fn numeric(&self, operation: Operation, parsed: &Expr) -> Reason<Expression> {
        let input = self.of_kind(parsed, Kind::Number)?;
        Ok(Expression::call(Kind::Number, operation, vec![input]))
    }

    fn unary(&self, operator: UnaryOperator, parsed: &Expr) -> Reason<Expression> {
        match operator {
            UnaryOperator::Minus => match self.of_kind(parsed, Kind::Number)? {
                Expression {
                    node: Node::Number(value),
                    ..
                } => Ok(Expression::number(-value)),
                input => Ok(Expression::call(
                    Kind::Number,
                    Operation::Negate,
                    vec![input],
                )),
            },
            UnaryOperator::Plus => self.of_kind(parsed, Kind::Number),
            UnaryOperator::Not => Ok(not(self.of_kind(parsed, Kind::Boolean)?)),
            other => Err(format!("the operator `{other}` is not supported")),
        }
    }

    fn binary(&self, left: &Expr, operator: &BinaryOperator, right: &Expr) -> Reason<Expression> {
        use Operation as To;
        let arithmetic = |operation| -> Reason<Expression> {
            let inputs = vec![
                self.of_kind(left, Kind::Number)?,
                self.of_kind(right, Kind::Number)?,
            ];
            Ok(Expression::call(Kind::Number, operation, inputs))
        };
        let logical = |operation| -> Reason<Expression> {
            let inputs = vec![
                self.of_kind(left, Kind::Boolean)?,
                self.of_kind(right, Kind::Boolean)?,
            ];
            Ok(Expression::call(Kind::Boolean, operation, inputs))
        };
        let ordered = |operation, first: &Expr, second: &Expr| -> Reason<Expression> {
            let inputs = vec![
                self.of_kind(first, Kind::Number)?,
                self.of_kind(second, Kind::Number)?,
            ];
            Ok(Expression::call(Kind::Boolean, operation, inputs))
        };
        match operator {
            BinaryOperator::Plus => arithmetic(To::Add),
            BinaryOperator::Minus => arithmetic(To::Subtract),
            BinaryOperator::Multiply => arithmetic(To::Multiply),
            BinaryOperator::Divide => arithmetic(To::Divide),
            BinaryOperator::Modulo => arithmetic(To::Remainder),
            BinaryOperator::And => logical(To::And),
            BinaryOperator::Or => logical(To::Or),
            BinaryOperator::Eq => self.equal(left, right),
            BinaryOperator::NotEq => Ok(not(self.equal(left, right)?)),
            BinaryOperator::Lt => ordered(To::Less, left, right),
            BinaryOperator::LtEq => ordered(To::LessOrEqual, left, right),
            BinaryOperator::Gt => ordered(To::Less, right, left),
            BinaryOperator::GtEq => ordered(To::LessOrEqual, right, left),
            other => Err(format!("the operator `{other}` is not supported")),
        }
    }

    fn equal(&self, left: &Expr, right: &Expr) -> Reason<Expression> {
        let inputs = self.alike(&[left, right])?.1;
        Ok(equality(inputs))
    }

    /// Expressions of one kind.
    pub(super) fn alike(&self, parsed: &[&Expr]) -> Reason<(Kind, Vec<Expression>)> {
        let mut kind = Kind::Null;
        let mut found = Vec::with_capacity(parsed.len());
        for parsed in parsed {
            let expression = self.expression(parsed)?;
            if kind == Kind::Null {
                kind = expression.kind;
            } else if expression.kind != Kind::Null && expression.kind != kind {
                return Err(format!(
                    "`{parsed}` is {} beside {}",
                    expression.kind.name(),
                    kind.name()
                ));
            }
            found.push(expression);
        }
        Ok((kind, found))
    }

    fn is_null(&self, parsed: &Expr) -> Reason<Expression> {
        let inputs = vec![self.expression(parsed)?];
        Ok(Expression::call(Kind::Boolean, Operation::IsNull, inputs))
    }

    fn in_list(&self, parsed: &Expr, list: &[Expr], negated: bool) -> Reason<Expression> {
        let mut all = vec![parsed];
        all.extend(list);
        let (kind, mut found) = self.alike(&all)?;
        let first = found.remove(0);
        let texts: Option<Vec<String>> = found
            .iter()
            .map(|item| match &item.node {
                Node::Text(text) if !text.is_empty() => Some(text.clone()),
                _ => None,
            })
            .collect();
        let answer = match texts {
            Some(texts) if kind == Kind::Text => Expression {
                kind: Kind::Boolean,
                node: Node::In(Box::new(first), texts),
            },
            _ => {
                let equal = found.into_iter();
                any(equal
                    .map(|item| equality(vec![first.clone(), item]))
                    .collect())
                .ok_or("`in` wants a list")?
            }
        };
        Ok(if negated { not(answer) } else { answer })
    }

    fn between(&self, parsed: &Expr, low: &Expr, high: &Expr, negated: bool) -> Reason<Expression> {
        let value = self.of_kind(parsed, Kind::Number)?;
        let low = self.of_kind(low, Kind::Number)?;
        let high = self.of_kind(high, Kind::Number)?;
        let ordered =
            |one, other| Expression::call(Kind::Boolean, Operation::LessOrEqual, vec![one, other]);
        let both = vec![ordered(low, value.clone()), ordered(value, high)];
        let answer = Expression::call(Kind::Boolean, Operation::And, both);
        Ok(if negated { not(answer) } else { answer })
    }

    fn case(
        &self,
        operand: Option<&Expr>,
        branches: &[CaseWhen],
        otherwise: Option<&Expr>,
    ) -> Reason<Expression> {
        let mut results: Vec<&Expr> = branches.iter().map(|branch| &branch.result).collect();
        results.extend(otherwise);
        let (kind, mut values) = self.alike(&results)?;
        let otherwise = otherwise.and_then(|_| values.pop()).map(Box::new);
        let branches = branches
            .iter()
            .zip(values)
            .map(|(branch, value)| {
                let condition = match operand {
                    Some(operand) => self.equal(operand, &branch.condition)?,
                    None => self.of_kind(&branch.condition, Kind::Boolean)?,
                };
                Ok((condition, value))
            })
            .collect::<Reason<_>>()?;
        Ok(Expression {
            kind,
            node: Node::Case(branches, otherwise),
        })
    }

    fn cast(&self, parsed: &Expr, to: &DataType) -> Reason<Expression> {
        let input = self.expression(parsed)?;
        if input.kind == Kind::Text {
            return Err(format!("`{parsed}` is text, which is not cast"));
        }
        match to {
            DataType::Double(_)
            | DataType::DoublePrecision
            | DataType::Float8
            | DataType::Float64 => Ok(Expression {
                kind: Kind::Number,
                ..input
            }),
            DataType::Int(_)
            | DataType::Integer(_)
            | DataType::BigInt(_)
            | DataType::Int8(_)
            | DataType::Int64 => Ok(Expression::call(
                Kind::Number,
                Operation::Truncate,
                vec![input],
            )),
            DataType::Boolean | DataType::Bool => {
                let zero = Expression {
                    kind: input.kind,
                    node: Node::Number(0.0),
                };
                Ok(not(equality(vec![input, zero])))
            }
            other => Err(format!("a cast to {other} is not supported")),
        }
    }
}

/// Whether any of them is true, as a tree that is no deeper than it has to be.
fn any(mut conditions: Vec<Expression>) -> Option<Expression> {
    while conditions.len() > 1 {
        let mut rest = conditions.into_iter();
        let mut pairs = Vec::with_capacity(rest.len().div_ceil(2));
        while let Some(one) = rest.next() {
            pairs.push(match rest.next() {
                Some(other) => Expression::call(Kind::Boolean, Operation::Or, vec![one, other]),
                None => one,
            });
        }
        conditions = pairs;
    }
    conditions.pop()
}

fn equality(inputs: Vec<Expression>) -> Expression {
    Expression::call(Kind::Boolean, Operation::Equal, inputs)
}

fn not(input: Expression) -> Expression {
    Expression::call(Kind::Boolean, Operation::Not, vec![input])
}

fn value(literal: &Value) -> Reason<Expression> {
    Ok(match literal {
        Value::Number(text, _) => Expression::number(
            text.parse()
                .map_err(|_| format!("`{text}` is not a number"))?,
        ),
        Value::SingleQuotedString(text) => Expression {
            kind: Kind::Text,
            node: Node::Text(text.clone()),
        },
        Value::Boolean(flag) => Expression {
            kind: Kind::Boolean,
            node: Node::Number(f64::from(u8::from(*flag))),
        },
        Value::Null => Expression {
            kind: Kind::Null,
            node: Node::Null,
        },
        other => return Err(format!("the literal `{other}` is not supported")),
    })
}
