//! The fencing webhook over real TLS: a server that the configured authority vouches for is asked, and no other.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Json;
use axum::routing::post;
use nave_common::runtime::tls::Authority;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::*;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A socket behind TLS.
struct Listener {
    socket: TcpListener,
    tls: TlsAcceptor,
}

impl axum::serve::Listener for Listener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (socket, from) = self.socket.accept().await.unwrap();
            // A client that does not trust it hangs up in the middle.
            if let Ok(stream) = self.tls.accept(socket).await {
                return (stream, from);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.socket.local_addr()
    }
}

/// A webhook that says that the copy is dead, with a certificate of `authority`'s for `name`. Returns its port, and how
/// often it is asked.
async fn server(authority: &Authority, name: &str, now: Timestamp) -> (u16, Arc<AtomicUsize>) {
    let own = authority.server_certificate(&[name.to_owned()], now, DAY).unwrap();
    let mut config = tls::server_config(authority.certificate_pem(), &own).unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = socket.local_addr().unwrap().port();
    let listener = Listener { socket, tls: TlsAcceptor::from(Arc::new(config)) };
    let asked = Arc::<AtomicUsize>::default();
    let count = asked.clone();
    let answer = move |Json(question): Json<Value>| async move {
        assert_eq!(
            (&question["application"], &question["cluster"]),
            (&json!("default/ledger"), &json!("eu-1"))
        );
        count.fetch_add(1, Ordering::SeqCst);
        Json(json!({"fenced": true}))
    };
    tokio::spawn(async move {
        axum::serve(listener, axum::Router::new().route("/fence", post(answer))).await.unwrap();
    });
    (port, asked)
}

fn authority() -> Authority {
    Authority::create("webhook test", Timestamp::now()).unwrap()
}

fn ca_file(folder: &tempfile::TempDir, text: &str) -> PathBuf {
    let file = folder.path().join("webhook-ca.pem");
    std::fs::write(&file, text).unwrap();
    file
}

/// Asks a webhook at `url` that is trusted by the certificates in `ca_pem`.
async fn ask(url: String, ca_pem: &str) -> Result<bool, Error> {
    let folder = tempfile::tempdir().unwrap();
    let webhook = Webhook::new(&WebhookConfig { url, ca_file: Some(ca_file(&folder, ca_pem)) })?;
    let question = Question {
        application: "default/ledger".parse().unwrap(),
        cluster: "eu-1".parse().unwrap(),
        epoch: Epoch::of(nave_common::assignment::Generation { term: 1, counter: 7 }).unwrap(),
        requested_at: "2026-11-25T02:00:00Z".into(),
    };
    webhook.ask(&question).await
}

#[tokio::test]
async fn a_webhook_that_the_authority_vouches_for_is_asked_over_https() {
    let authority = authority();
    for host in ["localhost", "127.0.0.1"] {
        let (port, asked) = server(&authority, host, Timestamp::now()).await;
        let answer = ask(format!("https://{host}:{port}/fence"), authority.certificate_pem()).await;
        assert!(answer.unwrap(), "{host}");
        assert_eq!(asked.load(Ordering::SeqCst), 1, "{host}");
    }
}

#[tokio::test]
async fn a_webhook_with_a_wrong_certificate_is_refused_and_told_why() {
    let (ours, other) = (authority(), authority());
    let now = Timestamp::now();
    let long_ago = Timestamp::from_millis(now.as_millis() - 10 * 24 * 3600 * 1000).unwrap();
    let cases = [
        ("of another authority", &other, "localhost", now),
        ("for another host", &ours, "elsewhere.example.com", now),
        ("that is over", &ours, "localhost", long_ago),
    ];
    for (what, authority, name, from) in cases {
        let (port, asked) = server(authority, name, from).await;
        let error = ask(format!("https://localhost:{port}/fence"), ours.certificate_pem()).await.unwrap_err();
        assert!(matches!(error, Error::Certificate { .. }), "{what}: {error:?}");
        let text = with_causes(&error);
        assert!(
            text.starts_with(
                "the certificate of the fencing webhook is refused: expected one for localhost that is valid now and \
                 signed by an authority in its caFile: invalid peer certificate: "
            ),
            "{what}: {text}"
        );
        assert_eq!(asked.load(Ordering::SeqCst), 0, "{what}: nothing is told to it");
    }
}

#[tokio::test]
async fn a_webhook_without_tls_is_not_asked_over_https() {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = socket.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(socket, axum::Router::new()).await.unwrap() });
    let error =
        ask(format!("https://127.0.0.1:{port}/fence"), authority().certificate_pem()).await.unwrap_err();
    assert!(matches!(error, Error::Io(_)), "{error:?}");
}

#[tokio::test]
async fn certificates_to_trust_that_cannot_be_read_are_named() {
    let url = "https://localhost/fence".to_owned();
    let away = WebhookConfig { url: url.clone(), ca_file: Some("/nowhere/webhook-ca.pem".into()) };
    let error = Webhook::new(&away).unwrap_err().to_string();
    assert!(error.contains("/nowhere/webhook-ca.pem"), "{error}");
    let error = ask(url, "no certificate").await.unwrap_err();
    assert!(matches!(error, Error::Tls(_)), "{error:?}");
}
