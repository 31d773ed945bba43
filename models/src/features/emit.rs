//! A typed tree to ONNX nodes.
//!
//! Numbers and conditions are doubles, NaN is null; text is text, "" is null. Comparisons of ONNX know no null, so
//! their answer is put back to NaN where an input is.

use crate::features::expression::{Expression, Kind, Node, Operation};
use crate::onnx::builder::{Builder, Value, float, floats, strings};
use crate::onnx::proto::element;

/// Adds the nodes of an expression; a `null` literal becomes the null of `kind`.
pub(crate) fn emit(builder: &mut Builder, expression: &Expression, kind: Kind) -> Value {
    match &expression.node {
        Node::Column(name) => name.clone(),
        Node::Number(value) => builder.number(*value),
        Node::Text(text) => builder.text(text),
        Node::Null if kind == Kind::Text => builder.text(""),
        Node::Null => builder.number(f64::NAN),
        Node::In(input, texts) => {
            let input = emit(builder, input, Kind::Text);
            member(builder, &input, texts)
        }
        Node::Case(branches, otherwise) => {
            let mut answer = match otherwise {
                Some(otherwise) => emit(builder, otherwise, kind),
                None => null(builder, kind),
            };
            for (condition, value) in branches.iter().rev() {
                let condition = emit(builder, condition, Kind::Boolean);
                let is_true = is(builder, &condition, 1.0);
                let value = emit(builder, value, kind);
                answer = builder.node("Where", &[&is_true, &value, &answer]);
            }
            answer
        }
        Node::Call(operation, inputs) => call(builder, *operation, inputs, kind),
    }
}

fn null(builder: &mut Builder, kind: Kind) -> Value {
    if kind == Kind::Text {
        builder.text("")
    } else {
        builder.number(f64::NAN)
    }
}

/// The kind of the inputs of an operation that compares.
fn common(inputs: &[Expression]) -> Kind {
    let known = inputs
        .iter()
        .map(|input| input.kind)
        .find(|kind| *kind != Kind::Null);
    known.unwrap_or(Kind::Number)
}

fn call(builder: &mut Builder, operation: Operation, inputs: &[Expression], kind: Kind) -> Value {
    use Operation as Of;
    let inner = common(inputs);
    let wanted = if kind == Kind::Null { inner } else { kind };
    match operation {
        Of::Equal if inner == Kind::Text => return text_equal(builder, inputs),
        Of::IsNull => {
            let input = emit(builder, &inputs[0], inner);
            let flag = is_null(builder, &input, inner);
            return builder.cast(&flag, element::DOUBLE);
        }
        Of::Coalesce => return coalesce(builder, inputs, wanted),
        Of::NullIf => return null_if(builder, inputs, wanted),
        _ => (),
    }
    let values: Vec<Value> = inputs
        .iter()
        .map(|input| emit(builder, input, inner))
        .collect();
    let all: Vec<&str> = values.iter().map(String::as_str).collect();
    match operation {
        Of::Add => builder.node("Add", &all),
        Of::Subtract => builder.node("Sub", &all),
        Of::Multiply => builder.node("Mul", &all),
        Of::Divide => builder.node("Div", &all),
        Of::Remainder => remainder(builder, all[0], all[1]),
        Of::Negate => builder.node("Neg", &all),
        Of::Equal => comparison(builder, "Equal", all[0], all[1]),
        Of::Less => comparison(builder, "Less", all[0], all[1]),
        Of::LessOrEqual => comparison(builder, "LessOrEqual", all[0], all[1]),
        Of::And => connective(builder, 0.0, all[0], all[1]),
        Of::Or => connective(builder, 1.0, all[0], all[1]),
        Of::Not => {
            let one = builder.number(1.0);
            builder.node("Sub", &[&one, all[0]])
        }
        Of::Least => extreme(builder, "Min", &all),
        Of::Greatest => extreme(builder, "Max", &all),
        Of::Absolute => builder.node("Abs", &all),
        Of::Logarithm => builder.node("Log", &all),
        Of::Exponential => builder.node("Exp", &all),
        Of::SquareRoot => builder.node("Sqrt", &all),
        Of::Floor => builder.node("Floor", &all),
        Of::Ceiling => builder.node("Ceil", &all),
        Of::Round(places) => round(builder, all[0], places),
        Of::Truncate => truncate(builder, all[0]),
        Of::Lower => {
            let list = builder.change_case(all[0], "LOWER");
            builder.column(&list)
        }
        Of::Upper => {
            let list = builder.change_case(all[0], "UPPER");
            builder.column(&list)
        }
        Of::IsNull | Of::Coalesce | Of::NullIf => values[0].clone(),
    }
}

fn is(builder: &mut Builder, condition: &str, wanted: f64) -> Value {
    let wanted = builder.number(wanted);
    builder.node("Equal", &[condition, &wanted])
}

fn is_null(builder: &mut Builder, value: &str, kind: Kind) -> Value {
    if kind == Kind::Text {
        let empty = builder.text("");
        builder.node("Equal", &[value, &empty])
    } else {
        builder.node("IsNaN", &[value])
    }
}

