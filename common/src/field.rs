//! Field paths in errors: where in a document something is wrong.

use std::fmt;

/// A problem at one place of a document, such as `spec.placement.count: must be at least 1`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct FieldError {
    /// The path from the document's root, such as `spec.overrides[2].images.frontend`.
    pub path: String,
    /// What is wrong and what was expected.
    pub problem: String,
}

impl FieldError {
    /// A problem at `path`.
    pub fn new(path: impl Into<String>, problem: impl fmt::Display) -> Self {
        Self { path: path.into(), problem: problem.to_string() }
    }

    /// The same problem, seen from one level further out.
    #[must_use]
    pub fn under(self, parent: &str) -> Self {
        let path = match self.path.as_str() {
            "" => parent.to_owned(),
            rest if rest.starts_with('[') => format!("{parent}{rest}"),
            rest => format!("{parent}.{rest}"),
        };
        Self { path, problem: self.problem }
    }

    /// The same problem, seen from the map in which it stands under `key`. A key that is no plain word is quoted:
    /// `annotations["a.b/c"]`.
    #[must_use]
    pub fn within(self, key: &str) -> Self {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if !key.is_empty() && key.chars().all(plain) {
            self.under(key)
        } else {
            self.under(&format!("[{key:?}]"))
        }
    }

    /// The same problem, seen from the list in which it stands at `index`.
    #[must_use]
    pub fn at_index(self, index: usize) -> Self {
        self.under(&format!("[{index}]"))
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.problem)
        } else {
            write!(f, "{}: {}", self.path, self.problem)
        }
    }
}
