//! What a person sees of a demo while it runs: a live line a cluster on a terminal, and a line a step everywhere.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use nave_common::status::AssignmentView;

use super::report::{Step, shown};

/// Where progress goes: to a person on stderr, or nowhere.
pub(crate) struct Display {
    quiet: bool,
    live: Option<MultiProgress>,
    lines: Mutex<BTreeMap<String, ProgressBar>>,
}

impl Display {
    /// Shows nothing where `quiet`, live lines on a terminal, and plain lines elsewhere.
    pub(crate) fn new(quiet: bool) -> Self {
        let live = (!quiet && std::io::stderr().is_terminal()).then(MultiProgress::new);
        Self { quiet, live, lines: Mutex::default() }
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
        if self.quiet {
            return;
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
        if !self.quiet {
            eprintln!("{text}");
        }
    }
}
