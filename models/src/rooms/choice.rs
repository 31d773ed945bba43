//! Which room runs a graph.

use std::path::PathBuf;

use super::{ModelFile, embedded, runtime};
use crate::error::{ModelError, Result};
use crate::scorer::{Graph, Session, decode, unknown_operators};

/// A room that runs graphs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// The own scorer: operators of tables.
    Own,
    /// ONNX Runtime, from its library.
    Runtime,
    /// rten, part of this program.
    Embedded,
}

impl Room {
    /// Its name, as logs and `pipectl doctor` show it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Own => "the built-in scorer",
            Self::Runtime => "ONNX Runtime",
            Self::Embedded => "rten, which is built in",
        }
    }
}

/// A graph that can be run.
pub struct Opened {
    /// Where.
    pub room: Room,
    /// The graph.
    pub session: Box<dyn Session>,
    /// Why ONNX Runtime does not run it, though its library was found.
    pub note: Option<String>,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Opened")
            .field("room", &self.room)
            .field("note", &self.note)
            .finish_non_exhaustive()
    }
}

/// The rooms that there are on this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rooms {
    /// Where the library of ONNX Runtime is, when it was found.
    pub runtime: Option<PathBuf>,
    /// Whether somebody has named it: then it has to load.
    pub runtime_is_wanted: bool,
}

impl Rooms {
    /// Opens a graph in the room that suits it.
    ///
    /// # Errors
    /// When no room can run it: the message names what nobody knows.
    pub fn open(&self, file: &ModelFile) -> Result<Opened> {
        match open_in(Room::Own, None, file) {
            Ok(session) => Ok(Opened {
                room: Room::Own,
                session,
                note: None,
            }),
            // What is wrong with a graph of known operators is wrong in every room.
            Err(error) if unknown_operators(file.nodes()).is_empty() => Err(error),
            Err(_) => self.open_network(file),
        }
    }

    /// Opens a graph that is known to be a neural network, which the own scorer is not made for.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_network(&self, file: &ModelFile) -> Result<Opened> {
        let mut note = None;
        if let Some(library) = &self.runtime {
            match open_in(Room::Runtime, Some(library), file) {
                Ok(session) => {
                    return Ok(Opened {
                        room: Room::Runtime,
                        session,
                        note,
                    });
                }
                Err(error) if self.runtime_is_wanted && !runtime::loads(library) => {
                    return Err(error);
                }
                Err(error) => note = Some(error.to_string()),
            }
        }
        match open_in(Room::Embedded, None, file) {
            Ok(session) => Ok(Opened {
                room: Room::Embedded,
                session,
                note,
            }),
            Err(error) => Err(nobody(&error, note)),
        }
    }

    /// Opens a graph in one room.
    ///
    /// # Errors
    /// When that room cannot run it, or is not there.
    pub fn open_in(&self, room: Room, file: &ModelFile) -> Result<Box<dyn Session>> {
        open_in(room, self.runtime.as_ref(), file)
    }
}

fn open_in(room: Room, library: Option<&PathBuf>, file: &ModelFile) -> Result<Box<dyn Session>> {
    Ok(match room {
        Room::Own => Box::new(Graph::load(&decode(file.bytes())?)?),
        Room::Embedded => Box::new(embedded::Embedded::open(file)?),
        Room::Runtime => {
            let library = library
                .ok_or_else(|| ModelError::settings("the library of ONNX Runtime was not found"))?;
            Box::new(runtime::Runtime::open(library, file)?)
        }
    })
}

/// The error when the last room does not want the graph either.
fn nobody(embedded: &ModelError, runtime: Option<String>) -> ModelError {
    let embedded = plain(embedded);
    match runtime {
        Some(runtime) => ModelError::format(format!(
            "no room can run it; ONNX Runtime says: {runtime}; rten says: {embedded}"
        )),
        None => ModelError::MissingRuntime(embedded),
    }
}

fn plain(error: &ModelError) -> String {
    match error {
        ModelError::Format(message) => message.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::onnx::proto::{
        GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorTypeProto, TypeProto,
        ValueInfoProto, element,
    };

    fn one(domain: &str, operator: &str) -> ModelFile {
        let named = |name: &str| ValueInfoProto {
            name: name.to_owned(),
            r#type: Some(TypeProto {
                tensor_type: Some(TensorTypeProto {
                    elem_type: element::FLOAT,
                    shape: None,
                }),
            }),
            ..ValueInfoProto::default()
        };
        let graph = GraphProto {
            node: vec![NodeProto {
                op_type: operator.to_owned(),
                domain: domain.to_owned(),
                input: vec!["x".into()],
                output: vec!["y".into()],
                ..NodeProto::default()
            }],
            input: vec![named("x")],
            output: vec![named("y")],
            ..GraphProto::default()
        };
        let model = ModelProto {
            ir_version: 8,
            opset_import: vec![OperatorSetIdProto {
                domain: String::new(),
                version: 17,
            }],
            graph: Some(graph),
            ..ModelProto::default()
        };
        ModelFile::from_bytes(model.encode_to_vec()).unwrap()
    }

    #[test]
    fn a_graph_of_known_operators_stays_in_the_own_scorer_and_another_goes_to_rten() {
        let rooms = Rooms::default();
        assert_eq!(rooms.open(&one("", "Abs")).unwrap().room, Room::Own);
        let opened = rooms.open(&one("", "Erf")).unwrap();
        assert_eq!((opened.room, opened.note), (Room::Embedded, None));
        assert_eq!(
            rooms.open_network(&one("", "Abs")).unwrap().room,
            Room::Embedded
        );
    }

    #[test]
    fn an_operator_that_nobody_knows_is_named_with_what_to_install() {
        let error = Rooms::default()
            .open(&one("com.example", "Frobnicate"))
            .unwrap_err();
        let message = error.to_string();
        assert!(message.contains("com.example/Frobnicate"), "{message}");
        assert!(message.contains("ONNX Runtime"), "{message}");
    }

    #[test]
    fn a_library_that_was_named_has_to_load_and_one_that_was_only_found_need_not() {
        let library = std::env::temp_dir().join("no-such-libonnxruntime.so");
        let mut rooms = Rooms {
            runtime: Some(library),
            runtime_is_wanted: false,
        };
        let opened = rooms.open(&one("", "Erf")).unwrap();
        assert_eq!(opened.room, Room::Embedded);
        assert!(opened.note.unwrap().contains("no-such-libonnxruntime.so"));
        rooms.runtime_is_wanted = true;
        let message = rooms.open(&one("", "Erf")).unwrap_err().to_string();
        assert!(message.contains("no-such-libonnxruntime.so"), "{message}");
    }
}
