//! The one place where every call passes that may change something: who may, and the line in the audit log.

use nave_common::field::FieldError;
use tonic::{Request, Response, Status};

use super::call::Call;
use super::named::{Answer, Changing};
use crate::audit::{Line, Outcome, Place};
use crate::auth::access::Verb;
use crate::auth::peer;
use crate::error::Error;
use crate::parts::Parts;

/// The longest reason and place of a refusal that is written down, in characters.
const MAX_WHY: usize = 300;

/// A change that was asked for and is not decided yet. Dropped before that, as where the caller goes away, it says so in
/// the audit log.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    /// Who asks, and the identifier of the change.
    pub call: Call,
    parts: &'a Parts,
    open: Option<(Place, Line)>,
}

impl<'a> Asked<'a> {
    /// Lets a change begin, if its caller may ask for it.
    ///
    /// # Errors
    /// As [`Call::open`]; and where the hub stops. Strangers are refused without a line: whoever has no certificate
    /// could otherwise fill the log until nothing else is left in it.
    pub(super) fn open<T: Changing>(
        parts: &'a Parts,
        request: &Request<T>,
        verb: Verb,
    ) -> impl Future<Output = Result<Self, Error>> + Send + use<'a, T> {
        // A streamed request must not be looked at from several threads, so the looking is done before any wait.
        let line = begun(parts, request);
        let called = Call::open(request, verb);
        async move {
            let line = line?;
            let place = parts.audit.place().await?;
            match called {
                Ok(call) => {
                    let line = Line { request_id: call.change_id.clone(), ..line };
                    Ok(Self { call, parts, open: Some((place, line)) })
                }
                Err(error) => {
                    place.tell(refused(line, &error));
                    Err(error)
                }
            }
        }
    }

    /// Answers with what was decided, and writes it down.
    ///
    /// # Errors
    /// What was decided, where that is a refusal.
    pub(super) fn answer<T: Answer>(mut self, result: Result<T, Error>) -> Result<Response<T>, Status> {
        if let Some((place, line)) = self.open.take() {
            let line = Line { time: self.parts.now(), ..line };
            place.tell(match &result {
                Ok(answer) => done(line, answer),
                Err(error) => refused(line, error),
            });
        }
        Ok(Response::new(result?))
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if let Some((place, line)) = self.open.take() {
            place.tell(Line { time: self.parts.now(), ..line });
        }
    }
}

/// The line of a change that is not decided yet.
fn begun<T: Changing>(parts: &Parts, request: &Request<T>) -> Result<Line, Error> {
    Ok(Line {
        time: parts.now(),
        who: peer::caller(request)?.to_string(),
        from: peer::address(request).map(|address| address.to_string()).unwrap_or_default(),
        request_id: String::new(),
        verb: T::VERB,
        object: request.get_ref().object(),
        dry_run: request.get_ref().is_dry_run(),
        outcome: Outcome::Unknown,
        sequence: None,
        revision: None,
        code: None,
        why: None,
    })
}

fn done(line: Line, answer: &impl Answer) -> Line {
    let object = answer.object().unwrap_or(line.object);
    let (sequence, revision) = (answer.sequence(), answer.revision());
    Line { object, outcome: Outcome::Ok, sequence, revision, ..line }
}

fn refused(line: Line, error: &Error) -> Line {
    let why = match error {
        Error::Field(FieldError { path, .. }) if path.is_empty() => None,
        // The problem may quote what was sent; its place does not.
        Error::Field(FieldError { path, .. }) => Some(format!("{path} is not valid")),
        Error::Conflict(why)
        | Error::Refused(why)
        | Error::Denied(why)
        | Error::Exhausted(why)
        | Error::Unavailable(why) => Some(why.clone()),
        // What is not there is the object, or is named by a text that may be anything.
        Error::NotFound(_) | Error::Unauthenticated(_) | Error::Internal(_) => None,
        Error::Store(error) => Some(error.to_string()),
    };
    let why = why.map(|why| why.chars().take(MAX_WHY).collect());
    Line { outcome: Outcome::Refused, code: Some(format!("{:?}", error.code())), why, ..line }
}
