//! Events.

use nave_common::event::{Event, Severity};
use nave_common::field::FieldError;

use super::{by_value, enumerated, instant, optional, parsed_or_none, same_enum, text_of};
use crate::v1;

impl TryFrom<v1::Event> for Event {
    type Error = FieldError;

    fn try_from(wire: v1::Event) -> Result<Self, FieldError> {
        Ok(Self {
            at: instant(wire.at_ms, "at")?,
            severity: enumerated::<v1::Severity, _>(wire.severity, "severity")?,
            reason: wire.reason,
            message: wire.message,
            application: optional(wire.application, "application")?,
            cluster: parsed_or_none(&wire.cluster, "cluster")?,
            change_id: wire.change_id,
        })
    }
}

impl From<&Event> for v1::Event {
    fn from(event: &Event) -> Self {
        Self {
            at_ms: event.at.as_millis(),
            severity: v1::Severity::from(event.severity).into(),
            reason: event.reason.clone(),
            message: event.message.clone(),
            application: event.application.as_ref().map(Into::into),
            cluster: text_of(event.cluster.as_ref()),
            change_id: event.change_id.clone(),
        }
    }
}

same_enum!(v1::Severity, Severity, [Normal, Warning]);

by_value!(Event => v1::Event);
