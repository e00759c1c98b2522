//! Pages: bounded by items and by bytes, and a token that says where the next one begins.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nave_common::name::{ApplicationKey, ClusterName};
use prost::Message;

use crate::error::Error;

/// The most items on one page.
pub(super) const MAX_PAGE_ITEMS: usize = 500;
/// A page ends with the item that takes it past this; well below the 4 MiB that clients take by default.
pub(super) const MAX_PAGE_BYTES: usize = 2 << 20;
/// The longest page token, in bytes.
const MAX_TOKEN_BYTES: usize = 512;

/// A page that is being filled.
#[derive(Debug)]
pub(super) struct Page<T> {
    items: Vec<T>,
    size_bytes: usize,
    limit: usize,
}

impl<T: Message> Page<T> {
    /// An empty page of the size asked for; zero is the most there is.
    #[must_use]
    pub(super) fn new(page_size: u32) -> Self {
        let asked = usize::try_from(page_size).unwrap_or(MAX_PAGE_ITEMS);
        let limit = if asked == 0 { MAX_PAGE_ITEMS } else { asked.min(MAX_PAGE_ITEMS) };
        Self { items: Vec::new(), size_bytes: 0, limit }
    }

    /// The most items it takes.
    #[must_use]
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Fills the page from `keys`, of which there should be one more than fit if there are more, and returns the key
    /// after which the next page begins, if there is a next. A key whose item is gone meanwhile is left out.
    pub(super) fn fill<K: Clone>(&mut self, keys: &[K], mut item: impl FnMut(&K) -> Option<T>) -> Option<K> {
        for (index, key) in keys.iter().enumerate() {
            if self.is_full() {
                return index.checked_sub(1).and_then(|before| keys.get(before)).cloned();
            }
            if let Some(item) = item(key) {
                self.push(item);
            }
        }
        None
    }

    /// Whether nothing more fits.
    #[must_use]
    pub(super) fn is_full(&self) -> bool {
        self.items.len() >= self.limit || self.size_bytes >= MAX_PAGE_BYTES
    }

    /// Adds an item.
    pub(super) fn push(&mut self, item: T) {
        self.size_bytes += item.encoded_len();
        self.items.push(item);
    }

    /// What is on the page.
    #[must_use]
    pub(super) fn into_items(self) -> Vec<T> {
        self.items
    }
}

/// A token for what comes after `last`.
#[must_use]
pub(super) fn token(last: &str) -> String {
    URL_SAFE_NO_PAD.encode(last)
}

/// What a token says; `None` for the empty one.
///
/// # Errors
/// Where it is none of this hub's.
pub(super) fn read_token<T: std::str::FromStr>(token: &str) -> Result<Option<T>, Error> {
    if token.is_empty() {
        return Ok(None);
    }
    let text = (token.len() <= MAX_TOKEN_BYTES).then(|| URL_SAFE_NO_PAD.decode(token).ok()).flatten();
    let value = text.and_then(|bytes| String::from_utf8(bytes).ok()).and_then(|text| text.parse().ok());
    value.map(Some).ok_or_else(|| {
        Error::field("pageToken", "is not valid; expected nextPageToken of the answer before, unchanged")
    })
}

/// One application in one cluster, as a page token has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pair(pub ClusterName, pub ApplicationKey);

impl std::fmt::Display for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.0, self.1)
    }
}

impl std::str::FromStr for Pair {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        let (cluster, key) = text.split_once(' ').ok_or_else(|| Error::field("", "has one part"))?;
        Ok(Self(cluster.parse()?, key.parse()?))
    }
}

#[cfg(test)]
mod tests {
    use nave_proto::v1;

    use super::*;

    #[test]
    fn tokens_round_trip_and_others_are_refused() {
        let pair = Pair("eu-1".parse().unwrap(), "retail/shop".parse().unwrap());
        assert_eq!(read_token(&token(&pair.to_string())).unwrap(), Some(pair));
        assert!(read_token::<ApplicationKey>("").unwrap().is_none());
        assert!(read_token::<ApplicationKey>("%%%").is_err());
        assert!(read_token::<ApplicationKey>(&token("UPPER")).is_err());
    }

    #[test]
    fn a_page_is_bounded_by_items_and_bytes() {
        let mut page = Page::new(2);
        page.push(v1::Remove {});
        assert!(!page.is_full());
        page.push(v1::Remove {});
        assert!(page.is_full());
        let mut page = Page::new(0);
        page.push(v1::HeartbeatAck::default());
        assert!(!page.is_full());
        let mut page = Page::new(2);
        assert_eq!(page.fill(&[1, 2, 3], |_| Some(v1::Remove {})), Some(2));
        assert_eq!(Page::new(3).fill(&[1, 2, 3], |_| Some(v1::Remove {})), None);
        let mut page = Page::new(100);
        page.push(v1::UploadBundleResponse { digest: "x".repeat(MAX_PAGE_BYTES), object_count: 0 });
        assert!(page.is_full() && page.into_items().len() == 1);
    }
}
