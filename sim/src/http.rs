//! HTTP/1.1 around the core: reads requests, writes answers, drives watches. It decides nothing.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use futures::stream;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use hyper::body::{Bytes, Incoming};
use tokio::sync::watch::Receiver;

use crate::cluster::Shared;
use crate::faults::Failing;
use crate::request::{Request, resource_path, verb};
use crate::state::Reply;
use crate::status::Failure;
use crate::watch::Watch;

/// The largest body that is read.
const BODY_BYTES_MAX: usize = 8 << 20;

/// Answers one request.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    incoming: http::Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let request = match read(incoming).await {
        Ok(request) => request,
        Err(failure) => return Ok(failed(&failure, None)),
    };
    let verb = verb(&request, resource_path(&request.path).as_ref());
    let (wait, failing) = shared.faults.decide(&request, verb);
    if !wait.is_zero() {
        tokio::time::sleep(wait).await;
    }
    if let Some(failing) = failing {
        return Ok(injected(&failing));
    }
    let mut changed = shared.changed.subscribe();
    changed.mark_unchanged();
    Ok(match shared.handle(&request) {
        Reply::Whole { code, content_type, body, warnings } => whole(code, content_type, body, &warnings),
        Reply::Watch(watch) => watching(shared, *watch, changed),
    })
}

async fn read(incoming: http::Request<Incoming>) -> Result<Request, Box<Failure>> {
    let (parts, body) = incoming.into_parts();
    let header = |name: http::HeaderName| {
        parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    let body = axum::body::to_bytes(Body::new(body), BODY_BYTES_MAX)
        .await
        .map_err(|error| Failure::other(413, "RequestEntityTooLarge", error.to_string()))?;
    Ok(Request {
        method: parts.method.as_str().to_owned(),
        path: decode(parts.uri.path(), false),
        query: query(parts.uri.query().unwrap_or_default()),
        content_type: header(CONTENT_TYPE),
        accept: header(http::header::ACCEPT),
        user_agent: header(http::header::USER_AGENT),
        body,
    })
}

fn query(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key, true), decode(value, true))
        })
        .collect()
}

/// Undoes percent encoding, and plus signs in a query.
fn decode(text: &str, plus: bool) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let (value, left) = match (byte, escaped(after)) {
            (b'%', Some(value)) => (value, after.get(2..).unwrap_or_default()),
            (b'+', _) if plus => (b' ', after),
            (byte, _) => (byte, after),
        };
        out.push(value);
        rest = left;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The byte that two hexadecimal digits stand for.
fn escaped(text: &[u8]) -> Option<u8> {
    let digit = |place: usize| char::from(*text.get(place)?).to_digit(16);
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}

fn whole(code: u16, content_type: &'static str, body: Bytes, warnings: &[String]) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    for warning in warnings {
        if let Ok(value) = HeaderValue::from_str(&format!("299 - {warning:?}")) {
            response.headers_mut().append(http::header::WARNING, value);
        }
    }
    response
}

fn failed(failure: &Failure, retry_after_seconds: Option<u64>) -> Response<Body> {
    let body = Bytes::from(serde_json::to_vec(&failure.to_json()).unwrap_or_default());
    let mut response = whole(failure.code, "application/json", body, &[]);
    if let Some(seconds) = retry_after_seconds {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn injected(failing: &Failing) -> Response<Body> {
    let reason = match failing.code {
        401 => "Unauthorized",
        403 => "Forbidden",
        409 => "Conflict",
        410 => "Expired",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "InternalError",
    };
    let failure = Failure::other(failing.code, reason, "a fault was asked for");
    failed(&failure, failing.retry_after_seconds)
}

/// The state of a watch's stream.
struct Stream {
    shared: Arc<Shared>,
    watch: Watch,
    changed: Receiver<u64>,
    ended: bool,
}

fn watching(shared: Arc<Shared>, watch: Watch, changed: Receiver<u64>) -> Response<Body> {
    let stream = Stream { shared, watch, changed, ended: false };
    let body = Body::from_stream(stream::unfold(stream, |mut stream| async move {
        let chunk = stream.next().await?;
        Some((Ok::<Bytes, Infallible>(chunk), stream))
    }));
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

impl Stream {
    /// The next chunk, as soon as there is one.
    async fn next(&mut self) -> Option<Bytes> {
        while !self.ended {
            self.changed.borrow_and_update();
            let now = self.shared.now();
            let frames = self.shared.state().poll_watch(&mut self.watch, now);
            self.ended = frames.ended;
            if !frames.lines.is_empty() {
                return Some(join(frames.lines));
            }
            if self.ended {
                break;
            }
            let wait = frames.wake_at.and_then(|at| at.duration_since(now).try_into().ok());
            tokio::select! {
                changed = self.changed.changed() => if changed.is_err() { return None },
                () = tokio::time::sleep(wait.unwrap_or_default()) => {}
            }
        }
        None
    }
}

fn join(mut lines: Vec<Bytes>) -> Bytes {
    if lines.len() == 1 {
        return lines.pop().unwrap_or_default();
    }
    Bytes::from(lines.concat())
}
