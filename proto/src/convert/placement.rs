//! The rules of placement, taints and tolerations.

use nave_common::field::FieldError;
use nave_common::placement::{
    Placement, Preference, Spread, Taint, TaintEffect, Toleration, TolerationOperator,
};

use super::selector::{or_everything, unless_everything};
use super::{by_value, enumerated, enumerated_or_none, list, same_enum, wire_list};
use crate::v1;

impl TryFrom<v1::Placement> for Placement {
    type Error = FieldError;

    fn try_from(wire: v1::Placement) -> Result<Self, FieldError> {
        Ok(Self {
            clusters: or_everything(wire.clusters, "clusters")?,
            regions: wire.regions,
            count: wire.count,
            spread: list(wire.spread, "spread")?,
            prefer: list(wire.prefer, "prefer")?,
            tolerations: list(wire.tolerations, "tolerations")?,
        })
    }
}

impl From<&Placement> for v1::Placement {
    fn from(placement: &Placement) -> Self {
        Self {
            clusters: unless_everything(&placement.clusters),
            regions: placement.regions.clone(),
            count: placement.count,
            spread: wire_list(&placement.spread),
            prefer: wire_list(&placement.prefer),
            tolerations: wire_list(&placement.tolerations),
        }
    }
}

impl TryFrom<v1::Spread> for Spread {
    type Error = FieldError;

    /// Never refused here; the domain's check wants a key.
    fn try_from(wire: v1::Spread) -> Result<Self, FieldError> {
        Ok(Self { by: wire.by, min_domains: wire.min_domains })
    }
}

impl From<&Spread> for v1::Spread {
    fn from(spread: &Spread) -> Self {
        Self { by: spread.by.clone(), min_domains: spread.min_domains }
    }
}

impl TryFrom<v1::Preference> for Preference {
    type Error = FieldError;

    fn try_from(wire: v1::Preference) -> Result<Self, FieldError> {
        Ok(Self { clusters: or_everything(wire.clusters, "clusters")?, weight: wire.weight })
    }
}

impl From<&Preference> for v1::Preference {
    fn from(preference: &Preference) -> Self {
        Self { clusters: unless_everything(&preference.clusters), weight: preference.weight }
    }
}

impl TryFrom<v1::Taint> for Taint {
    type Error = FieldError;

    fn try_from(wire: v1::Taint) -> Result<Self, FieldError> {
        let effect = enumerated::<v1::TaintEffect, _>(wire.effect, "effect")?;
        Ok(Self { key: wire.key, value: wire.value, effect })
    }
}

impl From<&Taint> for v1::Taint {
    fn from(taint: &Taint) -> Self {
        Self {
            key: taint.key.clone(),
            value: taint.value.clone(),
            effect: v1::TaintEffect::from(taint.effect).into(),
        }
    }
}

impl TryFrom<v1::Toleration> for Toleration {
    type Error = FieldError;

    fn try_from(wire: v1::Toleration) -> Result<Self, FieldError> {
        let operator = enumerated_or_none::<v1::toleration::Operator, _>(wire.operator, "operator")?;
        Ok(Self {
            key: wire.key,
            operator: operator.unwrap_or_default(),
            value: wire.value,
            effect: enumerated_or_none::<v1::TaintEffect, _>(wire.effect, "effect")?,
        })
    }
}

impl From<&Toleration> for v1::Toleration {
    fn from(toleration: &Toleration) -> Self {
        Self {
            key: toleration.key.clone(),
            operator: v1::toleration::Operator::from(toleration.operator).into(),
            value: toleration.value.clone(),
            effect: toleration.effect.map_or(v1::TaintEffect::Unspecified, Into::into).into(),
        }
    }
}

same_enum!(v1::TaintEffect, TaintEffect, [NoSchedule, PreferNoSchedule, NoExecute]);
same_enum!(v1::toleration::Operator, TolerationOperator, [Equal, Exists]);

by_value!(
    Placement => v1::Placement,
    Spread => v1::Spread,
    Preference => v1::Preference,
    Taint => v1::Taint,
    Toleration => v1::Toleration,
);
