//! Labels as they are typed.

use nave_common::metadata::Labels;
use nave_common::selector::check_labels;

use crate::exit::{Failure, Outcome};

/// Reads `KEY=VALUE` pairs.
pub(super) fn parse<'a>(flag: &str, pairs: impl IntoIterator<Item = &'a str>) -> Outcome<Labels> {
    let mut labels = Labels::new();
    for pair in pairs {
        let (key, value) = pair
            .split_once('=')
            .ok_or_else(|| Failure::usage(format!("{flag} {pair:?} is not valid; expected KEY=VALUE")))?;
        if labels.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(Failure::usage(format!("{flag} names {key:?} twice")));
        }
    }
    check_labels(&labels).map_err(|error| Failure::usage(format!("{flag}: {}", error.problem)))?;
    Ok(labels)
}
