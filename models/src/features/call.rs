//! Calls of functions in an expression.

use sqlparser::ast::{Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments};

use crate::features::compile::{Compiler, Reason};
use crate::features::expression::{Expression, Kind, Node, Operation};
use crate::near::did_you_mean;

/// The functions that there are.
const FUNCTIONS: [&str; 14] = [
    "abs", "ceil", "ceiling", "coalesce", "exp", "floor", "greatest", "least", "ln", "lower",
    "nullif", "round", "sqrt", "upper",
];

impl Compiler<'_> {
    /// A call of one of the functions that there are.
    pub(super) fn function(&self, function: &Function) -> Reason<Expression> {
        if function.over.is_some() || function.filter.is_some() {
            return Err(format!("`{function}` looks at more than its own row"));
        }
        let arguments = arguments(function)?;
        let name = function.name.to_string().to_lowercase();
        let one = |operation| match arguments.as_slice() {
            [argument] => self.numeric(operation, argument),
            _ => Err(format!("`{name}` takes one argument")),
        };
        let text = |operation| match arguments.as_slice() {
            [argument] => {
                let input = self.of_kind(argument, Kind::Text)?;
                Ok(Expression::call(Kind::Text, operation, vec![input]))
            }
            _ => Err(format!("`{name}` takes one argument")),
        };
        match name.as_str() {
            "abs" => one(Operation::Absolute),
            "ln" => one(Operation::Logarithm),
            "exp" => one(Operation::Exponential),
            "sqrt" => one(Operation::SquareRoot),
            "floor" => one(Operation::Floor),
            "ceil" | "ceiling" => one(Operation::Ceiling),
            "lower" => text(Operation::Lower),
            "upper" => text(Operation::Upper),
            "round" => self.round(&arguments),
            "coalesce" if !arguments.is_empty() => {
                let (kind, inputs) = self.alike(&arguments)?;
                Ok(Expression::call(kind, Operation::Coalesce, inputs))
            }
            "nullif" if arguments.len() == 2 => {
                let (kind, inputs) = self.alike(&arguments)?;
                Ok(Expression::call(kind, Operation::NullIf, inputs))
            }
            "least" | "greatest" if !arguments.is_empty() => {
                let inputs = arguments
                    .iter()
                    .map(|argument| self.of_kind(argument, Kind::Number))
                    .collect::<Reason<_>>()?;
                let least = name == "least";
                let operation = if least {
                    Operation::Least
                } else {
                    Operation::Greatest
                };
                Ok(Expression::call(Kind::Number, operation, inputs))
            }
            known if FUNCTIONS.contains(&known) => Err(format!(
                "the function `{name}` is not supported with these arguments"
            )),
            _ => Err(format!(
                "there is no function `{name}` in models{}",
                did_you_mean(&name, &FUNCTIONS)
            )),
        }
    }

    fn round(&self, arguments: &[&Expr]) -> Reason<Expression> {
        let places = match arguments {
            [_] => 0,
            [_, places] => match self.expression(places)?.node {
                Node::Number(places) if (0.0..=9.0).contains(&places) && places.fract() == 0.0 => {
                    #[allow(clippy::cast_possible_truncation, reason = "checked above")]
                    let places = places as i32;
                    places
                }
                _ => return Err("`round` wants 0 to 9 places".to_owned()),
            },
            _ => return Err("`round` takes one or two arguments".to_owned()),
        };
        self.numeric(Operation::Round(places), arguments[0])
    }
}

pub(super) fn arguments(function: &Function) -> Reason<Vec<&Expr>> {
    let FunctionArguments::List(list) = &function.args else {
        return Err(format!("`{function}` is not supported"));
    };
    list.args
        .iter()
        .map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => Ok(expression),
            other => Err(format!("the argument `{other}` is not supported")),
        })
        .collect()
}
