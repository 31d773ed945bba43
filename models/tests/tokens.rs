//! Ten thousand odd strings have the tokens that Hugging Face's `tokenizers` give them in Python.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::process::Command;

use pipectl_models::rooms::Rooms;
use pipectl_models::text::{TextFiles, TextModel};
use tokenizers::Tokenizer;

#[test]
fn odd_strings_have_the_tokens_of_hugging_face() {
    let directory = tempfile::tempdir().unwrap();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new("python3")
        .arg(here.join("tests/tokens.py"))
        .arg(here.join("zoo/sentiment/tokenizer.json"))
        .arg(directory.path())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        !errors.contains("ModuleNotFoundError"),
        "this test compares with Python's tokenizers: pip install tokenizers"
    );
    assert!(output.status.success(), "{errors}");
    let read = |name: &str| std::fs::read(directory.path().join(name)).unwrap();
    let strings: Vec<String> = serde_json::from_slice(&read("strings.json")).unwrap();
    assert_eq!(strings.len(), 10_000);
    let shipped =
        TextModel::load(&TextFiles::shipped("sentiment").unwrap(), &Rooms::default()).unwrap();
    for name in ["sentiment", "cased", "roberta", "split", "unigram"] {
        let tokenizer = Tokenizer::from_bytes(read(&format!("{name}.json"))).unwrap();
        let wanted: Vec<Vec<u32>> =
            serde_json::from_slice(&read(&format!("{name}.ids.json"))).unwrap();
        for (text, wanted) in strings.iter().zip(&wanted) {
            let ids = if name == "sentiment" {
                shipped.token_ids(text).unwrap()
            } else {
                tokenizer
                    .encode_fast(text.as_str(), true)
                    .unwrap()
                    .get_ids()
                    .to_vec()
            };
            assert_eq!(&ids, wanted, "{name}: {text:?}");
        }
    }
}
