//! A hub in this process, and clients of it.

use std::time::Duration;

use nave_common::HUB_TLS_NAME;
use nave_common::name::ApplicationKey;
use nave_common::runtime::tls::{self, Credentials};
use nave_common::token::TokenText;
use nave_hub::backup::restore;
use nave_hub::config::StoreConfig;
use nave_hub::{Config, Hub};
use nave_proto::v1;
use nave_proto::v1::agent_service_client::AgentServiceClient;
use nave_proto::v1::fleet_service_client::FleetServiceClient;
use serde_json::{Value, json};
use tempfile::TempDir;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Status};

/// How long anything in these tests may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A client of FleetService.
pub(crate) type Fleet = FleetServiceClient<Channel>;

/// A hub with its folder.
pub(crate) struct TestHub {
    pub(crate) hub: Hub,
    pub(crate) config: Config,
    _folder: Option<TempDir>,
}

impl TestHub {
    /// A new hub whose store is in memory.
    pub(crate) async fn start() -> Self {
        Self::start_with(|config| config.store = StoreConfig::Memory).await
    }

    /// A new hub, with the configuration changed.
    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::local(folder.path().join("hub"));
        change(&mut config);
        let hub = Hub::start(config.clone()).await.unwrap();
        Self { hub, config, _folder: Some(folder) }
    }

    /// Stops the hub and starts it again in the same folder, at the same address.
    pub(crate) async fn restart(self) -> Self {
        self.restart_after(async |_: &Config| {}).await
    }

    /// Stops the hub, does something with its folder, and starts it again.
    pub(crate) async fn restart_after(mut self, work: impl AsyncFnOnce(&Config)) -> Self {
        self.config.listen = self.hub.listen_address();
        self.hub.shutdown().await;
        work(&self.config).await;
        self.hub = Hub::start(self.config.clone()).await.unwrap();
        self
    }

    /// The archive of a backup.
    pub(crate) async fn backup(&self) -> Vec<u8> {
        let mut stream = self.admin().await.backup(v1::BackupRequest {}).await.unwrap().into_inner();
        let mut archive = Vec::new();
        while let Some(part) = stream.message().await.unwrap() {
            archive.extend_from_slice(&part.chunk);
        }
        archive
    }

    /// A new hub, put back from an archive, under a term above `seen_term`.
    pub(crate) async fn restored(archive: &[u8], seen_term: Option<u64>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("archive");
        std::fs::write(&file, archive).unwrap();
        let config = Config::local(folder.path().join("hub"));
        restore::restore(&file, &config.data_dir, seen_term).await.unwrap();
        let hub = Hub::start(config.clone()).await.unwrap();
        Self { hub, config, _folder: Some(folder) }
    }

    /// A channel with the administrator's certificate.
    pub(crate) async fn admin_channel(&self) -> Channel {
        let context = self.hub.admin_context().unwrap();
        let own = Credentials {
            certificate_pem: context.certificate.clone(),
            key_pem: context.key.pem().to_owned().into(),
        };
        self.channel(Some(&own)).await
    }

    /// The administrator.
    pub(crate) async fn admin(&self) -> Fleet {
        FleetServiceClient::new(self.admin_channel().await)
    }

    /// A channel that shows `own`, or nothing.
    pub(crate) async fn channel(&self, own: Option<&Credentials>) -> Channel {
        let authority = self.hub.admin_context().unwrap().authority;
        channel_to(&self.hub.listen_address().to_string(), &authority, own).await
    }

    /// The text of a new join token.
    pub(crate) async fn token(&self, request: v1::CreateTokenRequest) -> TokenText {
        let answer = self.admin().await.create_token(request).await.unwrap().into_inner();
        TokenText::parse(&answer.text).unwrap()
    }

    /// Enrols a cluster; its UID is `uid-NAME`.
    pub(crate) async fn enroll(&self, name: &str, labels: &[(&str, &str)]) -> Credentials {
        let token = self.token(v1::CreateTokenRequest::default()).await;
        self.enroll_with(&token, name, &format!("uid-{name}"), labels).await.unwrap()
    }

    /// Enrols a cluster with a token.
    pub(crate) async fn enroll_with(
        &self,
        token: &TokenText,
        name: &str,
        uid: &str,
        labels: &[(&str, &str)],
    ) -> Result<Credentials, Status> {
        enroll_at(self.channel(None).await, token, name, uid, labels).await
    }
}

