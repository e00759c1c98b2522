//! Tests of TLS: handshakes in memory between clients and servers of one authority and of others.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ServerConfig, ServerConnection};

use super::*;
use crate::HUB_TLS_NAME;
use crate::identity::{self, Identity};
use crate::time::Timestamp;

const DAY: Duration = Duration::from_secs(86_400);

fn authority() -> Authority {
    Authority::create("nave test", Timestamp::now()).unwrap()
}

fn eu_1() -> Identity {
    Identity::Cluster("eu-1".parse().unwrap())
}

/// An agent's credentials, as they come about at enrolment.
fn enrolled(authority: &Authority, now: Timestamp, validity: Duration) -> Credentials {
    let key = new_key_and_csr().unwrap();
    let certificate = authority.sign_csr(&key.csr_der, &eu_1(), now, validity).unwrap();
    Credentials { certificate_pem: certificate_pem(&certificate), key_pem: key.key_pem }
}

fn server(authority: &Authority) -> Arc<ServerConfig> {
    let own = authority.server_certificate(&["127.0.0.1".into()], Timestamp::now(), DAY).unwrap();
    Arc::new(server_config(authority.certificate_pem(), &own).unwrap())
}

fn client(authority: &Authority, own: Option<&Credentials>) -> Arc<ClientConfig> {
    Arc::new(client_config(authority.certificate_pem(), own).unwrap())
}

/// Shakes hands in memory; the server's view of the client and how it came about, or what either side refused.
fn handshake(
    client: &Arc<ClientConfig>,
    server: &Arc<ServerConfig>,
    name: &'static str,
) -> Result<(Option<Identity>, HandshakeKind), String> {
    let mut client = ClientConnection::new(Arc::clone(client), ServerName::try_from(name).unwrap()).unwrap();
    let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
    for _ in 0..10 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets().map_err(|error| format!("server: {error}"))?;
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets().map_err(|error| format!("client: {error}"))?;
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    assert_eq!(server.alpn_protocol(), Some(b"h2".as_slice()));
    let peer = server.peer_certificates().map(|chain| identity::from_certificate(&chain[0]).unwrap());
    Ok((peer, server.handshake_kind().unwrap()))
}

#[test]
fn an_agent_is_known_by_its_certificate_and_its_session_resumes() {
    let authority = authority();
    let (server, client) =
        (server(&authority), client(&authority, Some(&enrolled(&authority, Timestamp::now(), DAY))));
    let first = handshake(&client, &server, HUB_TLS_NAME).unwrap();
    assert_eq!(first, (Some(eu_1()), HandshakeKind::Full));
    let second = handshake(&client, &server, HUB_TLS_NAME).unwrap();
    assert_eq!(second, (Some(eu_1()), HandshakeKind::Resumed));
}

#[test]
fn a_client_without_a_certificate_may_knock() {
    let authority = authority();
    let (peer, _) = handshake(&client(&authority, None), &server(&authority), "127.0.0.1").unwrap();
    assert_eq!(peer, None);
}

#[test]
fn strangers_are_refused_by_both_sides() {
    let (ours, theirs) = (authority(), authority());
    let now = Timestamp::now();
    // The same name, other keys.
    let error = handshake(&client(&theirs, None), &server(&ours), HUB_TLS_NAME).unwrap_err();
    assert!(error.starts_with("client: "), "{error}");
    let forged = enrolled(&theirs, now, DAY);
    let error = handshake(&client(&ours, Some(&forged)), &server(&ours), HUB_TLS_NAME).unwrap_err();
    assert!(error.starts_with("server: "), "{error}");
    let error = handshake(&client(&ours, None), &server(&ours), "other.example.com").unwrap_err();
    assert!(error.starts_with("client: "), "{error}");
}

#[test]
fn a_certificate_that_ran_out_is_refused() {
    let authority = authority();
    let past = Timestamp::from_millis(1_600_000_000_000).unwrap();
    let old = enrolled(&authority, past, DAY);
    let error = handshake(&client(&authority, Some(&old)), &server(&authority), HUB_TLS_NAME).unwrap_err();
    assert!(error.contains("certificate expired"), "{error}");
}

#[test]
fn an_agent_cannot_pass_as_a_hub() {
    let authority = authority();
    let agent = enrolled(&authority, Timestamp::now(), DAY);
    let impostor = Arc::new(server_config(authority.certificate_pem(), &agent).unwrap());
    assert!(handshake(&client(&authority, None), &impostor, HUB_TLS_NAME).is_err());
}

#[test]
fn two_authorities_are_trusted_while_one_replaces_the_other() {
    let (old, new) = (authority(), authority());
    let both = format!("{}{}", old.certificate_pem(), new.certificate_pem());
    let agent = enrolled(&old, Timestamp::now(), DAY);
    let hub = new.server_certificate(&[], Timestamp::now(), DAY).unwrap();
    let (peer, _) = handshake(
        &Arc::new(client_config(&both, Some(&agent)).unwrap()),
        &Arc::new(server_config(&both, &hub).unwrap()),
        HUB_TLS_NAME,
    )
    .unwrap();
    assert_eq!(peer, Some(eu_1()));
}

