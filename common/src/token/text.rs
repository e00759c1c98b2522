//! The text of a join token, as a person pastes it: `nave1.` and the base64url of its JSON.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// What every token begins with: the form of what follows.
const PREFIX: &str = "nave1.";
/// The longest token, in bytes: some certificates and addresses.
const MAX_TEXT_BYTES: usize = 64 << 10;

/// What stands in a join token.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenText {
    /// Where hubs listen, each as `host:port`; tried in turn.
    pub addresses: Vec<String>,
    /// X.509, DER: whom to trust as hub. It is what makes the first connection safe.
    pub authority: Vec<u8>,
    /// Names the token; not secret.
    pub id: String,
    /// What the hub knows the hash of.
    pub secret: Zeroizing<String>,
}

/// Why a text is no join token. It never quotes the text, which is secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the join token is not valid: {0}; expected the whole text that `nave token create` printed, from {PREFIX:?} on"
)]
pub struct InvalidToken(pub &'static str);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    addresses: Vec<String>,
    authority: String,
    id: String,
    secret: Zeroizing<String>,
}

impl TokenText {
    /// The text to paste.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<String> {
        let content = Content {
            addresses: self.addresses.clone(),
            authority: STANDARD.encode(&self.authority),
            id: self.id.clone(),
            secret: self.secret.clone(),
        };
        // Strings always have a JSON form.
        let json = Zeroizing::new(serde_json::to_vec(&content).unwrap_or_default());
        Zeroizing::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(&*json)))
    }

    /// Reads a pasted text. White space around it and line breaks within it are forgiven: terminals add them.
    ///
    /// # Errors
    /// Where it is not whole or not a join token.
    pub fn parse(text: &str) -> Result<Self, InvalidToken> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(InvalidToken("it is too long"));
        }
        let text: Zeroizing<String> = Zeroizing::new(text.split_whitespace().collect());
        if text.is_empty() {
            return Err(InvalidToken("it is empty"));
        }
        let body = text.strip_prefix(PREFIX).ok_or(InvalidToken("it begins with something else"))?;
        let json = URL_SAFE_NO_PAD
            .decode(body.trim_end_matches('='))
            .map(Zeroizing::new)
            .map_err(|_| InvalidToken("it holds letters that no token has, or its end is missing"))?;
        let content: Content =
            serde_json::from_slice(&json).map_err(|_| InvalidToken("its content is damaged or cut off"))?;
        let authority =
            STANDARD.decode(content.authority).map_err(|_| InvalidToken("its certificate is damaged"))?;
        if content.addresses.is_empty() || authority.is_empty() || content.secret.is_empty() {
            return Err(InvalidToken("its addresses, certificate or secret are missing"));
        }
        Ok(Self { addresses: content.addresses, authority, id: content.id, secret: content.secret })
    }

    /// Whom to trust as hub, in PEM.
    #[must_use]
    pub fn authority_pem(&self) -> String {
        crate::runtime::tls::certificate_pem(&self.authority)
    }
}

impl fmt::Debug for TokenText {
    /// Everything but the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenText")
            .field("id", &self.id)
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}
