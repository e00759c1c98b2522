//! Join tokens: made, listed, taken back. A secret is seen once, in the answer to its making; the hub keeps its hash.

use std::time::Duration;

use nave_common::digest::Digest;
use nave_common::metadata::Labels;
use nave_common::runtime::random;
use nave_common::selector::check_labels;
use nave_common::time::Timestamp;
use nave_common::token::{JoinToken, TokenText};
use nave_proto::v1;

use super::call::Call;
use super::read;
use crate::error::Error;
use crate::parts::Parts;
use crate::records::{Name, Record};
use crate::store::{Expect, Transaction};

/// How long a token is good for where the request does not say.
const DEFAULT_LIFETIME_SECONDS: u32 = 3600;
/// The longest life of a token: thirty days.
const MAX_LIFETIME_SECONDS: u32 = 30 * 86_400;
/// The most clusters that may join with one token.
const MAX_USES: u32 = 10_000;
/// The most tokens there may be.
const MAX_TOKENS: usize = 1000;
/// How long a token is listed after it ran out.
const KEPT_AFTER_END: Duration = Duration::from_secs(86_400);
/// Old tokens that one commit takes away.
const PRUNED_TOKENS: usize = 32;

/// Makes a join token.
///
/// # Errors
/// Where the request is not valid, or there are too many tokens.
pub(super) async fn create(
    parts: &Parts,
    call: &Call,
    request: v1::CreateTokenRequest,
) -> Result<v1::CreateTokenResponse, Error> {
    let or_default = |value: u32, default: u32| if value == 0 { default } else { value };
    let lifetime = bounded(
        "lifetimeSeconds",
        or_default(request.lifetime_seconds, DEFAULT_LIFETIME_SECONDS),
        MAX_LIFETIME_SECONDS,
    )?;
    let uses_left = bounded("uses", or_default(request.uses, 1), MAX_USES)?;
    let labels: Labels = request.labels.into_iter().collect();
    check_labels(&labels).map_err(|error| Error::Field(error.under("labels")))?;
    let now = parts.now();
    let secret = random::secret();
    let token = JoinToken {
        id: random::id(),
        secret_hash: Digest::of(secret.as_bytes()),
        expires_at: now.plus(Duration::from_secs(lifetime.into())),
        uses_left,
        cluster: read::cluster_or_none("cluster", &request.cluster)?,
        labels,
        created_at: now,
        created_by: call.user.to_string(),
    };
    let old = room(parts, now)?;
    let mut transaction = Transaction::new().expect(Name::Token(token.id.clone()).key()?, Expect::Absent);
    for id in old {
        transaction.writes.push(Name::Token(id).delete()?);
    }
    transaction.writes.push(Record::Token(Box::new(token.clone())).write()?);
    parts.commit(transaction).await?;
    tracing::info!(token = token.id, user = %call.user, expires_at = %token.expires_at, "join token made");
    let text = TokenText {
        addresses: parts.addresses.clone(),
        authority: parts.authority.certificate_der().to_vec(),
        id: token.id.clone(),
        secret,
    };
    Ok(v1::CreateTokenResponse { token: Some(token.into()), text: text.encode().to_string() })
}

fn bounded(path: &str, value: u32, most: u32) -> Result<u32, Error> {
    if value > most {
        return Err(Error::field(path, format!("is {value}; at most {most} is allowed")));
    }
    Ok(value)
}

/// Tokens that ran out long ago and make room; refuses where there are too many others.
fn room(parts: &Parts, now: Timestamp) -> Result<Vec<String>, Error> {
    parts.world.read(|state| {
        let is_old = |token: &JoinToken| now > token.expires_at.plus(KEPT_AFTER_END);
        let old = state.tokens().values().filter(|stored| is_old(&stored.value));
        let old: Vec<String> = old.map(|stored| stored.value.id.clone()).take(PRUNED_TOKENS).collect();
        if state.tokens().len() - old.len() >= MAX_TOKENS {
            return Err(Error::Exhausted(format!(
                "there are {MAX_TOKENS} join tokens already; delete some with nave token delete"
            )));
        }
        Ok(old)
    })
}

/// Every join token.
#[must_use]
pub(super) fn list(parts: &Parts) -> v1::ListTokensResponse {
    let tokens =
        parts.world.read(|state| state.tokens().values().map(|stored| (&*stored.value).into()).collect());
    v1::ListTokensResponse { tokens }
}

/// Takes a join token back.
///
/// # Errors
/// Where there is none of that id.
pub(super) async fn delete(parts: &Parts, call: &Call, request: v1::DeleteTokenRequest) -> Result<(), Error> {
    let missing = || {
        let id: String = request.id.chars().take(80).collect();
        Error::NotFound(format!("there is no join token {id:?}; nave token list lists those there are"))
    };
    let name = Name::Token(request.id.clone());
    let key = name.key().map_err(|_| missing())?;
    parts.store.get(&key).await?.ok_or_else(missing)?;
    let mut transaction = Transaction::new();
    transaction.writes.push(name.delete()?);
    parts.commit(transaction).await?;
    tracing::info!(token = request.id, user = %call.user, "join token taken back");
    Ok(())
}
