//! Join tokens.

use nave_common::metadata::Labels;
use nave_common::name::ClusterName;
use nave_proto::v1;
use std::time::Duration;

use super::Hub;
use super::error::incomplete;
use super::types::{NewToken, Token};
use crate::exit::{Failure, Outcome};

impl Hub {
    pub(crate) async fn create_token(
        &self,
        lifetime: Duration,
        uses: u32,
        cluster: Option<&ClusterName>,
        labels: &Labels,
    ) -> Outcome<NewToken> {
        let lifetime_seconds =
            u32::try_from(lifetime.as_secs()).ok().filter(|seconds| *seconds > 0).ok_or_else(|| {
                Failure::usage("--ttl is out of range; expected at least 1s, such as 30m or 24h")
            })?;
        let request = v1::CreateTokenRequest {
            lifetime_seconds,
            uses,
            cluster: cluster.map(ToString::to_string).unwrap_or_default(),
            labels: labels.clone().into_iter().collect(),
        };
        let mut client = self.client.clone();
        let answer = self.unary(request, async |request| client.create_token(request).await).await?;
        let token = answer.token.ok_or_else(|| incomplete(&self.address, "token"))?;
        Ok(NewToken { token: Token::read(token), text: answer.text.into() })
    }

    pub(crate) async fn tokens(&self) -> Outcome<Vec<Token>> {
        let mut client = self.client.clone();
        let answer =
            self.unary(v1::ListTokensRequest {}, async |request| client.list_tokens(request).await).await?;
        Ok(answer.tokens.into_iter().map(Token::read).collect())
    }

    pub(crate) async fn delete_token(&self, id: &str) -> Outcome<()> {
        let request = v1::DeleteTokenRequest { id: id.to_owned() };
        let mut client = self.client.clone();
        self.unary(request, async |request| client.delete_token(request).await).await.map(|_| ())
    }
}
