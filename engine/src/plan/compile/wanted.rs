//! The types that a setting takes, and whether an expression that is one path is of such a type.

use super::{
    Compiler,
    expressions::Mention,
    shape::{Shape, Shapes},
};
use crate::{
    operator::{Outputs, ValueType},
    plan::ParamType,
    spec::{
        codes,
        comparisons::{Literal, comparisons},
        lexer::{self, Use},
        suggest,
    },
    state::TaskState,
};

/// The types that a setting takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted(u8);

impl Wanted {
    pub(super) const TEXT: u8 = 1;
    pub(super) const WHOLE: u8 = 2;
    pub(super) const NUMBER: u8 = 4;
    pub(super) const BOOLEAN: u8 = 8;
    pub(super) const LIST: u8 = 16;
    pub(super) const MAP: u8 = 32;
    const ANY: u8 = 63;
    /// A list.
    pub(super) const ITEMS: Self = Self(Self::LIST);

    /// The types of a shape.
    pub(super) fn of(shape: &Shape, shapes: &Shapes) -> Self {
        Self(match shapes.follow(shape) {
            Shape::Any | Shape::Named(_) => Self::ANY,
            Shape::Null => 0,
            Shape::Boolean => Self::BOOLEAN,
            Shape::Number { whole: true, .. } => Self::WHOLE,
            Shape::Number { .. } => Self::NUMBER | Self::WHOLE,
            Shape::Text { .. } => Self::TEXT,
            Shape::Choices(values) => values
                .iter()
                .fold(0, |types, value| types | Self::of_value(value)),
            Shape::List { .. } => Self::LIST,
            Shape::Map { .. } => Self::MAP,
            Shape::OneOf(branches) => branches
                .iter()
                .fold(0, |types, branch| types | Self::of(branch, shapes).0),
        })
    }

    fn of_value(value: &serde_json::Value) -> u8 {
        use serde_json::Value;
        match value {
            Value::Null => 0,
            Value::Bool(_) => Self::BOOLEAN,
            Value::Number(_) => Self::NUMBER | Self::WHOLE,
            Value::String(_) => Self::TEXT,
            Value::Array(_) => Self::LIST,
            Value::Object(_) => Self::MAP,
        }
    }

    /// Whether text will do.
    pub(super) fn takes_text(self) -> bool {
        self.0 & Self::TEXT != 0
    }

    pub(super) fn accepts(self, found: u8) -> bool {
        self.0 & found != 0
    }

    /// The filter that makes such a value.
    fn filter(self) -> Option<&'static str> {
        match self.0 {
            Self::TEXT => Some("string"),
            Self::WHOLE => Some("int"),
            bits if bits == Self::NUMBER | Self::WHOLE => Some("float"),
            Self::BOOLEAN => Some("bool"),
            _ => None,
        }
    }

    pub(super) fn phrase(self) -> String {
        let names = [
            (Self::TEXT, "text"),
            (Self::NUMBER, "a number"),
            (Self::WHOLE, "a whole number"),
            (Self::BOOLEAN, "true or false"),
            (Self::LIST, "a list"),
            (Self::MAP, "a map"),
        ];
        let number = self.0 & Self::NUMBER != 0;
        let words: Vec<&str> = names
            .iter()
            .filter(|(bit, _)| self.0 & bit != 0 && !(number && *bit == Self::WHOLE))
            .map(|(_, name)| *name)
            .collect();
        words.join(" or ")
    }
}

