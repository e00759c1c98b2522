//! What a person sees of a demo while it runs: a live line a cluster on a terminal, and a line a step everywhere.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use nave_common::status::AssignmentView;

use super::report::{Step, shown};

/// How much is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shows {
    Everything,
    Errors,
    /// The report says it all.
    Nothing,
}

impl Shows {
    pub(crate) fn of(quiet: bool, json: bool) -> Self {
        match (quiet, json) {
            (_, true) => Self::Nothing,
            (true, false) => Self::Errors,
            (false, false) => Self::Everything,
        }
    }
}

/// Where progress goes: to a person on stderr, or nowhere.
pub(crate) struct Display {
    shows: Shows,
    live: Option<MultiProgress>,
    lines: Mutex<BTreeMap<String, ProgressBar>>,
}

impl Display {
    /// Shows everything as live lines on a terminal, and as plain lines elsewhere.
    pub(crate) fn new(shows: Shows) -> Self {
        let is_live = shows == Shows::Everything && std::io::stderr().is_terminal();
        let live = is_live.then(MultiProgress::new);
        Self { shows, live, lines: Mutex::default() }
    }

    /// Shows how far an application is in each cluster.
    pub(crate) fn clusters(&self, views: &[AssignmentView]) {
        let Some(live) = &self.live else { return };
        let mut lines = self.lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for view in views {
            let name = view.assignment.cluster.to_string();
            let line = lines.entry(name.clone()).or_insert_with(|| {
                let bar = live.add(ProgressBar::no_length());
                if let Ok(style) = ProgressStyle::with_template("  {spinner} {msg}") {
                    bar.set_style(style);
                }
                bar.enable_steady_tick(Duration::from_millis(100));
                bar
            });
            line.set_message(match &view.status {
                None => format!("{name:<6} waiting"),
                Some(status) => format!(
                    "{name:<6} {:<9} {:<11} {}/{} objects  {}",
                    status.sync, status.health, status.healthy_count, status.object_count, status.reason
                ),
            });
        }
    }

    /// Ends the live lines and says how a step went.
    pub(crate) fn step(&self, step: &Step) {
        match self.shows {
            Shows::Everything => {}
            Shows::Errors if !step.ok => return eprintln!("error: step {}: {}", step.name, step.detail),
            Shows::Errors | Shows::Nothing => return,
        }
        if let Some(live) = &self.live {
            let mut lines = self.lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            for line in std::mem::take(&mut *lines).into_values() {
                line.finish_and_clear();
            }
            let _ = live.clear();
        }
        let mark = if step.ok { "done  " } else { "FAILED" };
        eprintln!("{mark} {:<12} {:>10}  {}", step.name, shown(step.ms), step.detail);
    }

    /// Says something that is no step.
    pub(crate) fn say(&self, text: &str) {
        if self.shows == Shows::Everything {
            eprintln!("{text}");
        }
    }
}
