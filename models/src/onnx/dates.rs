//! Parts of a date, as nodes.

use crate::onnx::builder::{Builder, Value, integers};
use crate::onnx::proto::element;
use crate::prepare::{Arithmetic, Part, parts};

/// Numbers as values of a graph.
struct Nodes<'a>(&'a mut Builder);

impl Arithmetic for Nodes<'_> {
    type Number = Value;

    fn line(&mut self, a: &Value, factor: f64, term: f64) -> Value {
        let factor = self.0.number(factor);
        let product = self.0.node("Mul", &[a, &factor]);
        let term = self.0.number(term);
        self.0.node("Add", &[&product, &term])
    }

    fn plus(&mut self, a: &Value, b: &Value, factor: f64) -> Value {
        let product = self.line(b, factor, 0.0);
        self.0.node("Add", &[a, &product])
    }

    fn over(&mut self, a: &Value, by: f64) -> Value {
        let by = self.0.number(by);
        let share = self.0.node("Div", &[a, &by]);
        self.0.node("Floor", &[&share])
    }

    fn reaches(&mut self, a: &Value, least: f64) -> Value {
        let least = self.0.number(least);
        let reached = self.0.node("GreaterOrEqual", &[a, &least]);
        self.0.cast(&reached, element::DOUBLE)
    }
}

/// The parts of a column of dates; a missing one becomes `fill`.
pub(super) fn date_parts(
    builder: &mut Builder,
    value: &str,
    fill: f64,
    wanted: &[Part],
) -> Vec<Value> {
    let null = builder.constant(integers(&[1, 1], &[i64::MIN]));
    let is_null = builder.node("Equal", &[value, &null]);
    let moment = builder.cast(value, element::DOUBLE);
    let fill = builder.number(fill);
    let moment = builder.node("Where", &[&is_null, &fill, &moment]);
    parts(&mut Nodes(builder), &moment, wanted)
}