/// A channel to a hub that shows `own`, or nothing.
pub(crate) async fn channel_to(address: &str, authority: &str, own: Option<&Credentials>) -> Channel {
    let mut config =
        ClientTlsConfig::new().domain_name(HUB_TLS_NAME).ca_certificate(Certificate::from_pem(authority));
    if let Some(own) = own {
        config = config.identity(Identity::from_pem(&own.certificate_pem, own.key_pem.as_str()));
    }
    let endpoint = Endpoint::from_shared(format!("https://{address}")).unwrap();
    endpoint.tls_config(config).unwrap().connect().await.unwrap()
}

/// Enrols a cluster with a token.
pub(crate) async fn enroll_at(
    channel: Channel,
    token: &TokenText,
    name: &str,
    uid: &str,
    labels: &[(&str, &str)],
) -> Result<Credentials, Status> {
    let key = tls::new_key_and_csr().unwrap();
    let request = v1::EnrollRequest {
        token_id: token.id.clone(),
        token_secret: token.secret.to_string(),
        cluster: name.into(),
        labels: labels.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
        cluster_uid: uid.into(),
        certificate_signing_request: key.csr_der.clone().into(),
    };
    let answer = AgentServiceClient::new(channel).enroll(request).await?.into_inner();
    Ok(Credentials { certificate_pem: tls::certificate_pem(&answer.certificate), key_pem: key.key_pem })
}

/// A ConfigMap.
pub(crate) fn config_map(name: &str, value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"key": value}})
}

/// An application with inline manifests that runs everywhere.
pub(crate) fn application(name: &str, manifests: &[Value]) -> v1::Application {
    let key: ApplicationKey = name.parse().unwrap();
    let manifests = manifests.iter().map(|manifest| manifest.to_string().into()).collect();
    let inline = v1::source::Kind::Inline(v1::InlineSource { manifests });
    v1::Application {
        metadata: Some(v1::ApplicationMetadata {
            name: key.name.to_string(),
            project: key.project.to_string(),
            ..Default::default()
        }),
        spec: Some(v1::ApplicationSpec {
            source: Some(v1::Source { kind: Some(inline) }),
            namespace: "shop".into(),
            ..Default::default()
        }),
        status: None,
    }
}

/// The wire's key of an application.
pub(crate) fn key(name: &str) -> Option<v1::ApplicationKey> {
    Some(name.parse::<ApplicationKey>().unwrap().into())
}

/// Applies, and expects that it is taken.
pub(crate) async fn apply(fleet: &mut Fleet, application: v1::Application) -> v1::ApplyApplicationResponse {
    try_apply(fleet, application).await.unwrap()
}

/// Applies.
pub(crate) async fn try_apply(
    fleet: &mut Fleet,
    application: v1::Application,
) -> Result<v1::ApplyApplicationResponse, Status> {
    let request = v1::ApplyApplicationRequest { application: Some(application), dry_run: false };
    Ok(fleet.apply_application(request).await?.into_inner())
}

/// The application as the hub shows it; `None` where there is none.
pub(crate) async fn get(fleet: &mut Fleet, name: &str) -> Option<v1::Application> {
    match fleet.get_application(v1::GetApplicationRequest { application: key(name) }).await {
        Ok(answer) => answer.into_inner().application,
        Err(status) if status.code() == Code::NotFound => None,
        Err(status) => panic!("{status}"),
    }
}

/// Waits until `done` says so.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut done: impl FnMut() -> F) {
    let waiting = async {
        while !done().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}"));
}

/// Expects a refusal with this code whose message holds `part`.
#[track_caller]
pub(crate) fn assert_refused<T: std::fmt::Debug>(result: Result<T, Status>, code: Code, part: &str) {
    let status = result.unwrap_err();
    assert_eq!(status.code(), code, "{status}");
    assert!(status.message().contains(part), "{:?} holds no {part:?}", status.message());
}
