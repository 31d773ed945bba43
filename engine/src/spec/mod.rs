//! The authored file: YAML with places, diagnostics, expressions.

pub mod codes;
pub(crate) mod comparisons;
mod diagnostic;
mod expression;
pub mod file;
pub mod filters;
pub(crate) mod interpolation;
pub(crate) mod lexer;
pub mod machine;
pub mod parse;
mod place;
mod promotion;
pub mod render;
mod row;
mod scalar;
mod source;
pub mod suggest;
mod template;
mod veil;
pub mod words;
pub mod yaml;

pub use diagnostic::{Diagnostic, Diagnostics, Found, Severity};
pub use expression::{Expression, ExpressionError, Scope};
pub use file::PipelineFile;
pub use place::Place;
pub use promotion::PromotionRule;
pub use row::RowTemplate;
pub use source::{MAX_BYTES, Mark, SourceFile};
pub use template::{Template, TemplateNode};
