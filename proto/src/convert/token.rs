//! Join tokens, one way only: neither a token's secret nor its hash goes to the wire, so none can be read back.

use nave_common::token::JoinToken;

use super::{by_value, text_of};
use crate::v1;

impl From<&JoinToken> for v1::JoinToken {
    fn from(token: &JoinToken) -> Self {
        Self {
            id: token.id.clone(),
            expires_at_ms: token.expires_at.as_millis(),
            uses_left: token.uses_left,
            cluster: text_of(token.cluster.as_ref()),
            labels: token.labels.clone().into_iter().collect(),
            created_at_ms: token.created_at.as_millis(),
            created_by: token.created_by.clone(),
        }
    }
}

by_value!(JoinToken => v1::JoinToken);
