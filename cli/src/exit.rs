//! How a command ends: its exit code, and the one line that says why.

use std::fmt;
use std::io;
use std::process::ExitCode;

/// The exit codes of `nave`, for scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It is done.
    Done = 0,
    /// It failed, or (`diff --exit-code`) there are differences.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The time was up.
    TimedOut = 3,
    /// What was waited for is Degraded, or could not be applied.
    Degraded = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command could not do what it was asked for: a line that says what happened and what to do.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    /// Empty: there is nobody to tell.
    message: String,
    /// What was asked for is not there, which is no failure to all who ask.
    is_not_found: bool,
    /// Somebody else changed it in the meantime.
    is_conflict: bool,
}

/// What a command returns.
pub(crate) type Outcome<T = Exit> = Result<T, Failure>;

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self { exit, message: one_line(&message.to_string()), is_not_found: false, is_conflict: false }
    }

    /// It failed.
    pub(crate) fn failed(message: impl fmt::Display) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// The command line is wrong.
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// The same failure, with what to do about it.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.message = one_line(&format!("{}; {hint}", self.message));
        self
    }

    /// The same failure, with what was being done before it.
    #[must_use]
    pub(crate) fn about(mut self, what: impl fmt::Display) -> Self {
        self.message = one_line(&format!("{what}: {}", self.message));
        self
    }

    /// The same failure, as one that says that something is not there.
    #[must_use]
    pub(crate) fn not_found(mut self) -> Self {
        self.is_not_found = true;
        self
    }

    pub(crate) fn is_not_found(&self) -> bool {
        self.is_not_found
    }

    /// The same failure, as one that comes of somebody else's change.
    #[must_use]
    pub(crate) fn conflict(mut self) -> Self {
        self.is_conflict = true;
        self
    }

    pub(crate) fn is_conflict(&self) -> bool {
        self.is_conflict
    }

    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// The line for people; `None` where there is nobody to tell.
    pub(crate) fn message(&self) -> Option<&str> {
        Some(self.message.as_str()).filter(|message| !message.is_empty())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<io::Error> for Failure {
    /// Of writing to standard output. A reader that went away (`nave get … | head`) has what it wanted.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => {
                Self { exit: Exit::Done, message: String::new(), is_not_found: false, is_conflict: false }
            }
            _ => Self::failed(format!("cannot write the output: {error}")),
        }
    }
}

/// An error and what caused it, each said once: many errors tell their cause themselves.
pub(crate) fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

/// An error is one line, whatever its parts hold; and no text from elsewhere may drive the terminal.
fn one_line(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>();
    lines.join(" | ").chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line() {
        let failure = Failure::failed("a\n  b\u{1b}[31m\n").hint("try c").about("d");
        assert_eq!(failure.message(), Some("d: a | b [31m; try c"));
    }

    #[test]
    fn a_cause_that_an_error_tells_itself_is_not_said_twice() {
        let error =
            anyhow::anyhow!("no such file").context("reading a: no such file").context("cannot use a");
        assert_eq!(told(error.as_ref()), "cannot use a: reading a: no such file");
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((failure.exit(), failure.message()), (Exit::Done, None));
    }
}
