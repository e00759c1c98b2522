//! What is being waited for: one line that changes on a terminal, a line for each change elsewhere.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::encode::printable;

/// How often the line on a terminal moves.
const TICK: Duration = Duration::from_millis(120);

/// The progress of one thing that is waited for, on standard error.
#[derive(Debug)]
pub(crate) struct Progress {
    shown: Shown,
    last: String,
}

#[derive(Debug)]
enum Shown {
    Nowhere,
    Lines,
    Bar(ProgressBar),
}

impl Progress {
    pub(crate) fn start(quiet: bool) -> Self {
        let shown = if quiet {
            Shown::Nowhere
        } else if io::stderr().is_terminal() {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(TICK);
            Shown::Bar(bar)
        } else {
            Shown::Lines
        };
        Self { shown, last: String::new() }
    }

    /// How it stands. Said again only where it changed.
    pub(crate) fn say(&mut self, state: &str) {
        let state = printable(state);
        if state == self.last {
            return;
        }
        match &self.shown {
            Shown::Nowhere => {}
            // That nobody reads it is no error.
            Shown::Lines => drop(writeln!(io::stderr().lock(), "{state}")),
            Shown::Bar(bar) => bar.set_message(state.clone()),
        }
        self.last = state;
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }
}
