//! The authored file: YAML with places, diagnostics, expressions.

mod diagnostic;
mod expression;
mod place;
mod template;

pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use expression::{Expression, ExpressionError, Scope};
pub use place::Place;
pub use template::{Template, TemplateNode};
