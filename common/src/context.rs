//! Contexts: which hubs a person can reach, and who he is there. The command line's own file.
//!
//! `nave-hub init` writes the first one; `nave` reads them. Reading and writing the file is in [`crate::runtime`].

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// The most contexts in one file.
pub const MAX_CONTEXTS: usize = 1000;

/// The contexts of one person, and which of them is used where none is named.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contexts {
    /// The contexts, each name once.
    pub contexts: Vec<Context>,
    /// The name of the one that is used where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
}

/// One hub, as one person reaches it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Context {
    /// What it is called on the command line.
    pub name: String,
    /// Where the hub listens, each as `host:port`; tried in turn.
    pub addresses: Vec<String>,
    /// The certificate of whom to trust as hub, in PEM.
    pub authority: String,
    /// The person's certificate, in PEM.
    pub certificate: String,
    /// Its private key, in PEM.
    pub key: PrivateKey,
}

/// A private key in PEM. It is wiped from memory when it is dropped, and never shown by `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct PrivateKey(Zeroizing<String>);

impl PrivateKey {
    /// The key in PEM.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.0
    }
}

impl From<String> for PrivateKey {
    fn from(pem: String) -> Self {
        Self(Zeroizing::new(pem))
    }
}

impl From<PrivateKey> for String {
    fn from(key: PrivateKey) -> Self {
        key.0.as_str().to_owned()
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(***)")
    }
}

impl Contexts {
    /// The context with this name, or the current one where none is named.
    #[must_use]
    pub fn get(&self, name: Option<&str>) -> Option<&Context> {
        let name = name.or(self.current.as_deref())?;
        self.contexts.iter().find(|context| context.name == name)
    }

    /// Adds a context, or replaces the one of the same name. The first one becomes the current one.
    pub fn put(&mut self, context: Context) {
        if self.current.is_none() {
            self.current = Some(context.name.clone());
        }
        match self.contexts.iter_mut().find(|known| known.name == context.name) {
            Some(known) => *known = context,
            None => self.contexts.push(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(name: &str) -> Context {
        Context {
            name: name.into(),
            addresses: vec!["127.0.0.1:7443".into()],
            authority: "authority".into(),
            certificate: "certificate".into(),
            key: PrivateKey::from("secret".to_owned()),
        }
    }

    #[test]
    fn the_first_context_is_the_current_one() {
        let mut contexts = Contexts::default();
        assert_eq!(contexts.get(None), None);
        contexts.put(context("a"));
        contexts.put(context("b"));
        assert_eq!(contexts.get(None).unwrap().name, "a");
        assert_eq!(contexts.get(Some("b")).unwrap().name, "b");
        assert_eq!(contexts.get(Some("c")), None);
    }

    #[test]
    fn a_key_is_not_shown() {
        assert!(!format!("{:?}", context("a")).contains("secret"));
    }
}
