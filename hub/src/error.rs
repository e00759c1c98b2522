//! What a caller is told when something is refused or fails, and the one place where that becomes a gRPC code.
//!
//! Messages say what was refused, where, and what to do. What only an operator can mend is told in few words; the log
//! has the rest.

use nave_common::field::FieldError;
use tonic::{Code, Status};

use crate::store;

/// Why a call is refused or failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Something of the request is not valid.
    #[error("{0}")]
    Field(#[from] FieldError),
    /// What was named is not there.
    #[error("{0}")]
    NotFound(String),
    /// Somebody else wrote in between, or the writer's copy is old.
    #[error("{0}")]
    Conflict(String),
    /// The request is valid but not in this state.
    #[error("{0}")]
    Refused(String),
    /// Who calls is not known.
    #[error("{0}")]
    Unauthenticated(String),
    /// Who calls may not do this.
    #[error("{0}")]
    Denied(String),
    /// A bound is reached; later it may work.
    #[error("{0}")]
    Exhausted(String),
    /// The hub cannot answer now; later it may.
    #[error("{0}")]
    Unavailable(String),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The hub itself is at fault.
    #[error("{0}")]
    Internal(String),
}

impl Error {
    /// A problem at a field of the request.
    pub fn field(path: impl Into<String>, problem: impl std::fmt::Display) -> Self {
        Self::Field(FieldError::new(path, problem))
    }

    /// The gRPC code of each kind.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Field(_) => Code::InvalidArgument,
            Self::NotFound(_) => Code::NotFound,
            Self::Conflict(_) => Code::Aborted,
            Self::Refused(_) => Code::FailedPrecondition,
            Self::Unauthenticated(_) => Code::Unauthenticated,
            Self::Denied(_) => Code::PermissionDenied,
            Self::Exhausted(_) => Code::ResourceExhausted,
            Self::Unavailable(_) => Code::Unavailable,
            Self::Store(error) => store_code(error),
            Self::Internal(_) => Code::Internal,
        }
    }
}

fn store_code(error: &store::Error) -> Code {
    use store::Error::{Closed, Conflict, Corrupt, Full, Invalid, TooLarge};
    match error {
        Invalid { .. } | TooLarge { .. } => Code::InvalidArgument,
        Conflict { .. } => Code::Aborted,
        Full { .. } => Code::ResourceExhausted,
        Closed { .. } => Code::Unavailable,
        Corrupt { .. } => Code::DataLoss,
        error if error.is_full() => Code::ResourceExhausted,
        _ => Code::Internal,
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let code = error.code();
        if matches!(code, Code::Internal | Code::DataLoss) {
            tracing::error!(error = %with_causes(&error), "a call failed");
        }
        Self::new(code, error.to_string())
    }
}

impl From<nave_common::name::InvalidName> for Error {
    fn from(error: nave_common::name::InvalidName) -> Self {
        Self::field("", error)
    }
}

/// An error and its causes in one line.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Expect, Key};

    #[test]
    fn each_kind_has_its_code() {
        let conflict =
            store::Error::Conflict { key: Key::new("a").unwrap(), expected: Expect::Absent, found: None };
        let full = store::Error::Full { folder: "/data".into(), free_bytes: 1, reserve_bytes: 2 };
        for (error, code) in [
            (Error::field("spec.source", "is missing"), Code::InvalidArgument),
            (Error::NotFound("x".into()), Code::NotFound),
            (Error::Store(conflict), Code::Aborted),
            (Error::Store(full), Code::ResourceExhausted),
            (Error::Store(store::Error::Closed { doing: "reading" }), Code::Unavailable),
        ] {
            assert_eq!(Status::from(error).code(), code);
        }
        let status = Status::from(Error::field("spec.source", "is missing"));
        assert_eq!(status.message(), "spec.source: is missing");
    }
}
