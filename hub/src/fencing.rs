//! The fencing webhook: where an old copy of Exclusive work cannot be asked to stop, somebody outside is, who can cut a
//! cluster's power or its network.
//!
//! While a move waits until the old copy is known to be dead, and its cluster is silent, the hub posts what it wants to
//! know and repeats that until the answer is that the copy is dead. That word goes the way of every order: into the
//! application's failover record, from where the planner takes it. Nothing is decided here.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{self, Method, Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use nave_common::event::{Event, Severity};
use nave_common::failover::state::{MAX_ORDERS, Order, OrderKind};
use nave_common::failover::{Epoch, Fence};
use nave_common::name::{ApplicationKey, ClusterName};
use nave_common::runtime::backoff::Reconnect;
use nave_common::runtime::tls;
use nave_common::status::Liveness;
use nave_common::time::Timestamp;
use serde::{Deserialize, Serialize, Serializer};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_util::sync::CancellationToken;

use crate::config::WebhookConfig;
use crate::error::with_causes;
use crate::parts::Parts;
use crate::records::{Name, Record};
use crate::store::{self, Expect, Transaction};
use crate::world::{Interest, Kinds, State};
use crate::{error, events};

/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Calls at the same time.
const MAX_CALLS: usize = 16;
/// The longest answer that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 64 << 10;
/// How often the order is tried while others write the same record.
const MAX_ATTEMPTS: usize = 16;
/// Who ordered it, for people.
const CALLED_BY: &str = "the fencing webhook";

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
struct Question {
    /// As `PROJECT/NAME`.
    #[serde(serialize_with = "as_text")]
    application: ApplicationKey,
    cluster: ClusterName,
    /// Everything up to this token has to be dead.
    epoch: Epoch,
    requested_at: String,
}

fn as_text<S: Serializer>(key: &ApplicationKey, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(key)
}

