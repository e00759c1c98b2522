//! Selectors.

use std::collections::BTreeSet;

use nave_common::field::FieldError;
use nave_common::selector::{Operator, Requirement, Selector};

use super::{by_value, enumerated, list, same_enum, wire_list};
use crate::v1;

impl TryFrom<v1::Selector> for Selector {
    type Error = FieldError;

    fn try_from(wire: v1::Selector) -> Result<Self, FieldError> {
        Ok(Self {
            match_labels: wire.match_labels.into_iter().collect(),
            match_expressions: list(wire.match_expressions, "matchExpressions")?,
        })
    }
}

impl From<&Selector> for v1::Selector {
    fn from(selector: &Selector) -> Self {
        Self {
            match_labels: selector.match_labels.clone().into_iter().collect(),
            match_expressions: wire_list(&selector.match_expressions),
        }
    }
}

/// A selector that may be left out: nothing is the selector that matches everything.
pub(super) fn or_everything(wire: Option<v1::Selector>, path: &str) -> Result<Selector, FieldError> {
    Ok(super::optional(wire, path)?.unwrap_or_default())
}

/// The other way: the selector that matches everything is left out.
pub(super) fn unless_everything(selector: &Selector) -> Option<v1::Selector> {
    (!selector.is_empty()).then(|| selector.into())
}

impl TryFrom<v1::Requirement> for Requirement {
    type Error = FieldError;

    fn try_from(wire: v1::Requirement) -> Result<Self, FieldError> {
        let operator = enumerated::<v1::requirement::Operator, _>(wire.operator, "operator")?;
        Ok(Self { key: wire.key, operator, values: BTreeSet::from_iter(wire.values) })
    }
}

impl From<&Requirement> for v1::Requirement {
    fn from(requirement: &Requirement) -> Self {
        Self {
            key: requirement.key.clone(),
            operator: v1::requirement::Operator::from(requirement.operator).into(),
            values: requirement.values.iter().cloned().collect(),
        }
    }
}

same_enum!(v1::requirement::Operator, Operator, [In, NotIn, Exists, DoesNotExist]);

by_value!(Selector => v1::Selector, Requirement => v1::Requirement);
