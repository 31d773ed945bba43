//! Builds a graph node by node; names are counted, so equal calls give equal bytes.

use std::collections::HashMap;

use crate::data::{ColumnKind, ColumnSpec};
use crate::onnx::proto::{
    AttributeProto, DimensionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    ShapeProto, TensorProto, TensorTypeProto, TypeProto, ValueInfoProto, attribute, element,
};

/// The operator sets that are written; ONNX Runtime reads them since 1.15.
const OPSET: i64 = 19;
const ML_OPSET: i64 = 3;
const IR_VERSION: i64 = 9;
const ML_DOMAIN: &str = "ai.onnx.ml";
/// ONNX Runtime's own operators.
const MICROSOFT_DOMAIN: &str = "com.microsoft";

/// The name of a value in the graph.
pub(crate) type Value = String;

/// A graph in the making.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    graph: GraphProto,
    constants: HashMap<Vec<u8>, Value>,
}

impl Builder {
    /// A graph with the raw columns as inputs of shape `[n, 1]`.
    pub(crate) fn new(name: &str, inputs: &[ColumnSpec]) -> Self {
        let mut builder = Self::default();
        name.clone_into(&mut builder.graph.name);
        for column in inputs {
            let kind = match column.kind {
                ColumnKind::Number | ColumnKind::Boolean => element::DOUBLE,
                ColumnKind::Text => element::STRING,
                ColumnKind::Date => element::INT64,
            };
            builder
                .graph
                .input
                .push(value_info(&column.name, kind, &[None, Some(1)]));
        }
        builder
    }

    /// Adds a node of the standard domain with one output.
    pub(crate) fn node(&mut self, operator: &str, inputs: &[&str]) -> Value {
        self.add("", operator, inputs, Vec::new())
    }

    /// Adds a node with attributes.
    pub(crate) fn node_with(
        &mut self,
        operator: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) -> Value {
        self.add("", operator, inputs, attributes)
    }

    /// Adds a node of the machine-learning domain.
    pub(crate) fn ml_node(
        &mut self,
        operator: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) -> Value {
        self.add(ML_DOMAIN, operator, inputs, attributes)
    }

    /// Adds a node of ONNX Runtime's own domain, which other runtimes need not know.
    pub(crate) fn microsoft_node(
        &mut self,
        operator: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) -> Value {
        self.add(MICROSOFT_DOMAIN, operator, inputs, attributes)
    }

    fn add(
        &mut self,
        domain: &str,
        operator: &str,
        inputs: &[&str],
        attribute: Vec<AttributeProto>,
    ) -> Value {
        let output = format!("pipectl/{}", self.graph.node.len());
        self.push(domain, operator, inputs, vec![output.clone()], attribute);
        output
    }

    /// Adds a node of the standard domain with two outputs.
    pub(crate) fn two(
        &mut self,
        operator: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) -> (Value, Value) {
        let name = |part| format!("pipectl/{}/{part}", self.graph.node.len());
        let (one, two) = (name(0), name(1));
        self.push(
            "",
            operator,
            inputs,
            vec![one.clone(), two.clone()],
            attributes,
        );
        (one, two)
    }

    fn push(
        &mut self,
        domain: &str,
        operator: &str,
        inputs: &[&str],
        output: Vec<Value>,
        attribute: Vec<AttributeProto>,
    ) {
        self.graph.node.push(NodeProto {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output,
            name: format!("{operator}_{}", self.graph.node.len()),
            op_type: operator.to_owned(),
            attribute,
            domain: domain.to_owned(),
            ..NodeProto::default()
        });
    }

    /// A constant; an equal one is used again.
    pub(crate) fn constant(&mut self, mut tensor: TensorProto) -> Value {
        let key = prost::Message::encode_to_vec(&tensor);
        if let Some(name) = self.constants.get(&key) {
            return name.clone();
        }
        let name = format!("pipectl/c{}", self.graph.initializer.len());
        tensor.name.clone_from(&name);
        self.graph.initializer.push(tensor);
        self.constants.insert(key, name.clone());
        name
    }

    /// A `[1, 1]` double.
    pub(crate) fn number(&mut self, value: f64) -> Value {
        self.constant(doubles(&[1, 1], &[value]))
    }

    /// A `[1, 1]` text.
    pub(crate) fn text(&mut self, value: &str) -> Value {
        self.constant(texts(&[1, 1], &[value]))
    }

    /// A cast.
    pub(crate) fn cast(&mut self, value: &str, to: i32) -> Value {
        self.node_with("Cast", &[value], vec![int("to", i64::from(to))])
    }

    /// A list of texts in small or capital letters: `StringNormalizer` wants a list, and a locale that every system has.
    pub(crate) fn change_case(&mut self, value: &str, action: &str) -> Value {
        let flat = self.constant(integers(&[1], &[-1]));
        let list = self.node("Reshape", &[value, &flat]);
        self.node_with(
            "StringNormalizer",
            &[&list],
            vec![
                string("case_change_action", action),
                int("is_case_sensitive", 1),
                string("locale", "C.UTF-8"),
            ],
        )
    }

