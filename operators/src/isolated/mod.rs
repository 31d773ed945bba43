//! Attempts in processes of their own: the binary starts itself anew for one task, watches how much memory it takes, and
//! stops it at its limit. What kills such a process kills no other run.
//!
//! The parent writes the [`Request`](message::Request) to the child's standard input and keeps it open: when it closes,
//! because the parent was killed, the child ends with all that it has started. What the child says comes as lines on its
//! standard output: its log, its progress, at last its answer. Large things go through files: datasets through the artifact store,
//! artifacts and models through a directory of the attempt.

mod child;
mod message;
mod parent;
mod session;
mod watched;

pub use child::{ChildHouse, ChildProject, child};
pub use parent::ProcessIsolation;