/// A double 0 or 1 of a boolean, NaN where `missing` is true.
fn three_valued(builder: &mut Builder, flag: &str, missing: &str) -> Value {
    let number = builder.cast(flag, element::DOUBLE);
    let null = builder.number(f64::NAN);
    builder.node("Where", &[missing, &null, &number])
}

fn comparison(builder: &mut Builder, operator: &str, one: &str, other: &str) -> Value {
    let flag = builder.node(operator, &[one, other]);
    let first = builder.node("IsNaN", &[one]);
    let second = builder.node("IsNaN", &[other]);
    let missing = builder.node("Or", &[&first, &second]);
    three_valued(builder, &flag, &missing)
}

/// `and` is decided by a 0, `or` by a 1; else the product is right: 1·1, 0·0, or NaN.
fn connective(builder: &mut Builder, decisive: f64, one: &str, other: &str) -> Value {
    let first = is(builder, one, decisive);
    let second = is(builder, other, decisive);
    let decided = builder.node("Or", &[&first, &second]);
    let product = builder.node("Mul", &[one, other]);
    let answer = builder.number(decisive);
    builder.node("Where", &[&decided, &answer, &product])
}

fn text_equal(builder: &mut Builder, inputs: &[Expression]) -> Value {
    for (text, other) in [(&inputs[0], &inputs[1]), (&inputs[1], &inputs[0])] {
        if let Node::Text(literal) = &text.node
            && !literal.is_empty()
        {
            let input = emit(builder, other, Kind::Text);
            return member(builder, &input, std::slice::from_ref(literal));
        }
    }
    let one = emit(builder, &inputs[0], Kind::Text);
    let other = emit(builder, &inputs[1], Kind::Text);
    let flag = builder.node("Equal", &[&one, &other]);
    let first = is_null(builder, &one, Kind::Text);
    let second = is_null(builder, &other, Kind::Text);
    let missing = builder.node("Or", &[&first, &second]);
    three_valued(builder, &flag, &missing)
}

/// 1 for the listed texts, NaN for the empty one, else 0.
fn member(builder: &mut Builder, input: &str, texts: &[String]) -> Value {
    let keys = texts.iter().map(String::as_str).chain([""]);
    let values = texts.iter().map(|_| 1.0).chain([f32::NAN]).collect();
    let flags = builder.ml_node(
        "LabelEncoder",
        &[input],
        vec![
            float("default_float", 0.0),
            strings("keys_strings", keys),
            floats("values_floats", values),
        ],
    );
    builder.cast(&flags, element::DOUBLE)
}

fn coalesce(builder: &mut Builder, inputs: &[Expression], kind: Kind) -> Value {
    let mut values = inputs.iter().rev();
    let mut answer = match values.next() {
        Some(last) => emit(builder, last, kind),
        None => null(builder, kind),
    };
    for input in values {
        let value = emit(builder, input, kind);
        let missing = is_null(builder, &value, kind);
        answer = builder.node("Where", &[&missing, &answer, &value]);
    }
    answer
}

fn null_if(builder: &mut Builder, inputs: &[Expression], kind: Kind) -> Value {
    let value = emit(builder, &inputs[0], kind);
    let other = emit(builder, &inputs[1], kind);
    let equal = builder.node("Equal", &[&value, &other]);
    let null = null(builder, kind);
    builder.node("Where", &[&equal, &null, &value])
}

/// SQL's least and greatest pass over nulls.
fn extreme(builder: &mut Builder, operator: &str, values: &[&str]) -> Value {
    let mut answer = values[0].to_owned();
    for value in &values[1..] {
        let both = builder.node(operator, &[&answer, value]);
        let missing = builder.node("IsNaN", &[value]);
        let first = builder.node("Where", &[&missing, &answer, &both]);
        let missing = builder.node("IsNaN", &[&answer]);
        answer = builder.node("Where", &[&missing, value, &first]);
    }
    answer
}

fn remainder(builder: &mut Builder, one: &str, other: &str) -> Value {
    // polars' remainder has the divisor's sign: a - b * floor(a / b).
    let ratio = builder.node("Div", &[one, other]);
    let whole = builder.node("Floor", &[&ratio]);
    let part = builder.node("Mul", &[other, &whole]);
    builder.node("Sub", &[one, &part])
}

fn round(builder: &mut Builder, value: &str, places: i32) -> Value {
    if places == 0 {
        return builder.node("Round", &[value]);
    }
    let scale = builder.number(10f64.powi(places));
    let large = builder.node("Mul", &[value, &scale]);
    let whole = builder.node("Round", &[&large]);
    builder.node("Div", &[&whole, &scale])
}

fn truncate(builder: &mut Builder, value: &str) -> Value {
    let zero = builder.number(0.0);
    let negative = builder.node("Less", &[value, &zero]);
    let up = builder.node("Ceil", &[value]);
    let down = builder.node("Floor", &[value]);
    builder.node("Where", &[&negative, &up, &down])
}
