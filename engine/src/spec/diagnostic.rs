//! Complaints about a file: each with its place, a code and a hint, all of them at once.

use std::sync::Arc;

use serde::Serialize;

use super::{Mark, Place};

/// How bad a complaint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The file cannot run.
    Error,
    /// The file can run.
    Warning,
}

impl Severity {
    /// The word that messages begin with.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One complaint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Its code, such as `P012`: documented, stable.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// Where it is.
    pub place: Place,
    /// What is wrong: a lower-case fragment.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// An error at a place.
    pub fn error(code: &'static str, place: Place, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            place,
            message: message.into(),
            hint: None,
        }
    }

    /// A warning at a place.
    pub fn warning(code: &'static str, place: Place, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(code, place, message)
        }
    }

    /// Says what to do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says what to do about it.
    pub fn hint(&mut self, hint: impl Into<String>) -> &mut Self {
        self.hint = Some(hint.into());
        self
    }
}

/// All complaints about a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// Adds a complaint.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }

    /// Adds complaints.
    pub fn extend(&mut self, diagnostics: impl IntoIterator<Item = Diagnostic>) {
        self.0.extend(diagnostics);
    }

    /// Adds all complaints of another list.
    pub fn append(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Whether one of them is an error.
    pub fn has_errors(&self) -> bool {
        self.0
            .iter()
            .any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// All of them, in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In the order of the file, each of them once.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.0.sort_by(|a, b| {
            let key = |d: &Diagnostic| (d.place.line, d.place.column);
            a.place
                .file
                .cmp(&b.place.file)
                .then_with(|| key(a).cmp(&key(b)))
                .then_with(|| a.code.cmp(b.code))
        });
        self.0.dedup();
        self
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        Self(vec![diagnostic])
    }
}

/// Collects complaints about one file.
#[derive(Debug)]
pub struct Found {
    file: Arc<str>,
    list: Diagnostics,
}

impl Found {
    /// Nothing found yet in the file called `file`.
    pub fn new(file: Arc<str>) -> Self {
        Self {
            file,
            list: Diagnostics::default(),
        }
    }

    /// Adds an error.
    pub fn error(
        &mut self,
        code: &'static str,
        mark: Mark,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        self.add(Diagnostic::error(code, mark.place(&self.file), message))
    }

    /// Adds a warning.
    pub fn warning(
        &mut self,
        code: &'static str,
        mark: Mark,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        self.add(Diagnostic::warning(code, mark.place(&self.file), message))
    }

    /// The file's name.
    pub fn file(&self) -> &Arc<str> {
        &self.file
    }

    /// An empty collection for the same file.
    #[must_use]
    pub fn scratch(&self) -> Self {
        Self::new(self.file.clone())
    }

    /// Takes over what another collection has.
    pub fn absorb(&mut self, other: Self) {
        self.list.append(other.list);
    }

    /// How many complaints there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// All of them, in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter()
    }

    /// What was found.
    pub fn into_diagnostics(self) -> Diagnostics {
        self.list
    }

    /// Adds a complaint that is already made.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.list.push(diagnostic);
    }

    fn add(&mut self, diagnostic: Diagnostic) -> &mut Diagnostic {
        self.list.0.push(diagnostic);
        let last = self.list.0.len() - 1;
        &mut self.list.0[last]
    }
}
