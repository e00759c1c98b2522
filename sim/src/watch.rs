//! Watches: a cursor into the history of one resource.
//!
//! A watch holds no queue. Polling it reads the history from where it stood; if the history no longer goes
//! back that far it ends with 410, as the real server's does. Whoever drives it waits for changes.

use std::time::Duration;

use hyper::body::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::kinds::ResourceId;
use crate::read::matches;
use crate::selector::Selector;
use crate::state::State;
use crate::status::Failure;
use crate::store::{Change, Event, Object};
use crate::view::View;

/// Without `timeoutSeconds` a watch lives this long, as on the real server (which adds chance).
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(1800);

/// What a watch is asked for.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) resource: ResourceId,
    pub(crate) namespace: Option<String>,
    pub(crate) selector: Selector,
    pub(crate) view: View,
    pub(crate) from: Option<u64>,
    pub(crate) initial: bool,
    pub(crate) bookmarks: bool,
    pub(crate) timeout: Option<u64>,
}

/// A running watch.
#[derive(Debug)]
pub struct Watch {
    start: Start,
    cursor: u64,
    pending: Vec<Bytes>,
    bookmark_at: Option<Timestamp>,
    ends_at: Timestamp,
    ended: bool,
}

/// What a poll gives.
#[derive(Debug, Default)]
pub struct Frames {
    /// Lines to send.
    pub lines: Vec<Bytes>,
    /// Nothing more will come.
    pub ended: bool,
    /// Poll again then, even if nothing has changed.
    pub wake_at: Option<Timestamp>,
}

fn line(kind: &str, object: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(object.len() + kind.len() + 24);
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\",\"object\":");
    out.extend_from_slice(object);
    out.extend_from_slice(b"}\n");
    Bytes::from(out)
}

fn json_line(kind: &str, object: &Value) -> Bytes {
    line(kind, object.to_string().as_bytes())
}

impl Watch {
    pub(crate) fn new(state: &State, start: Start, now: Timestamp) -> Watch {
        let timeout = start.timeout.map_or(TIMEOUT_DEFAULT, Duration::from_secs);
        let mut watch = Watch {
            cursor: start.from.unwrap_or_else(|| state.store.revision()),
            pending: Vec::new(),
            bookmark_at: start.bookmarks.then(|| later(now, state.config.bookmark_interval)),
            ends_at: later(now, timeout),
            ended: false,
            start,
        };
        if watch.start.from.is_none() || watch.start.initial {
            watch.send_initial(state);
        } else if watch.cursor > state.store.revision() {
            watch.fail(&Failure::other(504, "Timeout", "Too large resource version"));
        }
        watch
    }

    fn send_initial(&mut self, state: &State) {
        self.cursor = state.store.revision();
        for object in state.store.list(self.start.resource, self.start.namespace.as_deref()) {
            if matches(&self.start.selector, &object) {
                self.pending.push(line("ADDED", &self.start.view.bytes(&object)));
            }
        }
        if self.start.initial && self.start.bookmarks {
            let bookmark = self.start.view.bookmark(self.cursor, true);
            self.pending.push(json_line("BOOKMARK", &bookmark));
        }
    }

    fn fail(&mut self, failure: &Failure) {
        self.pending.push(json_line("ERROR", &failure.to_json()));
        self.ended = true;
    }

    fn selects(&self, object: &Object) -> bool {
        self.start.namespace.as_deref().is_none_or(|namespace| *namespace == *object.key.namespace)
            && matches(&self.start.selector, object)
    }

    /// An object that comes into the selection is added, one that leaves it is deleted.
    fn show(&self, event: &Event) -> Option<Bytes> {
        let is = event.change != Change::Deleted && self.selects(&event.object);
        let was = event.previous.as_ref().is_some_and(|previous| self.selects(previous));
        let kind = match (was, is) {
            (false, false) => return None,
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
        };
        if kind == "DELETED" && event.change != Change::Deleted {
            let mut last = event.previous.as_ref()?.value();
            last["metadata"]["resourceVersion"] = json!(event.revision.to_string());
            return Some(line(kind, &self.start.view.show(last)));
        }
        Some(line(kind, &self.start.view.bytes(&event.object)))
    }

    fn advance(&mut self, state: &State) {
        if self.cursor < state.store.forgotten(self.start.resource) {
            let message = format!(
                "too old resource version: {} ({})",
                self.cursor,
                state.store.forgotten(self.start.resource)
            );
            return self.fail(&Failure::expired(message));
        }
        let Some(table) = state.store.table(self.start.resource) else { return };
        if table.latest > self.cursor {
            let first = table.events.partition_point(|event| event.revision <= self.cursor);
            for event in table.events.range(first..) {
                self.pending.extend(self.show(event));
            }
        }
        self.cursor = self.cursor.max(state.store.revision());
    }
}

impl State {
    /// Reads what a watch has to send.
    pub fn poll_watch(&self, watch: &mut Watch, now: Timestamp) -> Frames {
        if !watch.ended {
            watch.advance(self);
        }
        if !watch.ended && now >= watch.ends_at {
            watch.ended = true;
        } else if watch.bookmark_at.is_some_and(|at| now >= at) && !watch.ended {
            let bookmark = watch.start.view.bookmark(watch.cursor, false);
            watch.pending.push(json_line("BOOKMARK", &bookmark));
            watch.bookmark_at = Some(later(now, self.config.bookmark_interval));
        }
        let wake_at = watch.bookmark_at.map_or(watch.ends_at, |at| at.min(watch.ends_at));
        Frames { lines: std::mem::take(&mut watch.pending), ended: watch.ended, wake_at: Some(wake_at) }
    }
}

/// An instant after another; the end of time if there is none.
pub(crate) fn later(now: Timestamp, by: Duration) -> Timestamp {
    now.checked_add(by).unwrap_or(Timestamp::MAX)
}
