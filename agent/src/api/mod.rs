//! The Kubernetes API as this crate uses it: a handful of verbs on any kind, with every detail of the answer.
//!
//! It stands on [`kube::Client`] for connections and credentials. Requests and answers are handled here, because
//! decisions need what a typed client hides (201 or 200, `Retry-After`, single causes), and because bodies may hold
//! Secrets and so must never reach a log.
//!
//! Nothing here retries or decides; one call is one request.

pub mod connect;
pub mod error;
pub mod list;
pub mod mask;
pub mod resource;
pub mod watch;

use std::time::Duration;

use http::{Method, Request, StatusCode, header};
use kube::client::Body;
use serde_json::{Value, json};

pub use self::error::{Error, Refusal};
pub use self::resource::{Gvk, Resource};

const JSON: &str = "application/json";
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
const METADATA_LIST: &str =
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
const APPLY_PATCH: &str = "application/apply-patch+yaml";
const JSON_PATCH: &str = "application/json-patch+json";

/// The API server itself gives up on most requests after 60 s.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(65);

/// A handle on one cluster's API server; cheap to clone.
#[derive(Clone)]
pub struct Api {
    client: kube::Client,
    field_manager: String,
}

/// Which object is meant, and how an error names it.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Its kind as the API server serves it.
    pub resource: &'a Resource,
    /// Its namespace, if it has one.
    pub namespace: Option<&'a str>,
    /// Its name.
    pub name: &'a str,
}

impl Target<'_> {
    fn describe(&self, verb: &str) -> String {
        let kind = &self.resource.gvk.kind;
        match self.namespace {
            Some(namespace) => format!("{verb} {kind} {namespace}/{}", self.name),
            None => format!("{verb} {kind} {}", self.name),
        }
    }

    fn path(&self) -> String {
        self.resource.object_path(self.namespace, self.name)
    }
}

/// The answer to an apply.
#[derive(Debug)]
pub struct Applied {
    /// Whether the object was not there before.
    pub created: bool,
    /// The object as it is now.
    pub object: Value,
}

/// The answer to a delete.
#[derive(Debug, PartialEq, Eq)]
pub enum Deleted {
    /// It is gone.
    Gone,
    /// It goes once its finalizers or its grace period are done.
    Going,
}

/// How an apply is done.
#[derive(Debug, Clone, Copy, Default)]
pub struct ApplyOptions {
    /// Takes fields over from other managers.
    pub force: bool,
    /// Changes nothing and answers as if.
    pub dry_run: bool,
}

impl Api {
    /// Speaks through `client`, and writes under the name of `field_manager`.
    #[must_use]
    pub fn new(client: kube::Client, field_manager: impl Into<String>) -> Self {
        Self { client, field_manager: field_manager.into() }
    }

    /// The name under which it writes.
    #[must_use]
    pub fn field_manager(&self) -> &str {
        &self.field_manager
    }

    /// Applies an object on the server's side.
    ///
    /// # Errors
    /// [`Error`]; conflicts are [`Refusal::is_field_conflict`]. Values of Secrets are masked.
    pub async fn apply(
        &self,
        target: Target<'_>,
        object: &Value,
        options: ApplyOptions,
    ) -> Result<Applied, Error> {
        let mut uri = target.path();
        uri.push_str("?fieldManager=");
        resource::escape_into(&mut uri, &self.field_manager);
        uri.push_str(if options.force { "&force=true" } else { "" });
        uri.push_str(if options.dry_run { "&dryRun=All" } else { "" });
        let what = target.describe("apply");
        let answer = self.call(&what, Method::PATCH, uri, APPLY_PATCH, JSON, object.to_string().into()).await;
        let (status, bytes) = answer.map_err(|error| masked(error, object))?;
        let object = parse(&what, &bytes)?;
        Ok(Applied { created: status == StatusCode::CREATED, object })
    }

