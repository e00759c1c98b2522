//! Logs: structured, to the standard error stream, as text for people or JSON for machines.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

/// Why logs cannot be written as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The format is none.
    #[error("log format {0:?} is not known; expected text or json")]
    Format(String),
    /// The filter is none.
    #[error(
        "log filter {filter:?} is not valid: {why}; expected a level such as info, or targets such as info,nave_hub=debug"
    )]
    Filter {
        /// The refused text.
        filter: String,
        /// What is wrong with it.
        why: String,
    },
}

/// Writes the logs of this process to the standard error stream from now on. `format`: `text` or `json`; `filter`: what
/// is logged, such as `info` or `info,nave_hub=debug`. Colours are used on a terminal alone. Where logs are written
/// already (a test, a hub inside a demo), nothing changes.
///
/// # Errors
/// Where format or filter are not known.
pub fn init(format: &str, filter: &str) -> Result<(), Error> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| Error::Filter { filter: filter.to_owned(), why: error.to_string() })?;
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let layer = match format {
        "json" => layer.json().flatten_event(true).boxed(),
        "text" => {
            let ansi = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            layer.with_ansi(ansi).boxed()
        }
        other => return Err(Error::Format(other.to_owned())),
    };
    // Refused only where a subscriber is there already.
    let _ = tracing_subscriber::registry().with(layer.with_filter(filter)).try_init();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_can_be_asked_for_twice() {
        init("json", "info").unwrap();
        init("text", "warn,nave_common=debug").unwrap();
        tracing::debug!("written or not");
    }

    #[test]
    fn what_is_not_known_is_refused() {
        assert_eq!(
            init("yaml", "info").unwrap_err().to_string(),
            "log format \"yaml\" is not known; expected text or json"
        );
        assert!(init("text", "nave=loud").unwrap_err().to_string().contains("\"nave=loud\" is not valid"));
    }
}
