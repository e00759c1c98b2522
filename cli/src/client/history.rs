//! Revisions, and the way back to an earlier one.

use nave_common::application::Application;
use nave_common::name::ApplicationKey;
use nave_common::revision::Revision;
use nave_proto::v1;

use super::Hub;
use super::error::incomplete;
use crate::exit::Outcome;

impl Hub {
    /// Newest first.
    pub(crate) async fn revisions(&self, key: &ApplicationKey) -> Outcome<Vec<Revision>> {
        let request = v1::ListRevisionsRequest { application: Some(key.into()) };
        let mut client = self.client.clone();
        let answer = self.unary(request, async |request| client.list_revisions(request).await).await?;
        self.all(answer.revisions)
    }

    /// Goes back to a revision; to the one before the present where none is named.
    pub(crate) async fn undo_application(
        &self,
        key: &ApplicationKey,
        to_revision: Option<u64>,
        dry_run: bool,
    ) -> Outcome<(Application, Revision, String)> {
        let request = v1::UndoApplicationRequest {
            application: Some(key.into()),
            to_revision: to_revision.unwrap_or(0),
            dry_run,
        };
        let mut client = self.client.clone();
        let answer = self.unary(request, async |request| client.undo_application(request).await).await?;
        let revision =
            self.optional(answer.revision)?.ok_or_else(|| incomplete(&self.address, "revision"))?;
        Ok((self.application_in(answer.application)?, revision, answer.change_id))
    }
}