#[test]
fn an_authority_survives_its_files() {
    let authority = authority();
    let loaded = Authority::load(authority.certificate_pem(), authority.key_pem()).unwrap();
    assert_eq!(loaded.certificate_der(), authority.certificate_der());
    let agent = enrolled(&loaded, Timestamp::now(), DAY);
    assert!(handshake(&client(&authority, Some(&agent)), &server(&authority), HUB_TLS_NAME).is_ok());

    let other = self::authority();
    assert!(matches!(Authority::load(authority.certificate_pem(), other.key_pem()), Err(Error::Mismatch)));
    let agent_key = Authority::load(&agent.certificate_pem, &agent.key_pem);
    assert!(matches!(agent_key, Err(Error::Authority(_))));
    assert!(Authority::load("", authority.key_pem()).is_err());
}

#[test]
fn a_request_gives_its_key_and_nothing_else() {
    let authority = authority();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut wishes = rcgen::CertificateParams::new(vec!["hub.example.com".to_owned()]).unwrap();
    wishes.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    wishes.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    wishes.subject_alt_names.push(rcgen::SanType::URI("spiffe://nave/hub".try_into().unwrap()));
    let request = wishes.serialize_request(&key).unwrap();
    let signed = authority.sign_csr(request.der(), &eu_1(), Timestamp::now(), DAY).unwrap();
    let peer = identity::read_certificate(&signed).unwrap();
    assert_eq!(peer.identity, eu_1());
    let (_, certificate) = x509_parser::parse_x509_certificate(&signed).unwrap();
    assert!(!certificate.is_ca());
    let usage = certificate.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && !usage.server_auth && !usage.any);
}

#[test]
fn a_request_that_its_key_did_not_sign_is_refused() {
    let authority = authority();
    let mut forged = new_key_and_csr().unwrap().csr_der;
    let last = forged.len() - 1;
    forged[last] ^= 1;
    for bad in [forged.as_slice(), b"", &[0x30; 20_000]] {
        assert!(matches!(authority.sign_csr(bad, &eu_1(), Timestamp::now(), DAY), Err(Error::Request(_))));
    }
}

#[test]
fn no_certificate_outlives_its_authority_and_each_has_a_number_of_its_own() {
    let now = Timestamp::from_millis(1_700_000_000_000).unwrap();
    let authority = Authority::create("nave test", now).unwrap();
    let key = new_key_and_csr().unwrap();
    let sign = || authority.sign_csr(&key.csr_der, &eu_1(), now, Duration::from_secs(u64::MAX)).unwrap();
    let peer = identity::read_certificate(&sign()).unwrap();
    let (_, own) = x509_parser::parse_x509_certificate(authority.certificate_der()).unwrap();
    assert_eq!(peer.not_after.as_millis() / 1000, own.validity().not_after.timestamp());
    assert!(peer.not_before < now, "a clock that is a little behind is no reason to refuse");
    assert_ne!(sign(), sign());
}

#[test]
fn a_person_s_credentials_are_made_whole() {
    let authority = authority();
    let ana = Identity::User("ana".parse().unwrap());
    let own = authority.client_certificate(&ana, Timestamp::now(), DAY).unwrap();
    let (peer, _) = handshake(&client(&authority, Some(&own)), &server(&authority), HUB_TLS_NAME).unwrap();
    assert_eq!(peer, Some(ana));
    assert!(!format!("{own:?} {authority:?}").contains("PRIVATE"));
}

#[test]
fn names_that_no_certificate_can_hold_are_refused() {
    let authority = authority();
    for bad in ["", "a b", "é.example.com", "hub:7443", "-a.example.com"] {
        let made = authority.server_certificate(&[bad.into()], Timestamp::now(), DAY);
        assert!(matches!(made, Err(Error::Name(_))), "{bad}");
    }
    let good = ["hub.example.com".into(), "*.example.com".into(), "2001:db8::1".into(), HUB_TLS_NAME.into()];
    assert!(authority.server_certificate(&good, Timestamp::now(), DAY).is_ok());
}

#[test]
fn pem_round_trips() {
    let authority = authority();
    let both = format!(
        "# a comment\n{}{}",
        authority.certificate_pem(),
        certificate_pem(authority.certificate_der())
    );
    let read = certificates(&both).unwrap();
    assert_eq!((read.len(), read[1].as_ref()), (2, authority.certificate_der()));
    assert!(certificates("").is_err());
    assert!(certificates("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n").is_err());
}

#[test]
fn the_provider_can_be_installed_twice() {
    install_provider();
    install_provider();
}