impl Compiler<'_> {
    /// The type of an expression that is one path, against what is wanted.
    pub(super) fn check_type(&mut self, mention: &Mention) {
        let (Some(wanted), Some(path)) = (mention.wanted, mention.expression.whole_path()) else {
            return;
        };
        let Some((types, phrase)) = self.type_of_path(path) else {
            return;
        };
        if !wanted.accepts(types) && wanted != Wanted(0) {
            let complaint = self.found.error(
                codes::EXPRESSION_TYPE,
                mention.mark,
                format!("`{path}` is {phrase}, but this must be {}", wanted.phrase()),
            );
            if let Some(filter) = wanted.filter() {
                complaint.hint(format!("convert it: `{path} | {filter}`"));
            }
        }
    }

    /// What is compared with a text or a number that it can never equal.
    pub(super) fn check_comparisons(&mut self, mention: &Mention) {
        for (path, literal) in comparisons(mention.expression.dotted()) {
            let Some((types, phrase)) = self.type_of_path(path) else {
                continue;
            };
            let (wrong, other, hint) = match literal {
                Literal::Text(_) => (
                    types & Wanted::TEXT == 0,
                    "text",
                    format!("leave the quotes out, or make a text of it: `{path} | string`"),
                ),
                Literal::Number => (
                    types == Wanted::TEXT,
                    "a number",
                    format!("convert it: `{path} | int`, or put the number in quotes"),
                ),
            };
            if wrong {
                let message = format!(
                    "`{path}` is {phrase}, and is compared with {other}: they are never equal, and neither is greater"
                );
                self.found
                    .error(codes::EXPRESSION_TYPE, mention.mark, message)
                    .hint(hint);
            }
            if let Literal::Text(text) = literal {
                self.check_state(path, text, mention);
            }
        }
    }

    /// The state of a task that is compared with what is no state.
    fn check_state(&mut self, path: &str, text: &str, mention: &Mention) {
        let parts: Vec<&str> = path.split('.').collect();
        if !matches!(parts[..], ["tasks", _, "state"]) || text.parse::<TaskState>().is_ok() {
            return;
        }
        let names = TaskState::ALL.map(TaskState::name);
        let message = format!("`{path}` is never `{text}`: no state has that name");
        self.found
            .error(codes::EXPRESSION_TYPE, mention.mark, message)
            .hint(suggest::hint(text, names));
    }

    /// A member of what has none: `params.day.x` of a text.
    pub(super) fn check_members(&mut self, path: &str, mention: &Mention) {
        for (end, _) in path.match_indices('.') {
            let (before, member) = path.split_at(end);
            let Some((types, phrase)) = self.type_of_path(before) else {
                continue;
            };
            if types & (Wanted::LIST | Wanted::MAP) == 0 {
                let member = member.trim_start_matches('.');
                let member = member.split('.').next().unwrap_or_default();
                // That nothing of it can be called is told already.
                let calls = lexer::calls(mention.expression.dotted());
                if calls.contains(&(Use::Method, member)) {
                    return;
                }
                let message = format!("`{before}` is {phrase} and has no `{member}`");
                self.found.error(codes::UNKNOWN_NAME, mention.mark, message);
                return;
            }
        }
    }

    fn type_of_path(&self, path: &str) -> Option<(u8, &'static str)> {
        let mut parts = path.split('.');
        let (root, next, last) = (parts.next()?, parts.next(), parts.next());
        if parts.next().is_some() {
            return (root == "tasks" && last == Some("metrics"))
                .then_some((Wanted::NUMBER, "a number"));
        }
        match (root, next, last) {
            ("params", Some(name), None) => {
                let of = *self.names.params.get(name)?;
                Some((param_types(of), of.phrase()))
            }
            ("run" | "interval", Some(_), None) => Some((Wanted::TEXT, "text")),
            ("index", None, None) => Some((Wanted::WHOLE, "a whole number")),
            ("tasks", Some(name), Some(output)) => {
                let index = self.names.task(name).index()?;
                match output_type(self.drafts[index].outputs.as_ref()?, output)? {
                    ValueType::String => Some((Wanted::TEXT, "text")),
                    ValueType::Integer => Some((Wanted::WHOLE, "a whole number")),
                    ValueType::Number => Some((Wanted::NUMBER, "a number")),
                    ValueType::Boolean => Some((Wanted::BOOLEAN, "true or false")),
                    ValueType::Any => None,
                }
            }
            _ => None,
        }
    }
}

pub(super) fn output_type(outputs: &Outputs, name: &str) -> Option<ValueType> {
    match name {
        "state" => Some(ValueType::String),
        "rows" => Some(ValueType::Integer),
        "metrics" => Some(ValueType::Any),
        name => outputs
            .values
            .iter()
            .find(|value| value.name == name)
            .map(|value| value.of)
            .or(outputs.open.then_some(ValueType::Any)),
    }
}

fn param_types(of: ParamType) -> u8 {
    match of {
        ParamType::String => Wanted::TEXT,
        ParamType::Integer => Wanted::WHOLE,
        ParamType::Number => Wanted::NUMBER,
        ParamType::Boolean => Wanted::BOOLEAN,
        ParamType::Array => Wanted::LIST,
        ParamType::Object => Wanted::MAP,
    }
}
