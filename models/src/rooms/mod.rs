//! Where a graph is run: three rooms behind one trait, [`Session`].
//!
//! The own scorer knows the operators of tables. ONNX Runtime, a library that need not be there, knows all and is
//! fast; rten, which is part of this program, knows those of neural networks. What the own scorer cannot run goes to
//! ONNX Runtime when its library was found, else to rten.

mod choice;
mod embedded;
mod file;
mod runtime;

pub use choice::{Opened, Room, Rooms};
pub use file::ModelFile;
pub use runtime::loaded as runtime_loads;

#[cfg(doc)]
use crate::scorer::Session;
