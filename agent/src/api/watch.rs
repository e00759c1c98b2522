//! One watch request: its events as they come.

use std::pin::Pin;
use std::time::Duration;

use http::{Request, header};
use hyper::body::Body as _;
use kube::client::Body;
use serde::Deserialize;
use serde_json::Value;

use super::resource::{self, Resource};
use super::{Api, Error, JSON, Refusal, retry_after, unreachable_server};

/// How long the API server keeps a watch open. It comes with jitter, so that watches do not all start anew at once.
const WATCH_TIMEOUT: Duration = Duration::from_secs(240);

/// A connection on which nothing comes for so long is taken to be broken: bookmarks come about every minute.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(200);

/// How long the answer's head may take.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest event; the largest object and its managed fields are well below.
const MAX_EVENT_BYTES: usize = 8 << 20;

/// What a watch tells.
#[derive(Debug)]
pub enum Event {
    /// An object is there, or there anew, or has changed.
    Present(Value),
    /// An object is gone, or no longer matches; this is what it was before.
    Gone(Value),
    /// Nothing up to this version was missed.
    Bookmark(String),
}

/// An open watch.
pub struct Watch {
    what: String,
    body: Body,
    /// What came after the last whole line.
    buffer: Vec<u8>,
    /// How much of `buffer` was searched for the line's end.
    searched: usize,
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "type")]
    kind: String,
    object: Value,
}

impl Api {
    /// Opens a watch on every object of a kind that matches, from a version on.
    ///
    /// # Errors
    /// [`Error`]; status 410 where that version is too old.
    pub async fn watch(
        &self,
        resource: &Resource,
        labels: &str,
        resource_version: &str,
    ) -> Result<Watch, Error> {
        let timeout = WATCH_TIMEOUT.as_secs() + rand::random_range(0..60);
        let mut uri = format!(
            "{}?watch=true&allowWatchBookmarks=true&timeoutSeconds={timeout}",
            resource.collection_path(None)
        );
        for (name, value) in [("labelSelector", labels), ("resourceVersion", resource_version)] {
            if !value.is_empty() {
                uri.push_str(&format!("&{name}="));
                resource::escape_into(&mut uri, value);
            }
        }
        let what = format!("watch {}", resource.plural);
        let request = Request::get(uri)
            .header(header::ACCEPT, JSON)
            // A compressed watch comes in pieces that the client cannot take apart.
            .header(header::ACCEPT_ENCODING, "identity")
            .body(Body::empty())
            .map_err(|error| unreachable_server(&what, Box::new(error)))?;
        let response = tokio::time::timeout(START_TIMEOUT, self.client.send(request))
            .await
            .map_err(|elapsed| unreachable_server(&what, Box::new(elapsed)))?
            .map_err(|error| unreachable_server(&what, Box::new(error)))?;
        let status = response.status();
        let wait = retry_after(response.headers());
        let body = response.into_body();
        if status.is_success() {
            return Ok(Watch { what, body, buffer: Vec::new(), searched: 0 });
        }
        let bytes = body.collect_bytes().await.map_err(|error| unreachable_server(&what, Box::new(error)))?;
        Err(Box::new(Refusal::read(&what, status.as_u16(), &bytes, wait)).into())
    }
}

impl Watch {
    /// The next event; `None` where the server has ended the watch, as it does from time to time.
    ///
    /// # Errors
    /// [`Error`]; status 410 where the watch cannot go on and a list must come first.
    pub async fn next(&mut self) -> Result<Option<Event>, Error> {
        loop {
            if let Some(line) = self.take_line() {
                match self.read(&line)? {
                    Some(event) => return Ok(Some(event)),
                    None => continue,
                }
            }
            if self.buffer.len() > MAX_EVENT_BYTES {
                return Err(self.unreadable(format!("an event is larger than {MAX_EVENT_BYTES} bytes")));
            }
            let frame = std::future::poll_fn(|context| Pin::new(&mut self.body).poll_frame(context));
            match tokio::time::timeout(SILENCE_TIMEOUT, frame).await {
                Err(elapsed) => return Err(unreachable_server(&self.what, Box::new(elapsed))),
                Ok(None) => return Ok(None),
                Ok(Some(Err(error))) => return Err(unreachable_server(&self.what, Box::new(error))),
                Ok(Some(Ok(frame))) => {
                    if let Some(data) = frame.data_ref() {
                        self.buffer.extend_from_slice(data);
                    }
                }
            }
        }
    }

    fn take_line(&mut self) -> Option<Vec<u8>> {
        let found = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n');
        let Some(at) = found.map(|at| at + self.searched) else {
            self.searched = self.buffer.len();
            return None;
        };
        let rest = self.buffer.split_off(at + 1);
        self.searched = 0;
        Some(std::mem::replace(&mut self.buffer, rest))
    }

    fn read(&self, line: &[u8]) -> Result<Option<Event>, Error> {
        if line.trim_ascii().is_empty() {
            return Ok(None);
        }
        let line: Line = serde_json::from_slice(line).map_err(|error| self.unreadable(error.to_string()))?;
        match line.kind.as_str() {
            "ADDED" | "MODIFIED" => Ok(Some(Event::Present(line.object))),
            "DELETED" => Ok(Some(Event::Gone(line.object))),
            "BOOKMARK" => {
                let version = line.object["metadata"]["resourceVersion"].as_str().unwrap_or_default();
                Ok(Some(Event::Bookmark(version.to_owned())))
            }
            "ERROR" => {
                let code = line.object["code"].as_u64().and_then(|code| u16::try_from(code).ok());
                let body = line.object.to_string();
                Err(Box::new(Refusal::read(&self.what, code.unwrap_or(500), body.as_bytes(), None)).into())
            }
            // A kind of event that is newer than this agent.
            _ => Ok(None),
        }
    }

    fn unreadable(&self, problem: String) -> Error {
        Error::Unreadable { what: self.what.clone(), source: problem.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(chunks: &[&str]) -> Watch {
        // A body of one piece; the pieces are put into the buffer as they would have come.
        Watch { what: "watch".into(), body: Body::empty(), buffer: chunks.concat().into_bytes(), searched: 0 }
    }

    #[tokio::test]
    async fn events_come_one_line_each() {
        let mut watch = watch(&[
            r#"{"type":"ADDED","object":{"a":1}}"#,
            "\n",
            r#"{"type":"DELETED","object":{"a":2}}"#,
            "\n\n",
            r#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"7"}}}"#,
            "\n",
            r#"{"type":"ADDED","object":"#,
        ]);
        assert!(matches!(watch.next().await, Ok(Some(Event::Present(object))) if object["a"] == 1));
        assert!(matches!(watch.next().await, Ok(Some(Event::Gone(object))) if object["a"] == 2));
        assert!(matches!(watch.next().await, Ok(Some(Event::Bookmark(version))) if version == "7"));
        assert!(matches!(watch.next().await, Ok(None)), "a line that was cut off is no event");
    }

    #[tokio::test]
    async fn error_event_carries_its_status() {
        let mut watch = watch(&[r#"{"type":"ERROR","object":{"code":410,"reason":"Expired"}}"#, "\n"]);
        assert_eq!(watch.next().await.unwrap_err().code(), 410);
    }
}
