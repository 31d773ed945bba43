//! The files of an export directory.

use std::borrow::Cow;
use std::path::Path;

use crate::data::hexadecimal;
use crate::error::{ModelError, Result};
use crate::rooms::ModelFile;
use sha2::{Digest, Sha256};

/// Where `optimum` puts the network: most often beside the others.
pub(super) const NETWORKS: [&str; 2] = ["model.onnx", "onnx/model.onnx"];

/// Weights in the formats of training.
const WEIGHTS: [&str; 5] = [
    "pytorch_model.bin",
    "model.safetensors",
    "tf_model.h5",
    "flax_model.msgpack",
    "pytorch_model.bin.index.json",
];

/// How weights become a network that can be run.
const EXPORT: &str = "export it where it was made: `optimum-cli export onnx --model DIRECTORY --task text-classification OUT`";

/// Models that ship.
const ZOO: [Shipped; 1] = [Shipped {
    name: "sentiment",
    network: include_bytes!("../../zoo/sentiment/model.onnx"),
    tokenizer: include_bytes!("../../zoo/sentiment/tokenizer.json"),
    config: include_bytes!("../../zoo/sentiment/config.json"),
}];

struct Shipped {
    name: &'static str,
    network: &'static [u8],
    tokenizer: &'static [u8],
    config: &'static [u8],
}

/// A text classifier as Hugging Face's tools export it.
#[derive(Debug)]
pub struct TextFiles {
    /// The network.
    pub network: ModelFile,
    /// `tokenizer.json`.
    pub tokenizer: Cow<'static, [u8]>,
    /// `config.json`.
    pub config: Cow<'static, [u8]>,
    /// `tokenizer_config.json`, which need not be there.
    pub tokenizer_config: Option<Vec<u8>>,
}

impl TextFiles {
    /// Reads an export directory.
    ///
    /// # Errors
    /// When a file is missing; the message says what is there instead, and how to make one of it.
    pub fn read(directory: &Path) -> Result<Self> {
        if !directory.is_dir() {
            let what = if directory.exists() {
                "it is a file; a text model is a directory with `model.onnx`, `tokenizer.json` and `config.json`"
            } else {
                "there is no such directory"
            };
            return Err(ModelError::format(what));
        }
        let present = |name: &str| directory.join(name).is_file();
        let network = NETWORKS
            .into_iter()
            .find(|name| present(name))
            .ok_or_else(|| without_network(present))?;
        let read = |name: &str| {
            std::fs::read(directory.join(name)).map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => missing(name, present),
                _ => ModelError::data(format!("cannot read `{name}`: {error}")),
            })
        };
        Ok(Self {
            tokenizer: Cow::Owned(read("tokenizer.json")?),
            config: Cow::Owned(read("config.json")?),
            tokenizer_config: read("tokenizer_config.json").ok(),
            network: ModelFile::read(&directory.join(network))?,
        })
    }

    /// A model that ships with this program.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn shipped(name: &str) -> Result<Self> {
        let found = ZOO.iter().find(|shipped| shipped.name == name);
        let shipped = found.ok_or_else(|| {
            let names: Vec<&str> = ZOO.iter().map(|shipped| shipped.name).collect();
            ModelError::settings(format!(
                "no text model `{name}` ships with pipectl: there is {}",
                names.join(", ")
            ))
        })?;
        Ok(Self {
            network: ModelFile::from_bytes(shipped.network)?,
            tokenizer: Cow::Borrowed(shipped.tokenizer),
            config: Cow::Borrowed(shipped.config),
            tokenizer_config: None,
        })
    }

    /// SHA-256 of network, tokenizer and configuration together.
    pub fn digest(&self) -> String {
        let mut digest = Sha256::new();
        for part in [self.network.bytes(), &self.tokenizer, &self.config] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        hexadecimal(&digest.finalize())
    }
}

/// There is no network: perhaps there are weights.
fn without_network(present: impl Fn(&str) -> bool) -> ModelError {
    ModelError::format(match WEIGHTS.into_iter().find(|name| present(name)) {
        Some(name) => format!(
            "there is no `model.onnx`, only `{name}`, the weights as they were trained; {EXPORT}"
        ),
        None => "there is no `model.onnx` in it".to_owned(),
    })
}

fn missing(name: &str, present: impl Fn(&str) -> bool) -> ModelError {
    let slow = [
        "vocab.txt",
        "vocab.json",
        "spiece.model",
        "sentencepiece.bpe.model",
    ]
    .into_iter()
    .find(|name| present(name));
    ModelError::format(match (name, slow) {
        ("tokenizer.json", Some(slow)) => format!(
            "there is no `tokenizer.json` in it, only `{slow}`; make one: \
             `AutoTokenizer.from_pretrained(DIRECTORY, use_fast=True).save_pretrained(DIRECTORY)`"
        ),
        _ => format!("there is no `{name}` in it"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_no_export_says_what_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let message = || TextFiles::read(path).unwrap_err().to_string();
        let write = |name: &str, bytes: &[u8]| std::fs::write(path.join(name), bytes).unwrap();
        assert!(message().ends_with("there is no `model.onnx` in it"));
        write("pytorch_model.bin", b"PK\x03\x04");
        assert!(message().contains("only `pytorch_model.bin`"));
        assert!(message().contains("optimum-cli export onnx"));
        write("model.onnx", ZOO[0].network);
        write("vocab.txt", b"[PAD]\n");
        assert!(message().contains("only `vocab.txt`"), "{}", message());
        write("tokenizer.json", ZOO[0].tokenizer);
        assert!(message().ends_with("there is no `config.json` in it"));
        write("config.json", ZOO[0].config);
        let digest = TextFiles::read(path).unwrap().digest();
        assert_eq!(digest, TextFiles::shipped("sentiment").unwrap().digest());
        let file = TextFiles::read(&path.join("model.onnx")).unwrap_err();
        assert!(file.to_string().contains("it is a file"));
        let nowhere = TextFiles::read(&path.join("nowhere")).unwrap_err();
        assert!(nowhere.to_string().contains("no such directory"));
        let unknown = TextFiles::shipped("sentimental").unwrap_err().to_string();
        assert!(unknown.ends_with("there is sentiment"), "{unknown}");
    }
}
