//! Standard output and standard error: results on the one, hints and warnings on the other; colours only where they are
//! wanted.

use std::env;
use std::io::{self, IsTerminal as _, Write as _};

use anstyle::{AnsiColor, Style};

use super::Tone;
use super::encode::printable;
use crate::args::{Color, Global};
use crate::exit::Failure;

/// Where a command prints.
#[derive(Debug)]
pub(crate) struct Printer {
    out: io::BufWriter<io::Stdout>,
    colored: bool,
    quiet: bool,
}

impl Printer {
    pub(crate) fn new(global: &Global) -> Self {
        let colored = match global.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => io::stdout().is_terminal() && colors_are_wanted(),
        };
        Self { out: io::BufWriter::new(io::stdout()), colored, quiet: global.quiet }
    }

    /// Text as it is: documents for machines.
    pub(crate) fn raw(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())
    }

    /// A line for people. What drives terminals is taken out of it.
    pub(crate) fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{}", printable(text))
    }

    /// A line in a tone.
    pub(crate) fn toned(&mut self, tone: Tone, text: &str) -> io::Result<()> {
        let text = self.paint(tone, &printable(text));
        writeln!(self.out, "{text}")
    }

    /// The text in the colour of the tone, where colours are wanted.
    pub(crate) fn paint(&self, tone: Tone, text: &str) -> String {
        let style = tone.style();
        if self.colored && style != Style::new() {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }

    /// Sends what was printed on its way; needed before anything is waited for.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// What is legal but probably not meant: on standard error.
    pub(crate) fn warning(&self, text: &str) {
        if !self.quiet {
            aside("warning:", AnsiColor::Yellow, text);
        }
    }

    /// What may help: on standard error.
    pub(crate) fn hint(&self, text: &str) {
        if !self.quiet {
            aside("", AnsiColor::White, text);
        }
    }
}

/// Says on standard error why a command failed.
pub(crate) fn complain(failure: &Failure) {
    if let Some(message) = failure.message() {
        aside("error:", AnsiColor::Red, message);
    }
}

/// One line on standard error. That nobody reads it is no error.
fn aside(label: &str, color: AnsiColor, text: &str) {
    let mut err = io::stderr().lock();
    let text = printable(text);
    let written = if label.is_empty() {
        writeln!(err, "{text}")
    } else if err.is_terminal() && colors_are_wanted() {
        let style = Style::new().fg_color(Some(color.into())).bold();
        writeln!(err, "{style}{label}{style:#} {text}")
    } else {
        writeln!(err, "{label} {text}")
    };
    drop(written);
}

/// See <https://no-color.org>.
fn colors_are_wanted() -> bool {
    let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !refused && env::var_os("TERM").is_none_or(|term| term != "dumb")
}