    /// A list as a column.
    pub(crate) fn column(&mut self, list: &str) -> Value {
        let column = self.constant(integers(&[2], &[-1, 1]));
        self.node("Reshape", &[list, &column])
    }

    /// Values side by side.
    pub(crate) fn concat(&mut self, values: &[Value]) -> Value {
        if let [one] = values {
            return one.clone();
        }
        let inputs: Vec<&str> = values.iter().map(String::as_str).collect();
        self.node_with("Concat", &inputs, vec![int("axis", 1)])
    }

    /// Gives a value its public name and makes it an output.
    pub(crate) fn output(&mut self, value: &str, name: &str, kind: i32, shape: &[Option<i64>]) {
        self.graph.node.push(NodeProto {
            input: vec![value.to_owned()],
            output: vec![name.to_owned()],
            name: format!("output_{name}"),
            op_type: "Identity".to_owned(),
            ..NodeProto::default()
        });
        self.graph.output.push(value_info(name, kind, shape));
    }

    /// The model.
    pub(crate) fn finish(self) -> ModelProto {
        let opset = |domain: &str, version| OperatorSetIdProto {
            domain: domain.to_owned(),
            version,
        };
        let mut nodes = self.graph.node.iter();
        let microsoft = nodes.any(|node| node.domain == MICROSOFT_DOMAIN);
        let mut opset_import = vec![opset("", OPSET), opset(ML_DOMAIN, ML_OPSET)];
        opset_import.extend(microsoft.then(|| opset(MICROSOFT_DOMAIN, 1)));
        ModelProto {
            ir_version: IR_VERSION,
            producer_name: "pipectl".to_owned(),
            producer_version: env!("CARGO_PKG_VERSION").to_owned(),
            graph: Some(self.graph),
            opset_import,
            ..ModelProto::default()
        }
    }
}

fn value_info(name: &str, kind: i32, shape: &[Option<i64>]) -> ValueInfoProto {
    let dim = shape
        .iter()
        .map(|size| DimensionProto {
            dim_value: *size,
            dim_param: size.is_none().then(|| "n".to_owned()),
        })
        .collect();
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            tensor_type: Some(TensorTypeProto {
                elem_type: kind,
                shape: Some(ShapeProto { dim }),
            }),
        }),
        doc_string: String::new(),
    }
}

fn tensor(dims: &[i64], data_type: i32) -> TensorProto {
    TensorProto {
        dims: dims.to_vec(),
        data_type,
        ..TensorProto::default()
    }
}

/// A tensor of doubles.
pub(crate) fn doubles(dims: &[i64], values: &[f64]) -> TensorProto {
    TensorProto {
        double_data: values.to_vec(),
        ..tensor(dims, element::DOUBLE)
    }
}

/// A tensor of whole numbers.
pub(crate) fn integers(dims: &[i64], values: &[i64]) -> TensorProto {
    TensorProto {
        int64_data: values.to_vec(),
        ..tensor(dims, element::INT64)
    }
}

/// A tensor of booleans.
pub(crate) fn booleans(dims: &[i64], values: &[bool]) -> TensorProto {
    let int32_data = values.iter().map(|value| i32::from(*value)).collect();
    TensorProto {
        int32_data,
        ..tensor(dims, element::BOOL)
    }
}

/// A tensor of text.
pub(crate) fn texts(dims: &[i64], values: &[&str]) -> TensorProto {
    let string_data = values
        .iter()
        .map(|value| value.as_bytes().to_vec())
        .collect();
    TensorProto {
        string_data,
        ..tensor(dims, element::STRING)
    }
}

fn named(name: &str, r#type: i32) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        r#type,
        ..AttributeProto::default()
    }
}

/// An integer attribute.
pub(crate) fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        i: value,
        ..named(name, attribute::INT)
    }
}

/// A float attribute.
pub(crate) fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto {
        f: value,
        ..named(name, attribute::FLOAT)
    }
}

/// A text attribute.
pub(crate) fn string(name: &str, value: &str) -> AttributeProto {
    AttributeProto {
        s: value.as_bytes().to_vec(),
        ..named(name, attribute::STRING)
    }
}

/// A list of integers.
pub(crate) fn ints(name: &str, values: Vec<i64>) -> AttributeProto {
    AttributeProto {
        ints: values,
        ..named(name, attribute::INTS)
    }
}

/// A list of floats.
pub(crate) fn floats(name: &str, values: Vec<f32>) -> AttributeProto {
    AttributeProto {
        floats: values,
        ..named(name, attribute::FLOATS)
    }
}

/// A list of texts.
pub(crate) fn strings<'a>(name: &str, values: impl IntoIterator<Item = &'a str>) -> AttributeProto {
    let strings = values
        .into_iter()
        .map(|value| value.as_bytes().to_vec())
        .collect();
    AttributeProto {
        strings,
        ..named(name, attribute::STRINGS)
    }
}

/// A tensor attribute.
pub(crate) fn tensor_attribute(name: &str, value: TensorProto) -> AttributeProto {
    AttributeProto {
        t: Some(value),
        ..named(name, attribute::TENSOR)
    }
}
