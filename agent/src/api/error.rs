//! What goes wrong between the agent and the API server, in a shape that decisions can be made on.

use std::time::Duration;

use serde::Deserialize;

/// Why a request did not do what it was for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No answer: no connection, a broken one, or none in time.
    #[error("cannot {what}: the API server does not answer")]
    Unreachable {
        /// What was attempted, such as `apply Deployment shop/cart`.
        what: String,
        /// What the client says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The API server said no.
    #[error(transparent)]
    Refused(#[from] Box<Refusal>),
    /// An answer that is not what the Kubernetes API promises.
    #[error("cannot {what}: the API server's answer cannot be read")]
    Unreadable {
        /// What was attempted.
        what: String,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The API server's no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot {what}: {message}")]
pub struct Refusal {
    /// What was attempted.
    pub what: String,
    /// The HTTP status.
    pub code: u16,
    /// The word for machines, such as `Conflict`.
    pub reason: String,
    /// The sentence for people.
    pub message: String,
    /// The details.
    pub causes: Vec<Cause>,
    /// How long the server asks to be left alone.
    pub retry_after: Option<Duration>,
}

/// One detail of a [`Refusal`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Cause {
    /// The word for machines, such as `FieldManagerConflict`.
    #[serde(default)]
    pub reason: String,
    /// The sentence for people.
    #[serde(default)]
    pub message: String,
    /// The field.
    #[serde(default)]
    pub field: String,
}

#[derive(Deserialize, Default)]
struct Status {
    #[serde(default)]
    message: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    details: Option<Details>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Details {
    #[serde(default)]
    causes: Vec<Cause>,
    #[serde(default)]
    retry_after_seconds: u64,
}

/// The longest message that is kept of a body that is no Kubernetes status, such as a proxy's page.
const MAX_FOREIGN_MESSAGE_CHARS: usize = 300;

impl Refusal {
    /// Reads the body of an answer whose status says no. `retry_after` is the header of that name.
    #[must_use]
    pub fn read(what: &str, code: u16, body: &[u8], retry_after: Option<Duration>) -> Self {
        let status = serde_json::from_slice::<Status>(body).unwrap_or_else(|_| {
            let text = String::from_utf8_lossy(body);
            let text: String = text.trim().chars().take(MAX_FOREIGN_MESSAGE_CHARS).collect();
            Status { message: format!("HTTP status {code}: {text}"), ..Status::default() }
        });
        let details = status.details.unwrap_or_default();
        let asked = Duration::from_secs(details.retry_after_seconds);
        Self {
            what: what.to_owned(),
            code,
            reason: status.reason,
            message: status.message,
            causes: details.causes,
            retry_after: retry_after.or_else(|| (!asked.is_zero()).then_some(asked)),
        }
    }

    /// Whether fields belong to other managers.
    #[must_use]
    pub fn is_field_conflict(&self) -> bool {
        self.code == 409 && self.causes.iter().any(|cause| cause.reason == "FieldManagerConflict")
    }

    /// Whether the object with the UID that was named is gone, or another one has its place.
    #[must_use]
    pub fn is_uid_mismatch(&self) -> bool {
        let says_so =
            ["uid mismatch", "UID in precondition"].iter().any(|words| self.message.contains(words));
        (self.code == 409 && says_so)
            || (self.code == 422 && self.causes.iter().any(|cause| cause.field == "metadata.uid"))
    }
}

impl Error {
    /// The status of a refusal; 0 where there was no answer.
    #[must_use]
    pub fn code(&self) -> u16 {
        match self {
            Self::Refused(refusal) => refusal.code,
            Self::Unreachable { .. } | Self::Unreadable { .. } => 0,
        }
    }

    /// Whether the object, or its kind, is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.code() == 404
    }

    /// Whether there was no connection or no answer.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }

    /// Whether the same request may well work in a moment, with nothing changed by a person.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Unreadable { .. } => true,
            // A field of a wrong type is answered with 500, and stays wrong.
            Self::Refused(refusal) if refusal.message.contains("failed to create typed patch object") => {
                false
            }
            Self::Refused(refusal) => {
                matches!(refusal.code, 408 | 429 | 500 | 502 | 503 | 504) || refusal.retry_after.is_some()
            }
        }
    }

    /// How long the server asks to be left alone.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(refusal) => refusal.retry_after,
            Self::Unreachable { .. } | Self::Unreadable { .. } => None,
        }
    }

    /// The whole chain in one line.
    #[must_use]
    pub fn describe(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            let more = error.to_string();
            if !text.contains(&more) {
                text.push_str(": ");
                text.push_str(&more);
            }
            source = error.source();
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conflict_is_read_with_its_causes() {
        let body = br#"{"kind":"Status","message":"Apply failed with 1 conflict","reason":"Conflict","details":{"causes":[
            {"reason":"FieldManagerConflict","message":"conflict with \"kubectl\" using apps/v1","field":".spec.replicas"}]},"code":409}"#;
        let refusal = Refusal::read("apply Deployment a/b", 409, body, None);
        assert!(refusal.is_field_conflict());
        assert_eq!(refusal.causes[0].field, ".spec.replicas");
        assert_eq!(refusal.to_string(), "cannot apply Deployment a/b: Apply failed with 1 conflict");
    }

    #[test]
    fn answer_that_is_no_status_is_kept_short() {
        let refusal = Refusal::read("list", 502, "x".repeat(5000).as_bytes(), Some(Duration::from_secs(3)));
        assert!(refusal.message.len() < 400);
        let error = Error::from(Box::new(refusal));
        assert!(error.is_transient());
        assert_eq!(error.retry_after(), Some(Duration::from_secs(3)));
    }

    #[test]
    fn a_server_that_asks_for_patience_in_the_body_is_heard() {
        let body = br#"{"kind":"Status","reason":"TooManyRequests","details":{"retryAfterSeconds":2}}"#;
        let error = Error::from(Box::new(Refusal::read("x", 429, body, None)));
        assert_eq!(error.retry_after(), Some(Duration::from_secs(2)));
    }

    #[test]
    fn a_field_of_a_wrong_type_is_no_passing_trouble() {
        let body =
            br#"{"message":"failed to create typed patch object (a/b; /v1, Kind=Secret): .immutable: expected boolean"}"#;
        assert!(!Error::from(Box::new(Refusal::read("x", 500, body, None))).is_transient());
        assert!(Error::from(Box::new(Refusal::read("x", 500, b"etcd is away", None))).is_transient());
    }

    #[test]
    fn replaced_and_vanished_objects_are_told_by_their_uid() {
        let gone = br#"{"message":"Operation cannot be fulfilled on configmaps \"zz\": uid mismatch: the provided object specified uid 1, and no existing object was found","reason":"Conflict"}"#;
        let other = br#"{"message":"invalid","reason":"Invalid","details":{"causes":[{"reason":"FieldValueInvalid","field":"metadata.uid"}]}}"#;
        assert!(Refusal::read("x", 409, gone, None).is_uid_mismatch());
        assert!(Refusal::read("x", 422, other, None).is_uid_mismatch());
        assert!(!Refusal::read("x", 409, gone, None).is_field_conflict());
    }
}
