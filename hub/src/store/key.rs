//! Keys: printable paths such as `application/default/shop`.

use std::fmt;
use std::sync::Arc;

/// The longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 512;

/// The name of an entry: segments of printable ASCII joined by `/`. Keys are ordered by their bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

/// A text that is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("key {text:?} is not valid: {why}")]
pub struct InvalidKey {
    text: String,
    why: &'static str,
}

impl Key {
    /// The key written as `text`. Fails where it is empty, longer than [`MAX_KEY_BYTES`], has an empty segment, or a
    /// byte that is not printable ASCII.
    pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidKey> {
        let text = text.as_ref();
        let why = if text.is_empty() {
            "it is empty"
        } else if text.len() > MAX_KEY_BYTES {
            "it is longer than 512 bytes"
        } else if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            "only printable ASCII without spaces may be in it"
        } else if text.split('/').any(str::is_empty) {
            "a segment between slashes is empty"
        } else {
            return Ok(Self(text.into()));
        };
        Err(InvalidKey { text: text.chars().take(80).collect(), why })
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key's bytes, by which keys are ordered.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The segments between the slashes, never empty.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for Key {
    type Err = InvalidKey;
    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        Self::new(text)
    }
}

/// Keys are ordered and hashed as their text, so maps of keys can be searched by text.
impl std::borrow::Borrow<str> for Key {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Key {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_printable_path() {
        for good in ["a", "application/default/shop", "blob/sha256:00ff", "x".repeat(MAX_KEY_BYTES).as_str()]
        {
            assert_eq!(Key::new(good).unwrap().as_str(), good);
        }
        let long = "x".repeat(MAX_KEY_BYTES + 1);
        for bad in ["", "/", "a/", "/a", "a//b", "a b", "a\n", "ä", long.as_str()] {
            assert!(Key::new(bad).is_err(), "{bad:?}");
        }
    }
}
