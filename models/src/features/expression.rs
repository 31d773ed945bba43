//! The typed tree of a derived feature.

/// What an expression answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Number,
    /// 1, 0 or null.
    Boolean,
    Text,
    /// The literal `null`, which is of any kind.
    Null,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Number => "a number",
            Self::Boolean => "a condition",
            Self::Text => "text",
            Self::Null => "null",
        }
    }
}

/// An expression with its kind.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Expression {
    pub(crate) kind: Kind,
    pub(crate) node: Node,
}

/// What an expression is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    Column(String),
    Number(f64),
    Text(String),
    Null,
    Call(Operation, Vec<Expression>),
    /// Text among a list of texts.
    In(Box<Expression>, Vec<String>),
    /// Conditions with their values, and the value otherwise.
    Case(Vec<(Expression, Expression)>, Option<Box<Expression>>),
}

/// The operations.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Negate,
    Equal,
    Less,
    LessOrEqual,
    And,
    Or,
    Not,
    IsNull,
    Coalesce,
    NullIf,
    Least,
    Greatest,
    Absolute,
    Logarithm,
    Exponential,
    SquareRoot,
    Floor,
    Ceiling,
    /// To that many places after the point, a half to the even neighbour.
    Round(i32),
    /// Towards zero.
    Truncate,
    Lower,
    Upper,
}

impl Expression {
    pub(crate) fn call(kind: Kind, operation: Operation, inputs: Vec<Self>) -> Self {
        Self {
            kind,
            node: Node::Call(operation, inputs),
        }
    }

    pub(crate) fn number(value: f64) -> Self {
        Self {
            kind: Kind::Number,
            node: Node::Number(value),
        }
    }

    /// The columns that it reads, each once.
    pub(crate) fn columns(&self) -> Vec<&str> {
        let mut found = Vec::new();
        self.collect(&mut found);
        found
    }

    fn collect<'a>(&'a self, found: &mut Vec<&'a str>) {
        match &self.node {
            Node::Column(name) => {
                if !found.contains(&name.as_str()) {
                    found.push(name);
                }
            }
            Node::Number(_) | Node::Text(_) | Node::Null => (),
            Node::Call(_, inputs) => inputs.iter().for_each(|input| input.collect(found)),
            Node::In(input, _) => input.collect(found),
            Node::Case(branches, otherwise) => {
                for (condition, value) in branches {
                    condition.collect(found);
                    value.collect(found);
                }
                if let Some(otherwise) = otherwise {
                    otherwise.collect(found);
                }
            }
        }
    }
}
