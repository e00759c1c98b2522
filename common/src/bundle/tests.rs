//! Tests of bundles: what is refused, the canonical bytes, and what a copy requests.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn config_map(name: &str, value: &str) -> Manifest {
    Manifest::new(
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"v": value}}),
    )
    .unwrap()
}

#[test]
fn bytes_round_trip_and_their_digest_is_the_bundle_s() {
    let bundle = Bundle::new(vec![config_map("b", "1\n2"), config_map("a", "é")]).unwrap();
    let bytes = bundle.encode();
    assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 2);
    assert_eq!(Bundle::decode(&bytes).unwrap(), bundle);
    assert_eq!(Digest::of(&bytes), bundle.digest());
}

#[test]
fn manifests_that_are_known_are_shared_and_others_are_read() {
    let before = Bundle::new(vec![config_map("a", "1"), config_map("b", "2")]).unwrap();
    let after = Bundle::new(vec![config_map("b", "2"), config_map("a", "3")]).unwrap();
    let read = Bundle::decode_sharing(&after.encode(), before.manifests()).unwrap();
    assert_eq!(read, after);
    let address = |bundle: &Bundle, index: usize| std::ptr::from_ref(bundle.manifests()[index].object());
    assert_eq!(address(&read, 0), address(&before, 1));
    assert_eq!(read.encode(), after.encode());
    // What is known excuses nothing else.
    let twice = [before.encode(), before.encode()].concat();
    assert!(matches!(Bundle::decode_sharing(&twice, before.manifests()), Err(Error::Duplicate(..))));
}

#[test]
fn what_is_no_bundle_is_refused() {
    assert!(matches!(Bundle::new(Vec::new()), Err(Error::Empty)));
    assert!(matches!(Bundle::decode(b""), Err(Error::Empty)));
    let error =
        Bundle::new(vec![config_map("a", "1"), config_map("b", ""), config_map("a", "2")]).unwrap_err();
    assert_eq!(error.to_string(), "ConfigMap a is there twice: in manifest 0 and in manifest 2");
    let many = (0..=MAX_BUNDLE_OBJECTS).map(|i| config_map(&i.to_string(), "")).collect();
    assert!(matches!(Bundle::new(many), Err(Error::TooMany(20_001))));
}

#[test]
fn bytes_that_are_not_canonical_are_refused() {
    let canonical = String::from_utf8(Bundle::new(vec![config_map("a", "1")]).unwrap().encode()).unwrap();
    for other in [
        canonical.trim_end().to_owned(),
        canonical.replace("{\"v\"", "{ \"v\""),
        canonical.replace("{\"v\"", "{\"u\":null,\"v\""),
        format!("{canonical}\n"),
        canonical.replace('a', "\\u0061"),
    ] {
        assert!(Bundle::decode(other.as_bytes()).is_err(), "{other:?}");
    }
}

#[test]
fn floats_stay_as_they_are() {
    for float in
        [0.1, 1.0e-7, 123_456.789_012_345_67, 1.797_693_134_862_315_7e308, 2.225_073_858_507_201e-308]
    {
        let object = json!({"apiVersion": "example.com/v1", "kind": "A", "metadata": {"name": "a"}, "spec": {"f": float}});
        let bundle = Bundle::new(vec![Manifest::new(object).unwrap()]).unwrap();
        assert_eq!(Bundle::decode(&bundle.encode()).unwrap(), bundle, "{float}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic_and_none_but_canonical_ones_are_taken(at in 0_usize..200, byte in any::<u8>()) {
        let bundle = Bundle::new(vec![config_map("a", "1"), config_map("b", "2")]).unwrap();
        let mut bytes = bundle.encode();
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(read) = Bundle::decode(&bytes) {
            prop_assert_eq!(read.encode(), bytes);
        }
    }
}
