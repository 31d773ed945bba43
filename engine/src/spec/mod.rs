//! The authored file: YAML with places, diagnostics, expressions.

pub mod codes;
mod diagnostic;
mod expression;
mod place;
mod scalar;
mod source;
pub mod suggest;
mod template;
pub mod yaml;

pub use diagnostic::{Diagnostic, Diagnostics, Found, Severity};
pub use expression::{Expression, ExpressionError, Scope};
pub use place::Place;
pub use source::{MAX_BYTES, Mark, SourceFile};
pub use template::{Template, TemplateNode};
