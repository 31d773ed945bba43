//! Mails: what they say, and the message that goes over the wire.

mod content;
mod message;
mod template;

pub use message::{MessageError, digest, message};
pub use template::{RenderError, Rendered, render, render_digest};
