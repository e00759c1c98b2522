//! Lists, page by page, so that neither side holds more than a page at a time.

use http::Method;
use serde_json::Value;

use super::resource::{self, Resource};
use super::{Api, Error, JSON, METADATA_LIST, parse};

/// How many objects a page holds.
const PAGE_OBJECTS: u32 = 250;

/// How many metadata a page holds.
const PAGE_METADATA: u32 = 500;

/// Which objects are listed.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    /// The kind.
    pub resource: &'a Resource,
    /// In one namespace, or in all.
    pub namespace: Option<&'a str>,
    /// A label selector; empty for every object.
    pub labels: &'a str,
    /// Only `metadata` of each.
    pub metadata_only: bool,
    /// How many objects a page holds at most, where it matters.
    pub page: Option<u32>,
}

impl<'a> Query<'a> {
    /// Every object of a kind.
    #[must_use]
    pub fn all(resource: &'a Resource) -> Self {
        Self { resource, namespace: None, labels: "", metadata_only: false, page: None }
    }

    /// Only those in `namespace`.
    #[must_use]
    pub fn within(self, namespace: Option<&'a str>) -> Self {
        Self { namespace, ..self }
    }

    /// Only those whose labels match.
    #[must_use]
    pub fn labelled(self, labels: &'a str) -> Self {
        Self { labels, ..self }
    }

    /// Only `metadata` of each.
    #[must_use]
    pub fn metadata(self) -> Self {
        Self { metadata_only: true, ..self }
    }
}

/// One page of a list.
#[derive(Debug, Default)]
pub struct Page {
    /// The objects. Items of a list leave `apiVersion` and `kind` to the list.
    pub items: Vec<Value>,
    /// The version of the whole list, from which a watch goes on without a gap.
    pub resource_version: String,
    /// Where the next page starts; empty on the last.
    pub next: String,
}

impl Api {
    /// One page: the first, or the one that `next` of the page before names.
    ///
    /// # Errors
    /// [`Error`]; status 410 where the list has grown too old to go on with.
    pub async fn list_page(&self, query: Query<'_>, next: &str) -> Result<Page, Error> {
        let mut uri = query.resource.collection_path(query.namespace);
        let default_page = if query.metadata_only { PAGE_METADATA } else { PAGE_OBJECTS };
        uri.push_str(&format!("?limit={}", query.page.unwrap_or(default_page)));
        for (name, value) in [("labelSelector", query.labels), ("continue", next)] {
            if !value.is_empty() {
                uri.push_str(&format!("&{name}="));
                resource::escape_into(&mut uri, value);
            }
        }
        let what = match query.namespace {
            Some(namespace) => format!("list {} in namespace {namespace}", query.resource.plural),
            None => format!("list {}", query.resource.plural),
        };
        let accept = if query.metadata_only { METADATA_LIST } else { JSON };
        let (_, bytes) = self.call(&what, Method::GET, uri, "", accept, Vec::new()).await?;
        let mut list = parse(&what, &bytes)?;
        drop(bytes);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let resource_version = text(&list["metadata"]["resourceVersion"]);
        let next = text(&list["metadata"]["continue"]);
        let items = match list["items"].take() {
            Value::Array(items) => items,
            _ => Vec::new(),
        };
        Ok(Page { items, resource_version, next })
    }

    /// All pages in one. For what is known to be small.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn list(&self, query: Query<'_>) -> Result<Vec<Value>, Error> {
        let mut items = Vec::new();
        let mut next = String::new();
        loop {
            let page = self.list_page(query, &next).await?;
            items.extend(page.items);
            if page.next.is_empty() {
                return Ok(items);
            }
            next = page.next;
        }
    }
}