/// What is answered.
#[derive(Debug, Deserialize)]
struct Answer {
    /// Whether the old copy is dead, and cannot come back by itself.
    fenced: bool,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its URL names no host.
    #[error("the URL of the fencing webhook names no host")]
    Url,
    /// The certificates to trust cannot be read.
    #[error("the file {file} with the certificates of the fencing webhook cannot be read")]
    File {
        /// Which file.
        file: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The certificates to trust are none.
    #[error("TLS to the fencing webhook cannot be set up")]
    Tls(#[from] tls::Error),
    /// Nothing listens there, or the connection broke.
    #[error("the fencing webhook cannot be reached")]
    Io(#[from] std::io::Error),
    /// Its certificate is not one to trust: nothing was asked.
    #[error(
        "the certificate of the fencing webhook is refused: expected one for {host} that is valid now and signed by an \
         authority in its caFile"
    )]
    Certificate {
        /// Who was dialled.
        host: String,
        /// What is wrong with it.
        #[source]
        source: std::io::Error,
    },
    /// It does not speak HTTP, or stopped in the middle.
    #[error("the fencing webhook does not answer")]
    Http(#[from] hyper::Error),
    /// The request cannot be made.
    #[error("the fencing webhook cannot be asked")]
    Request(#[from] http::Error),
    /// Its answer cannot be read.
    #[error("the answer of the fencing webhook cannot be read")]
    Body(#[source] axum::Error),
    /// Its answer is not `{"fenced": true}` or `{"fenced": false}`.
    #[error(
        "the answer of the fencing webhook is not what was expected: {{\"fenced\": true}} or {{\"fenced\": false}}"
    )]
    Answer(#[from] serde_json::Error),
    /// It refused.
    #[error("the fencing webhook answers {0}")]
    Status(StatusCode),
    /// It took too long.
    #[error("the fencing webhook did not answer within {CALL_TIMEOUT:?}")]
    Timeout,
}

/// Whom the hub asks.
#[derive(Clone)]
pub struct Webhook {
    url: Uri,
    host: String,
    port: u16,
    tls: Option<TlsConnector>,
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Webhook {
    /// Reads the certificates to trust.
    ///
    /// # Errors
    /// Where they cannot be read, or the URL cannot be used.
    pub fn new(config: &WebhookConfig) -> Result<Self, Error> {
        let url: Uri = config.url.parse().map_err(|_| Error::Url)?;
        let host = url.host().ok_or(Error::Url)?.to_owned();
        let is_tls = url.scheme_str() == Some("https");
        let port = url.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let tls = match (&config.ca_file, is_tls) {
            (Some(file), true) => Some(connector(file)?),
            (None, true) => return Err(Error::Url),
            (_, false) => None,
        };
        Ok(Self { url, host, port, tls })
    }

    /// Asks once.
    async fn ask(&self, question: &Question) -> Result<bool, Error> {
        let asked = async {
            // An IPv6 address stands in brackets in a URL, and in none elsewhere.
            let host = self.host.trim_start_matches('[').trim_end_matches(']');
            let socket = TcpStream::connect((host, self.port)).await?;
            match &self.tls {
                None => self.exchange(TokioIo::new(socket), question).await,
                Some(tls) => {
                    let name = ServerName::try_from(host.to_owned()).map_err(|_| Error::Url)?;
                    let socket = tls.connect(name, socket).await.map_err(|error| refused(host, error))?;
                    self.exchange(TokioIo::new(socket), question).await
                }
            }
        };
        tokio::time::timeout(CALL_TIMEOUT, asked).await.map_err(|_| Error::Timeout)?
    }

    async fn exchange<T>(&self, io: T, question: &Question) -> Result<bool, Error>
    where
        T: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
        let path = self.url.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let authority = self.url.authority().map_or(self.host.as_str(), http::uri::Authority::as_str);
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(header::HOST, authority)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(serde_json::to_vec(question)?))?;
        let exchange = async {
            let answer = sender.send_request(request).await?;
            let status = answer.status();
            if status != StatusCode::OK {
                return Err(Error::Status(status));
            }
            let body = axum::body::to_bytes(Body::new(answer.into_body()), MAX_ANSWER_BYTES).await;
            let answer: Answer = serde_json::from_slice(&body.map_err(Error::Body)?)?;
            Ok(answer.fenced)
        };
        tokio::pin!(connection);
        tokio::pin!(exchange);
        tokio::select! {
            answer = &mut exchange => answer,
            ended = &mut connection => {
                ended?;
                // It closed after its answer, which is read by now or never.
                exchange.await
            }
        }
    }
}

/// A certificate that is not trusted is another mistake than a webhook that is away.
fn refused(host: &str, error: std::io::Error) -> Error {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<tokio_rustls::rustls::Error>());
    match tls {
        Some(tokio_rustls::rustls::Error::InvalidCertificate(_)) => {
            Error::Certificate { host: host.to_owned(), source: error }
        }
        _ => Error::Io(error),
    }
}

fn connector(file: &Path) -> Result<TlsConnector, Error> {
    let refused = |source| Error::File { file: file.display().to_string(), source };
    let authority = std::fs::read_to_string(file).map_err(refused)?;
    let mut config = tls::client_config(&authority, None)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Asks for every old copy that waits for it, until the hub stops.
pub async fn run(parts: Arc<Parts>, webhook: Webhook) {
    let mut changes = parts.world.subscribe(Interest::All(Kinds::FAILOVERS.and(Kinds::CLUSTERS)));
    let webhook = Arc::new(webhook);
    let places = Arc::new(Semaphore::new(MAX_CALLS));
    let mut asking: BTreeMap<Question, CancellationToken> = BTreeMap::new();
    loop {
        let waiting = parts.world.read(questions);
        asking.retain(|question, stop| {
            let is_wanted = waiting.contains(question);
            if !is_wanted {
                stop.cancel();
            }
            is_wanted
        });
        for question in waiting {
            if !asking.contains_key(&question) {
                let stop = parts.shutdown.child_token();
                asking.insert(question.clone(), stop.clone());
                let (parts, webhook, places) = (parts.clone(), webhook.clone(), places.clone());
                tokio::spawn(async move {
                    tokio::select! {
                        () = insist(&parts, &webhook, &places, &question) => {}
                        () = stop.cancelled() => {}
                    }
                });
            }
        }
        tokio::select! {
            _ = changes.next() => {}
            () = parts.shutdown.cancelled() => return,
        }
    }
}

/// The old copies that are not known to be dead, and whose clusters cannot be asked.
fn questions(state: &State) -> Vec<Question> {
    let question = |application: &ApplicationKey| {
        let grant = state.failovers().get(application)?.value.grant.as_ref()?;
        let release = grant.release.as_ref().filter(|release| release.fenced.is_none())?;
        let rules = state.applications().get(application)?.value.spec.failover.exclusive_rules()?;
        let liveness = state.clusters().get(&grant.cluster).map(|entry| entry.observed.liveness);
        let is_heard = matches!(liveness, Some(Liveness::Alive | Liveness::Suspect));
        (!is_heard && rules.fence != Fence::Storage).then(|| Question {
            application: application.clone(),
            cluster: grant.cluster.clone(),
            epoch: grant.epoch,
            requested_at: release.since.to_string(),
        })
    };
    state.failovers().keys().filter_map(question).collect()
}

/// Asks until the answer is that the copy is dead, and orders that to be taken.
async fn insist(parts: &Parts, webhook: &Webhook, places: &Semaphore, question: &Question) {
    let mut pauses = Reconnect::new();
    loop {
        // Never closed.
        let Ok(place) = places.acquire().await else { return };
        let answer = webhook.ask(question).await;
        drop(place);
        parts.metrics.failover.webhook_answered(matches!(answer, Ok(true)));
        let Question { application, cluster, epoch, .. } = question;
        match answer {
            Ok(true) => match confirm(parts, question).await {
                Ok(()) => return,
                Err(error) => {
                    let error = with_causes(&error);
                    tracing::warn!(%application, %cluster, error, "what the fencing webhook said cannot be written");
                }
            },
            Ok(false) => {
                tracing::debug!(%application, %cluster, %epoch, "the fencing webhook says that it is not dead yet")
            }
            Err(error) => {
                tracing::warn!(%application, %cluster, error = with_causes(&error), "the fencing webhook was of no use");
            }
        }
        tokio::time::sleep(pauses.next()).await;
    }
}

/// Leaves the webhook's word with the planner, where it is still wanted.
async fn confirm(parts: &Parts, question: &Question) -> Result<(), error::Error> {
    let mut attempts = MAX_ATTEMPTS;
    loop {
        match try_confirm(parts, question).await {
            Err(error::Error::Store(store::Error::Conflict { .. })) if attempts > 0 => {
                attempts -= 1;
                let last = parts.store.last_sequence().await?;
                parts.caught_up(last).await?;
            }
            done => return done,
        }
    }
}

async fn try_confirm(parts: &Parts, question: &Question) -> Result<(), error::Error> {
    let Question { application, cluster, epoch, .. } = question;
    let stored = parts.world.read(|state| state.failovers().get(application).cloned());
    let Some(stored) = stored else { return Ok(()) };
    let mut state = (*stored.value).clone();
    let waits = state.grant.as_ref().is_some_and(|grant| {
        let is_open = grant.release.as_ref().is_some_and(|release| release.fenced.is_none());
        grant.cluster == *cluster && grant.epoch == *epoch && is_open
    });
    if !waits {
        return Ok(());
    }
    if state.orders.len() >= MAX_ORDERS {
        return Err(error::Error::Exhausted(format!(
            "application {application} has {MAX_ORDERS} orders that the hub has not taken yet"
        )));
    }
    let now: Timestamp = parts.now();
    state.orders.push(Order {
        what: OrderKind::ConfirmFenced { cluster: cluster.clone(), epoch: *epoch, by_webhook: true },
        by: CALLED_BY.into(),
        at: now,
        change_id: String::new(),
    });
    let event = Event {
        at: now,
        severity: Severity::Normal,
        reason: "FencedByWebhook".into(),
        message: format!("{CALLED_BY} says that what ran in {cluster} under epoch {epoch} is dead"),
        application: Some(application.clone()),
        cluster: Some(cluster.clone()),
        change_id: String::new(),
    };
    let name = Name::Failover(application.clone()).key()?;
    let mut transaction = Transaction::new().expect(name, Expect::Sequence(stored.sequence));
    transaction.writes.push(Record::Failover(Box::new(state)).write()?);
    transaction.writes.push(events::record(event).write()?);
    parts.commit(transaction).await?;
    Ok(())
}

#[cfg(test)]
#[path = "fencing_tests.rs"]
mod tests;
