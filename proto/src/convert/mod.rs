//! Wire to domain and back, one file per noun.
//!
//! From the wire: `TryFrom<v1::X>`, refused with a [`FieldError`] whose path leads from the root of X to what is wrong,
//! in the names of the YAML (`spec.overrides[0].images`), which are those of the message but for two differences:
//! camelCase, and no `changes` between an override rule and its parts. To the wire: `From<&X>` and `From<X>`, which
//! cannot fail.
//!
//! What types can hold is checked here; what they cannot (label rules, bounds of lists) is checked by the domain's own
//! `check`. Nothing here panics, whatever the message. A zero time means "none" where the domain has an optional
//! time, and the epoch where it has not.

use nave_common::field::FieldError;
use nave_common::time::Timestamp;
use prost::bytes::Bytes;

mod application;
mod assignment;
mod cluster;
mod event;
mod failover;
mod names;
mod overrides;
mod placement;
mod report;
mod revision;
mod selector;
mod source;
mod status;
mod token;

/// `impl From<X> for v1::X` where there is one from `&X`.
macro_rules! by_value {
    ($($domain:ty => $wire:ty),+ $(,)?) => {
        $(impl From<$domain> for $wire {
            fn from(value: $domain) -> Self {
                Self::from(&value)
            }
        })+
    };
}
pub(crate) use by_value;

/// Both ways between an enum of the wire and one of the domain; `Unspecified` is refused.
macro_rules! same_enum {
    ($wire:ty, $domain:ty, [$($variant:ident),+ $(,)?]) => {
        impl From<$domain> for $wire {
            fn from(value: $domain) -> Self {
                match value {
                    $(<$domain>::$variant => Self::$variant,)+
                }
            }
        }

        impl TryFrom<$wire> for $domain {
            type Error = ::nave_common::field::FieldError;

            fn try_from(value: $wire) -> Result<Self, Self::Error> {
                match value {
                    <$wire>::Unspecified => Err($crate::convert::unspecified(&[$(stringify!($variant)),+])),
                    $(<$wire>::$variant => Ok(Self::$variant),)+
                }
            }
        }
    };
}
pub(crate) use same_enum;

pub(crate) fn unspecified(expected: &[&str]) -> FieldError {
    FieldError::new("", format!("is not specified; expected one of {}", expected.join(", ")))
}

/// The enum value of a field.
pub(crate) fn enumerated<Wire, Domain>(number: i32, path: &str) -> Result<Domain, FieldError>
where
    Wire: TryFrom<i32>,
    Domain: TryFrom<Wire, Error = FieldError>,
{
    let wire = Wire::try_from(number)
        .map_err(|_| FieldError::new(path, format!("is {number}, which this version does not know")))?;
    Domain::try_from(wire).map_err(|error| error.under(path))
}

/// The enum value of a field that may be left unspecified.
pub(crate) fn enumerated_or_none<Wire, Domain>(number: i32, path: &str) -> Result<Option<Domain>, FieldError>
where
    Wire: TryFrom<i32>,
    Domain: TryFrom<Wire, Error = FieldError>,
{
    if number == 0 { Ok(None) } else { enumerated(number, path).map(Some) }
}

/// The sub-message of a field that must be there.
pub(crate) fn required<Wire, Domain>(message: Option<Wire>, path: &str) -> Result<Domain, FieldError>
where
    Domain: TryFrom<Wire, Error = FieldError>,
{
    let message = message.ok_or_else(|| FieldError::new(path, "is missing"))?;
    Domain::try_from(message).map_err(|error| error.under(path))
}

/// The sub-message of a field that may be left out.
pub(crate) fn optional<Wire, Domain>(message: Option<Wire>, path: &str) -> Result<Option<Domain>, FieldError>
where
    Domain: TryFrom<Wire, Error = FieldError>,
{
    message.map(Domain::try_from).transpose().map_err(|error| error.under(path))
}

/// The items of a repeated field.
pub(crate) fn list<Wire, Domain>(items: Vec<Wire>, path: &str) -> Result<Vec<Domain>, FieldError>
where
    Domain: TryFrom<Wire, Error = FieldError>,
{
    let item =
        |(index, item)| Domain::try_from(item).map_err(|error| error.under(&format!("{path}[{index}]")));
    items.into_iter().enumerate().map(item).collect()
}

/// A name, digest or other text of which the domain has a type.
pub(crate) fn parsed<T>(text: &str, path: &str) -> Result<T, FieldError>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    text.parse().map_err(|error: T::Err| FieldError::new(path, error))
}

/// As [`parsed`], where the empty text stands for nothing.
pub(crate) fn parsed_or_none<T>(text: &str, path: &str) -> Result<Option<T>, FieldError>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    if text.is_empty() { Ok(None) } else { parsed(text, path).map(Some) }
}

/// A text that must not be empty.
pub(crate) fn filled(text: String, path: &str, expected: &str) -> Result<String, FieldError> {
    if text.is_empty() {
        Err(FieldError::new(path, format!("is missing; expected {expected}")))
    } else {
        Ok(text)
    }
}

/// A text where the empty one stands for nothing.
pub(crate) fn text_or_none(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

/// The other way: nothing is the empty text.
pub(crate) fn text_of(value: Option<&impl ToString>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}

/// JSON that travels as bytes. The error does not quote them.
pub(crate) fn json(bytes: &Bytes, path: &str) -> Result<serde_json::Value, FieldError> {
    serde_json::from_slice(bytes).map_err(|error| FieldError::new(path, format!("is no JSON: {error}")))
}

pub(crate) fn json_bytes(value: &serde_json::Value) -> Bytes {
    value.to_string().into()
}

pub(crate) fn instant(millis: i64, path: &str) -> Result<Timestamp, FieldError> {
    Timestamp::from_millis(millis).map_err(|error| FieldError::new(path, error))
}

pub(crate) fn instant_or_none(millis: i64, path: &str) -> Result<Option<Timestamp>, FieldError> {
    if millis == 0 { Ok(None) } else { instant(millis, path).map(Some) }
}

pub(crate) fn millis(at: Option<Timestamp>) -> i64 {
    at.map_or(0, Timestamp::as_millis)
}

pub(crate) fn wire_list<'a, Domain: 'a, Wire: From<&'a Domain>>(items: &'a [Domain]) -> Vec<Wire> {
    items.iter().map(Wire::from).collect()
}
