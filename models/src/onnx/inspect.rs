//! What an ONNX file says of itself, whoever wrote it.

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::METADATA_KEY;
use crate::data::hexadecimal;
use crate::error::{ModelError, Result};
use crate::scorer::decode;

/// What is known of an ONNX file without running it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inspection {
    /// SHA-256 of the file.
    pub digest: String,
    /// The file's size.
    pub bytes: usize,
    /// The program that wrote it, with its version.
    pub producer: String,
    /// The operator sets that it uses, as in `ai.onnx 21`.
    pub operator_sets: Vec<String>,
    /// What its graph reads.
    pub inputs: Vec<String>,
    /// What its graph answers.
    pub outputs: Vec<String>,
    /// How many nodes its graph has.
    pub nodes: usize,
    /// What pipectl has written into it, when it was pipectl.
    pub card: Option<Value>,
}

/// Reads what an ONNX file says of itself. Pickles and damaged files are errors.
pub fn inspect(bytes: &[u8]) -> Result<Inspection> {
    let model = decode(bytes)?;
    let graph = model
        .graph
        .as_ref()
        .ok_or_else(|| ModelError::format("it has no graph"))?;
    let entry = model
        .metadata_props
        .iter()
        .find(|entry| entry.key == METADATA_KEY);
    let card = entry
        .map(|entry| serde_json::from_str(&entry.value))
        .transpose()
        .map_err(|error| ModelError::format(format!("its metadata is damaged ({error})")))?;
    let operator_sets = model.opset_import.iter().map(|set| {
        let domain = match set.domain.as_str() {
            "" => "ai.onnx",
            other => other,
        };
        format!("{domain} {}", set.version)
    });
    let constants: Vec<&str> = graph
        .initializer
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    let inputs = graph
        .input
        .iter()
        // Old files list constants among the inputs.
        .filter(|input| !constants.contains(&input.name.as_str()));
    Ok(Inspection {
        digest: hexadecimal(&Sha256::digest(bytes)),
        bytes: bytes.len(),
        producer: format!("{} {}", model.producer_name, model.producer_version)
            .trim()
            .to_owned(),
        operator_sets: operator_sets.collect(),
        inputs: inputs.map(|input| input.name.clone()).collect(),
        outputs: graph
            .output
            .iter()
            .map(|output| output.name.clone())
            .collect(),
        nodes: graph.node.len(),
        card,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_model_says_what_it_is() {
        for (bytes, message) in [
            (&b""[..], "not a usable model: the file is empty"),
            (
                &[0x80, 4, 0x95],
                "not a usable model: this is a Python pickle",
            ),
            (
                &b"{}"[..],
                "not a usable model: this is no ONNX file, or a damaged one",
            ),
        ] {
            let error = inspect(bytes).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }
}
