//! One call of a person or pipeline: who it is, and the identifier that follows what it changes.

use nave_common::name::UserName;
use tonic::Request;

use crate::auth::{access, peer};
use crate::error::Error;

/// The metadata under which a client may name the identifier of its change.
pub const CHANGE_ID_HEADER: &str = "nave-change-id";
/// The longest change identifier, in bytes.
const MAX_CHANGE_ID_BYTES: usize = 64;
/// The letters of a generated identifier: none that is easily taken for another.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// How long a generated identifier is: fifty random bits.
const GENERATED_LETTERS: usize = 10;

/// One call.
#[derive(Debug, Clone)]
pub struct Call {
    /// Who calls.
    pub user: UserName,
    /// Follows what this call changes, to the agents that apply it.
    pub change_id: String,
}

impl Call {
    /// Who calls, if he may do that; and the identifier of the change.
    ///
    /// # Errors
    /// Where it is nobody, or no person, or one who may not; and where the identifier is no identifier.
    pub fn open<T>(request: &Request<T>, verb: access::Verb) -> Result<Self, Error> {
        let user = peer::user(request)?;
        access::check(&user, verb)?;
        let change_id = match request.metadata().get(CHANGE_ID_HEADER) {
            Some(given) => checked(given.to_str().unwrap_or_default())?,
            None => generated(rand::random()),
        };
        tracing::debug!(%user, ?verb, change_id, "call");
        Ok(Self { user, change_id })
    }
}

fn checked(text: &str) -> Result<String, Error> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if text.is_empty() || text.len() > MAX_CHANGE_ID_BYTES || !text.bytes().all(legal) {
        return Err(Error::field(
            format!("metadata {CHANGE_ID_HEADER}"),
            format!(
                "is not valid; expected letters, digits, '-', '_' and '.', 1 to {MAX_CHANGE_ID_BYTES} bytes"
            ),
        ));
    }
    Ok(text.to_owned())
}

fn generated(random: u64) -> String {
    let letter = |place: usize| LETTERS.get((random >> (5 * place)) as usize & 31).copied().unwrap_or(b'a');
    (0..GENERATED_LETTERS).map(|place| char::from(letter(place))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_short_and_plain() {
        assert_eq!(generated(0), "aaaaaaaaaa");
        assert_eq!(generated(u64::MAX), "9999999999");
        assert_eq!(checked(&generated(0x1234_5678_9abc_def0)).unwrap().len(), GENERATED_LETTERS);
        for bad in ["", "a b", "é", &"x".repeat(65)] {
            assert!(checked(bad).is_err(), "{bad}");
        }
    }
}
