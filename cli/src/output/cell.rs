//! One place of a table: a text, and how it is meant.

use anstyle::{AnsiColor, Style};
use nave_common::health::Health;
use nave_common::status::{Liveness, SyncState};

/// How a text is meant; on a terminal, its colour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Tone {
    #[default]
    Plain,
    Good,
    Busy,
    Bad,
    Dim,
    Heading,
}

impl Tone {
    pub(crate) fn style(self) -> Style {
        let colored = |color: AnsiColor| Style::new().fg_color(Some(color.into()));
        match self {
            Self::Plain => Style::new(),
            Self::Good => colored(AnsiColor::Green),
            Self::Busy => colored(AnsiColor::Yellow),
            Self::Bad => colored(AnsiColor::Red),
            Self::Dim => Style::new().dimmed(),
            Self::Heading => Style::new().bold(),
        }
    }
}

impl From<Health> for Tone {
    fn from(health: Health) -> Self {
        match health {
            Health::Healthy => Self::Good,
            Health::Suspended | Health::Progressing => Self::Busy,
            Health::Missing | Health::Degraded => Self::Bad,
            Health::Unknown => Self::Dim,
        }
    }
}

impl From<SyncState> for Tone {
    fn from(sync: SyncState) -> Self {
        match sync {
            SyncState::Synced => Self::Good,
            SyncState::Suspended | SyncState::Syncing => Self::Busy,
            SyncState::OutOfSync | SyncState::Failed => Self::Bad,
            SyncState::Unknown => Self::Dim,
        }
    }
}

impl From<Liveness> for Tone {
    fn from(liveness: Liveness) -> Self {
        match liveness {
            Liveness::Alive => Self::Good,
            Liveness::Suspect => Self::Busy,
            Liveness::Lost => Self::Bad,
            Liveness::Unheard => Self::Dim,
        }
    }
}

/// One place of a table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cell {
    pub(crate) text: String,
    pub(crate) tone: Tone,
}

impl Cell {
    /// A text; `-` where it is empty.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self::toned(text, Tone::Plain)
    }

    pub(crate) fn toned(text: impl Into<String>, tone: Tone) -> Self {
        let text = text.into();
        Self { text: if text.is_empty() { "-".to_owned() } else { text }, tone }
    }

    /// A state in its own colour.
    pub(crate) fn state<State: ToString + Into<Tone> + Copy>(state: State) -> Self {
        Self::toned(state.to_string(), state.into())
    }
}
