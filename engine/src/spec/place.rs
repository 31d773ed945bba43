//! Where something stands in a file.

use std::sync::Arc;

/// A stretch of a file's text on one line. Lines and columns count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The file, as messages name it.
    pub file: Arc<str>,
    /// The line.
    pub line: u32,
    /// The column of the first character.
    pub column: u32,
    /// How many characters are meant.
    pub length: u32,
}

impl Place {
    /// The beginning of a file.
    pub fn start_of(file: Arc<str>) -> Self {
        Self {
            file,
            line: 1,
            column: 1,
            length: 1,
        }
    }
}