    /// Reads an object.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn get(&self, target: Target<'_>) -> Result<Value, Error> {
        let what = target.describe("read");
        let (_, bytes) = self.call(&what, Method::GET, target.path(), "", JSON, Vec::new()).await?;
        parse(&what, &bytes)
    }

    /// Reads an object's metadata, and nothing else of it.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn get_metadata(&self, target: Target<'_>) -> Result<Value, Error> {
        let what = target.describe("read");
        let (_, bytes) = self.call(&what, Method::GET, target.path(), "", METADATA, Vec::new()).await?;
        parse(&what, &bytes)
    }

    /// Reads any path, such as `/version`.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn get_path(&self, path: &str) -> Result<Value, Error> {
        let what = format!("read {path}");
        let (_, bytes) = self.call(&what, Method::GET, path.to_owned(), "", JSON, Vec::new()).await?;
        parse(&what, &bytes)
    }

    /// Deletes an object if it has this UID and is in this version; what it owns follows in the background.
    ///
    /// # Errors
    /// [`Error`]; status 409 where the object is another or has changed.
    pub async fn delete(
        &self,
        target: Target<'_>,
        uid: Option<&str>,
        resource_version: Option<&str>,
    ) -> Result<Deleted, Error> {
        let mut preconditions = json!({});
        for (name, value) in [("uid", uid), ("resourceVersion", resource_version)] {
            if let Some(value) = value {
                preconditions[name] = value.into();
            }
        }
        let body = json!({
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": preconditions,
        });
        let what = target.describe("delete");
        let (_, bytes) =
            self.call(&what, Method::DELETE, target.path(), JSON, JSON, body.to_string().into()).await?;
        // What is gone at once is answered with a Status; what lingers, with itself.
        let answer = parse(&what, &bytes)?;
        Ok(if answer["kind"] == "Status" { Deleted::Gone } else { Deleted::Going })
    }

    /// Changes an object by a JSON patch (RFC 6902). No fields come to be owned by anyone through a removal.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn json_patch(&self, target: Target<'_>, patch: &Value) -> Result<Value, Error> {
        let mut uri = target.path();
        uri.push_str("?fieldManager=");
        resource::escape_into(&mut uri, &self.field_manager);
        let what = target.describe("patch");
        let (_, bytes) =
            self.call(&what, Method::PATCH, uri, JSON_PATCH, JSON, patch.to_string().into()).await?;
        parse(&what, &bytes)
    }

    /// One request; the body of a success.
    async fn call(
        &self,
        what: &str,
        method: Method,
        uri: String,
        content_type: &str,
        accept: &str,
        body: Vec<u8>,
    ) -> Result<(StatusCode, Vec<u8>), Error> {
        let mut request = Request::builder().method(method).uri(uri).header(header::ACCEPT, accept);
        if !content_type.is_empty() {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        let request =
            request.body(Body::from(body)).map_err(|error| unreachable_server(what, Box::new(error)))?;
        let exchange = async {
            let response =
                self.client.send(request).await.map_err(|error| unreachable_server(what, Box::new(error)))?;
            let status = response.status();
            let retry_after = retry_after(response.headers());
            let bytes = response
                .into_body()
                .collect_bytes()
                .await
                .map_err(|error| unreachable_server(what, Box::new(error)))?;
            if status.is_success() {
                Ok((status, bytes.to_vec()))
            } else {
                Err(Box::new(Refusal::read(what, status.as_u16(), &bytes, retry_after)).into())
            }
        };
        match tokio::time::timeout(REQUEST_TIMEOUT, exchange).await {
            Ok(outcome) => outcome,
            Err(elapsed) => Err(unreachable_server(what, Box::new(elapsed))),
        }
    }
}

fn unreachable_server(what: &str, source: Box<dyn std::error::Error + Send + Sync>) -> Error {
    Error::Unreachable { what: what.to_owned(), source }
}

fn parse(what: &str, bytes: &[u8]) -> Result<Value, Error> {
    serde_json::from_slice(bytes)
        .map_err(|source| Error::Unreadable { what: what.to_owned(), source: Box::new(source) })
}

fn masked(error: Error, object: &Value) -> Error {
    match error {
        Error::Refused(mut refusal) if mask::is_secret(object) => {
            refusal.message = mask::mask(&refusal.message, object);
            for cause in &mut refusal.causes {
                cause.message = mask::mask(&cause.message, object);
            }
            Error::Refused(refusal)
        }
        other => other,
    }
}

/// The seconds of a `Retry-After` header; the API server never writes a date there.
fn retry_after(headers: &header::HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").field("field_manager", &self.field_manager).finish_non_exhaustive()
    }
}
