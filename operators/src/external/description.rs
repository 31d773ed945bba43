//! What a program says of itself.

use std::{
    io::Read as _,
    path::Path,
    process::{Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use indexmap::IndexMap;
use pipectl_engine::operator::{DatasetOutput, Outputs, Takes, ValueOutput, ValueType};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The protocol that we speak.
pub(super) const PROTOCOL: u32 = 1;
/// How long a program may take to describe itself.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a description may be.
const LONGEST: u64 = 1 << 20;

/// The answer to `describe`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// The protocol it speaks: 1.
    protocol: u32,
    /// One sentence that says what it does.
    pub summary: String,
    /// The datasets it reads.
    #[serde(default)]
    takes: Reads,
    /// The JSON Schema of its settings: an object. The formats `connection`, `duration`, `size`, `sql` and `model` mean
    /// what they mean in our own operators.
    #[serde(default = "no_settings")]
    pub settings: Map<String, Value>,
    /// What it puts out.
    #[serde(default)]
    outputs: PutsOut,
    /// Settings with which it runs, for `pipectl plugin check`.
    #[serde(default)]
    pub example: Map<String, Value>,
}

fn no_settings() -> Map<String, Value> {
    let schema = json!({"type": "object", "properties": {}, "additionalProperties": false});
    schema.as_object().cloned().unwrap_or_default()
}

/// How many datasets it reads, or which.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Reads {
    Number(Number),
    Named(Vec<String>),
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Number {
    Nothing,
    One,
    Optional,
    Many,
    Any,
}

impl Default for Reads {
    fn default() -> Self {
        Self::Number(Number::Nothing)
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct PutsOut {
    /// Datasets, the main one first.
    #[serde(default)]
    datasets: Vec<String>,
    /// Values for expressions.
    #[serde(default)]
    values: IndexMap<String, PutsValue>,
    /// Whether there may be more, which only a run tells.
    #[serde(default)]
    open: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PutsValue {
    #[serde(rename = "type", default)]
    of: Of,
    #[serde(default)]
    description: String,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Of {
    String,
    Integer,
    Number,
    Boolean,
    #[default]
    Any,
}

impl Description {
    /// The datasets it reads. Names live as long as the program: see [`Plugins`](super::Plugins).
    pub(super) fn takes(&self) -> Takes {
        match &self.takes {
            Reads::Number(Number::Nothing) => Takes::Nothing,
            Reads::Number(Number::One) => Takes::One,
            Reads::Number(Number::Optional) => Takes::Optional,
            Reads::Number(Number::Many) => Takes::Many,
            Reads::Number(Number::Any) => Takes::Any,
            Reads::Named(names) => {
                let names = names.iter().map(|name| kept(name));
                Takes::Named(Box::leak(names.collect()))
            }
        }
    }

    /// What it puts out.
    pub(super) fn outputs(&self) -> Outputs {
        let dataset = |name: &String| DatasetOutput {
            name: name.clone(),
            schema: None,
        };
        let value = |(name, value): (&String, &PutsValue)| ValueOutput {
            name: name.clone(),
            of: match value.of {
                Of::String => ValueType::String,
                Of::Integer => ValueType::Integer,
                Of::Number => ValueType::Number,
                Of::Boolean => ValueType::Boolean,
                Of::Any => ValueType::Any,
            },
            description: kept(&value.description),
        };
        Outputs {
            datasets: self.outputs.datasets.iter().map(dataset).collect(),
            values: self.outputs.values.iter().map(value).collect(),
            open: self.outputs.open,
        }
    }

    /// What of it is not as it should be, though it can be used.
    pub fn flaws(&self) -> Vec<String> {
        let mut flaws = Vec::new();
        if self.summary.trim().is_empty() {
            flaws.push("`summary` is empty".to_owned());
        }
        if self.settings.get("additionalProperties") != Some(&Value::Bool(false)) {
            flaws.push(
                "`settings` has no `additionalProperties: false`: a mistyped setting passes unseen"
                    .to_owned(),
            );
        }
        let settings = self.settings.get("properties").and_then(Value::as_object);
        for (name, setting) in settings.into_iter().flatten() {
            if setting.get("description").is_none() {
                flaws.push(format!("the setting `{name}` has no `description`"));
            }
        }
        let values = self.outputs.values.iter();
        let undescribed = values.filter(|(_, value)| value.description.is_empty());
        flaws.extend(
            undescribed.map(|(name, _)| format!("the value `{name}` has no `description`")),
        );
        flaws
    }
}

/// A text that lives as long as the program.
pub(super) fn kept(text: &str) -> &'static str {
    Box::leak(text.to_owned().into_boxed_str())
}

/// Asks a program what it is.
///
/// # Errors
/// A sentence that says what is wrong with its answer.
pub fn describe(program: &Path) -> Result<Description, String> {
    let Said {
        status,
        output,
        errors,
    } = ask(program, "describe")?;
    if output.len() as u64 > LONGEST {
        return Err(format!(
            "its answer to `describe` is longer than {LONGEST} bytes"
        ));
    }
    if !status.success() {
        let last = errors.lines().last().unwrap_or("nothing was said");
        return Err(format!("`describe` ended with {status}: {last}"));
    }
    let description: Description = serde_json::from_slice(&output)
        .map_err(|error| format!("its answer to `describe` is no description: {error}"))?;
    if description.protocol != PROTOCOL {
        return Err(format!(
            "it speaks protocol {}, this pipectl speaks {PROTOCOL}",
            description.protocol
        ));
    }
    if description.settings.get("type") != Some(&json!("object")) {
        return Err(
            "`settings` is no JSON Schema of an object: its `type` must be `object`".to_owned(),
        );
    }
    Ok(description)
}

/// How a program has ended, and what it said.
pub(super) struct Said {
    pub(super) status: ExitStatus,
    pub(super) output: Vec<u8>,
    pub(super) errors: String,
}

/// Runs a program with one argument and nothing to read, for so long as one that only answers may take.
pub(super) fn ask(program: &Path, argument: &str) -> Result<Said, String> {
    let mut child = Command::new(program)
        .arg(argument)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("it cannot be started: {error}"))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (send, receive) = mpsc::channel();
    // Threads, for a program may write much to one stream before it writes to the other.
    thread::spawn(move || {
        let errors = thread::spawn(move || read(stderr));
        let output = read(stdout);
        // Who waits may have lost patience.
        let _sent = send.send((output, errors.join().unwrap_or_default()));
    });
    let Ok((output, errors)) = receive.recv_timeout(PATIENCE) else {
        let _killed = child.kill();
        let _ended = child.wait();
        let seconds = PATIENCE.as_secs();
        return Err(format!("it did not answer `{argument}` within {seconds} s"));
    };
    let status = child.wait();
    Ok(Said {
        status: status.map_err(|error| format!("lost sight of it: {error}"))?,
        output,
        errors: String::from_utf8_lossy(&errors).into_owned(),
    })
}

/// What a stream says, and a byte more than may be said.
fn read(stream: Option<impl std::io::Read>) -> Vec<u8> {
    let mut text = Vec::new();
    if let Some(stream) = stream {
        // What cannot be read was not said.
        let _read = stream.take(LONGEST + 1).read_to_end(&mut text);
    }
    text
}

#[cfg(test)]
mod tests {
    use pipectl_engine::operator::testing::TestProject;

    use super::*;

    fn described(script: &str) -> Result<Description, String> {
        let project = TestProject::new();
        let path = project.root().join("pipectl-extract-it");
        // Another process writes it: a file that this one has open while another thread forks cannot be executed.
        let write = "printf '#!/bin/sh\n%s\n' \"$1\" > \"$2\"; chmod 755 \"$2\"";
        let write = Command::new("sh")
            .args(["-c", write, "sh", script])
            .arg(&path)
            .status();
        assert!(write.unwrap().success());
        describe(&path)
    }

    #[test]
    fn a_description_is_read() {
        let description = described(
            r#"echo '{"protocol": 1, "summary": "Reads it.", "takes": ["left", "right"],
              "outputs": {"datasets": ["data"], "values": {"count": {"type": "integer", "description": "How many."}}}}'"#,
        )
        .unwrap();
        assert_eq!(description.takes(), Takes::Named(&["left", "right"]));
        let outputs = description.outputs();
        assert_eq!(outputs.datasets[0].name, "data");
        assert_eq!(outputs.values[0].of, ValueType::Integer);
        assert_eq!(description.flaws(), [""; 0]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (script, expected) in [
            (
                "echo hello",
                "its answer to `describe` is no description: expected value at line 1 column 1",
            ),
            (
                "echo oh no >&2; exit 3",
                "`describe` ended with exit status: 3: oh no",
            ),
            (
                r#"echo '{"protocol": 2, "summary": "x"}'"#,
                "it speaks protocol 2, this pipectl speaks 1",
            ),
            (
                r#"echo '{"protocol": 1, "summary": "x", "settings": {"type": "array"}}'"#,
                "`settings` is no JSON Schema of an object: its `type` must be `object`",
            ),
            (
                "yes | head -c 2000000",
                "its answer to `describe` is longer than 1048576 bytes",
            ),
        ] {
            assert_eq!(described(script).unwrap_err(), expected, "{script}");
        }
    }

    #[test]
    fn flaws_are_told() {
        let description = described(
            r#"echo '{"protocol": 1, "summary": " ", "settings": {"type": "object", "properties": {"a": {}}}}'"#,
        )
        .unwrap();
        assert_eq!(
            description.flaws(),
            [
                "`summary` is empty",
                "`settings` has no `additionalProperties: false`: a mistyped setting passes unseen",
                "the setting `a` has no `description`",
            ]
        );
    }
}
