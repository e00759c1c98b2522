//! What the audit log says of each kind of call that may change something: names and numbers, checked, and no content.

use nave_common::digest::Digest;
use nave_common::name::{ApplicationKey, ClusterName};
use nave_proto::v1;
use tonic::Streaming;

/// The length of a token's id, which is hexadecimal.
const TOKEN_ID_LETTERS: usize = 16;

/// A request that may change something.
pub(super) trait Changing {
    /// What is asked.
    const VERB: &'static str;

    /// Of what; empty where it is the hub, or where no valid name is given.
    fn object(&self) -> String {
        String::new()
    }

    /// Whether it is only tried.
    fn is_dry_run(&self) -> bool {
        false
    }
}

/// The answer to a change that was made.
pub(super) trait Answer {
    /// The object, where only the answer knows it.
    fn object(&self) -> Option<String> {
        None
    }

    /// The object's new sequence in the store.
    fn sequence(&self) -> Option<u64> {
        None
    }

    /// The application's revision.
    fn revision(&self) -> Option<u64> {
        None
    }
}

fn application(key: Option<&v1::ApplicationKey>) -> String {
    let key = key.cloned().and_then(|key| ApplicationKey::try_from(key).ok());
    key.map(|key| format!("application/{key}")).unwrap_or_default()
}

fn cluster(name: &str) -> String {
    name.parse::<ClusterName>().map(|name| format!("cluster/{name}")).unwrap_or_default()
}

/// Somebody may give a token's whole text, with its secret, for its id.
fn token(id: &str) -> String {
    let is_id = id.len() == TOKEN_ID_LETTERS && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_id { format!("token/{id}") } else { String::new() }
}

fn written(application: Option<&v1::Application>) -> Option<u64> {
    application?.metadata.as_ref().map(|metadata| metadata.sequence).filter(|sequence| *sequence != 0)
}

impl Changing for v1::ApplyApplicationRequest {
    const VERB: &'static str = "apply";

    fn object(&self) -> String {
        let metadata = self.application.as_ref().and_then(|application| application.metadata.as_ref());
        let key = metadata.map(|metadata| v1::ApplicationKey {
            project: metadata.project.clone(),
            name: metadata.name.clone(),
        });
        application(key.as_ref())
    }

    fn is_dry_run(&self) -> bool {
        self.dry_run
    }
}

impl Answer for v1::ApplyApplicationResponse {
    fn sequence(&self) -> Option<u64> {
        written(self.application.as_ref())
    }

    fn revision(&self) -> Option<u64> {
        self.application.as_ref()?.status.as_ref().map(|status| status.revision)
    }
}

impl Changing for v1::DeleteApplicationRequest {
    const VERB: &'static str = "delete";

    fn object(&self) -> String {
        application(self.application.as_ref())
    }

    fn is_dry_run(&self) -> bool {
        self.dry_run
    }
}

impl Answer for v1::DeleteApplicationResponse {
    fn sequence(&self) -> Option<u64> {
        written(self.application.as_ref())
    }
}

impl Changing for v1::SuspendApplicationRequest {
    const VERB: &'static str = "suspend-or-resume";

    fn object(&self) -> String {
        application(self.application.as_ref())
    }
}

impl Answer for v1::SuspendApplicationResponse {
    fn sequence(&self) -> Option<u64> {
        written(self.application.as_ref())
    }
}

impl Changing for v1::UndoApplicationRequest {
    const VERB: &'static str = "undo";

    fn object(&self) -> String {
        application(self.application.as_ref())
    }

    fn is_dry_run(&self) -> bool {
        self.dry_run
    }
}

impl Answer for v1::UndoApplicationResponse {
    fn sequence(&self) -> Option<u64> {
        written(self.application.as_ref())
    }

    fn revision(&self) -> Option<u64> {
        self.revision.as_ref().map(|revision| revision.number)
    }
}

impl Changing for Streaming<v1::UploadBundleRequest> {
    const VERB: &'static str = "upload-bundle";
}

impl Answer for v1::UploadBundleResponse {
    fn object(&self) -> Option<String> {
        self.digest.parse::<Digest>().ok().map(|digest| format!("bundle/{digest}"))
    }
}

impl Changing for v1::ApplyClusterRequest {
    const VERB: &'static str = "apply";

    fn object(&self) -> String {
        let metadata = self.cluster.as_ref().and_then(|cluster| cluster.metadata.as_ref());
        metadata.map(|metadata| cluster(&metadata.name)).unwrap_or_default()
    }

    fn is_dry_run(&self) -> bool {
        self.dry_run
    }
}

impl Answer for v1::ApplyClusterResponse {
    fn sequence(&self) -> Option<u64> {
        let metadata = self.cluster.as_ref()?.metadata.as_ref();
        metadata.map(|metadata| metadata.sequence).filter(|sequence| *sequence != 0)
    }
}

impl Changing for v1::DeleteClusterRequest {
    const VERB: &'static str = "delete";

    fn object(&self) -> String {
        cluster(&self.name)
    }

    fn is_dry_run(&self) -> bool {
        self.dry_run
    }
}

impl Answer for v1::DeleteClusterResponse {}

impl Changing for v1::CreateTokenRequest {
    const VERB: &'static str = "create-token";
}

impl Answer for v1::CreateTokenResponse {
    fn object(&self) -> Option<String> {
        self.token.as_ref().map(|made| token(&made.id))
    }
}

impl Changing for v1::DeleteTokenRequest {
    const VERB: &'static str = "delete-token";

    fn object(&self) -> String {
        token(&self.id)
    }
}

impl Answer for v1::DeleteTokenResponse {}

impl Changing for v1::OrderFailoverRequest {
    const VERB: &'static str = "order-failover";

    fn object(&self) -> String {
        application(self.application.as_ref())
    }

    fn is_dry_run(&self) -> bool {
        self.dry_run
    }
}

impl Answer for v1::OrderFailoverResponse {}

impl Changing for v1::SetFreezeRequest {
    const VERB: &'static str = "freeze-or-thaw";
}

impl Answer for v1::SetFreezeResponse {}

impl Changing for v1::SetMaintenanceRequest {
    const VERB: &'static str = "set-maintenance";
}

impl Answer for v1::SetMaintenanceResponse {}

impl Changing for v1::ReleaseHeldRequest {
    const VERB: &'static str = "release";

    fn object(&self) -> String {
        application(self.application.as_ref())
    }
}

impl Answer for v1::ReleaseHeldResponse {}

/// A backup changes nothing, and holds every secret of the fleet.
impl Changing for v1::BackupRequest {
    const VERB: &'static str = "backup";
}

impl Answer for super::backup::Chunks {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_valid_names_are_written_down() {
        let key = |name: &str| v1::ApplicationKey { project: "default".into(), name: name.into() };
        assert!(application(Some(&key("shop"))).ends_with("shop"));
        for bad in ["", "a b", "\"}\n{", &"x".repeat(1000)] {
            assert_eq!(application(Some(&key(bad))), "", "{bad}");
            assert_eq!(cluster(bad), "", "{bad}");
            assert_eq!(token(bad), "", "{bad}");
        }
        assert_eq!(token("0123456789abcdef"), "token/0123456789abcdef");
    }
}
