//! Tests of join tokens: what a token is good for, and its text.

use proptest::prelude::*;
use zeroize::Zeroizing;

use super::*;

fn text() -> TokenText {
    TokenText {
        addresses: vec!["hub.example.com:7443".into(), "192.0.2.1:7443".into()],
        authority: vec![0x30, 0x82, 1, 2, 3],
        id: "7f3c".into(),
        secret: Zeroizing::new("hunter2-hunter2".into()),
    }
}

fn token() -> JoinToken {
    JoinToken {
        id: "7f3c".into(),
        secret_hash: Digest::of(b"hunter2"),
        expires_at: Timestamp::from_millis(1000).unwrap(),
        uses_left: 1,
        cluster: None,
        labels: Labels::from([("env".into(), "prod".into())]),
        created_at: Timestamp::from_millis(0).unwrap(),
        created_by: "ana".into(),
    }
}

fn check(token: &JoinToken, secret: &str, at: i64, labels: &[(&str, &str)]) -> Result<(), Refused> {
    let labels = labels.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    token.check(secret, Timestamp::from_millis(at).unwrap(), &"eu-1".parse().unwrap(), &labels)
}

#[test]
fn a_token_s_text_round_trips_also_through_a_terminal_that_breaks_lines() {
    let encoded = text().encode();
    assert!(encoded.starts_with("nave1."));
    assert_eq!(TokenText::parse(&encoded).unwrap(), text());
    let (one, two) = encoded.split_at(40);
    assert_eq!(TokenText::parse(&format!("  {one}\n{two}\n")).unwrap(), text());
}

#[test]
fn a_text_that_is_not_whole_is_refused_and_never_quoted() {
    let encoded = text().encode();
    for bad in
        ["", "nave1.", "nave2.abc", "eyJhIjoxfQ", &encoded[..encoded.len() - 8], &encoded[6..], "nave1.e30"]
    {
        let error = TokenText::parse(bad).unwrap_err().to_string();
        assert!(bad.len() < 7 || !error.contains(bad), "{error}");
    }
    assert!(TokenText::parse(&"x".repeat(100_000)).is_err());
    assert!(!format!("{:?}", text()).contains("hunter2"));
}

#[test]
fn the_right_secret_lets_a_cluster_join() {
    assert_eq!(check(&token(), "hunter2", 999, &[("env", "prod"), ("zone", "a")]), Ok(()));
    assert_eq!(check(&token(), "hunter2", 999, &[]), Ok(()));
}

#[test]
fn a_token_is_refused_with_the_reason() {
    let eu_2: ClusterName = "eu-2".parse().unwrap();
    assert_eq!(check(&token(), "hunter3", 0, &[]), Err(Refused::Wrong));
    assert_eq!(check(&token(), "", 0, &[]), Err(Refused::Wrong));
    assert_eq!(check(&token(), "hunter2", 1000, &[]), Err(Refused::Expired(token().expires_at)));
    assert_eq!(check(&JoinToken { uses_left: 0, ..token() }, "hunter2", 0, &[]), Err(Refused::UsedUp));
    assert_eq!(
        check(&JoinToken { cluster: Some(eu_2.clone()), ..token() }, "hunter2", 0, &[]),
        Err(Refused::OtherCluster(eu_2))
    );
    assert_eq!(
        check(&token(), "hunter2", 0, &[("env", "dev")]).unwrap_err().to_string(),
        "the join token sets the label env=prod; the agent asks for env=dev"
    );
}

#[test]
fn without_the_secret_nothing_else_is_learnt() {
    let token = JoinToken { uses_left: 0, ..token() };
    assert_eq!(check(&token, "guess", 5000, &[("env", "dev")]), Err(Refused::Wrong));
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "(nave1\\.)?[ -~]{0,60}") {
        let _ = TokenText::parse(&text);
    }
}
