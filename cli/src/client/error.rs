//! What a hub's refusals mean to a person.

use std::error::Error as _;
use std::time::Duration;

use nave_common::field::FieldError;
use nave_common::time::HumanDuration;
use tonic::{Code, Status};

use crate::exit::{Exit, Failure};

/// The failure that a status of some hub means.
pub(super) fn refusal(status: &Status) -> Failure {
    of(status, "the hub")
}

/// The failure that a status of the hub at an address means.
pub(super) fn failure(status: &Status, address: &str) -> Failure {
    of(status, &format!("the hub at {address}"))
}

fn of(status: &Status, hub: &str) -> Failure {
    let message = if status.message().is_empty() { status.code().description() } else { status.message() };
    if let Some(source) = status.source() {
        return broken(&super::connect::root(source), hub);
    }
    match status.code() {
        Code::Unauthenticated => Failure::failed(format!("{hub} does not know you: {message}"))
            .hint("take a new context from it (nave context import)"),
        Code::PermissionDenied => Failure::failed(format!("not allowed: {message}")),
        Code::DeadlineExceeded => Failure::new(Exit::TimedOut, format!("{hub} was too slow: {message}"))
            .hint("try again, or give it longer with --request-timeout"),
        Code::Unavailable => Failure::failed(format!("{hub} is not available: {message}")).hint("try again"),
        Code::ResourceExhausted => Failure::failed(format!("{hub} refuses: {message}")),
        Code::NotFound => Failure::failed(message).not_found(),
        Code::Aborted => Failure::failed(message)
            .hint("it changed in the meantime: get it again, and apply your change to that")
            .conflict(),
        Code::Unimplemented => Failure::failed(format!("{hub} does not know this request"))
            .hint("compare versions with `nave version`"),
        Code::Internal | Code::Unknown | Code::DataLoss => {
            Failure::failed(format!("{hub} failed: {message}")).hint("see the hub's log")
        }
        _ => Failure::failed(message),
    }
}

/// The connection broke before there was an answer. A hub that refuses a certificate says so only now, and the word of it
/// may be lost on the way.
fn broken(why: &str, hub: &str) -> Failure {
    if why.contains("alert") {
        return Failure::failed(format!("{hub} refuses your certificate: {why}"))
            .hint("take a new context from it (nave context import)");
    }
    Failure::failed(format!(
        "{hub} ended the connection without an answer ({why}): it stops, or refuses your certificate"
    ))
    .hint("try again, or take a new context from it (nave context import)")
}

pub(super) fn too_slow(address: &str, limit: Duration) -> Failure {
    let problem = format!("no answer from the hub at {address} within {}", HumanDuration(limit));
    Failure::new(Exit::TimedOut, problem).hint("try again, or give it longer with --request-timeout")
}

pub(super) fn endless(address: &str) -> Failure {
    Failure::failed(format!("the hub at {address} hands out pages without end"))
}

/// An answer that does not make sense to this version.
pub(super) fn unreadable(address: &str) -> impl Fn(FieldError) -> Failure {
    move |error| {
        Failure::failed(format!("the answer of the hub at {address} makes no sense: {error}"))
            .hint("compare versions with `nave version`")
    }
}

/// An answer without the part that it is about.
pub(super) fn incomplete(address: &str, part: &str) -> Failure {
    unreadable(address)(FieldError::new(part, "is missing"))
}
