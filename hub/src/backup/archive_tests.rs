//! Archives: what is written is what is read, and whatever is cut or changed is refused.

use std::io::{Seek as _, Write as _};

use proptest::prelude::*;

use super::*;

fn header() -> Header {
    Header {
        term: 3,
        sequence: 40,
        taken_at: Timestamp::from_millis(1_769_860_800_000).unwrap(),
        hub_version: "0.1.0".into(),
    }
}

fn authority() -> AuthorityPem {
    AuthorityPem { certificate: "certificate".into(), key: "key".into() }
}

/// What stands in an archive beside its header, authority and end.
fn frames() -> impl Strategy<Value = Vec<Frame>> {
    let key = "[a-z]{1,20}(/[a-z]{1,20}){0,2}";
    let bytes = || proptest::collection::vec(any::<u8>(), 0..400).prop_map(Bytes::from);
    let frame = prop_oneof![
        (key, bytes()).prop_map(|(key, value)| Frame::Put(key, value)),
        key.prop_map(Frame::Delete),
        bytes().prop_map(|bytes| Frame::Bundle(Digest::of(&bytes), bytes.len() as u64)),
        bytes().prop_map(Frame::Piece),
    ];
    proptest::collection::vec(frame, 0..40)
}

fn write(frames: &[Frame]) -> Vec<u8> {
    let mut writer = Writer::new(&header()).unwrap();
    writer.authority(&authority()).unwrap();
    let mut file = Vec::new();
    for frame in frames {
        match frame {
            Frame::Put(key, value) => writer.put(key, value),
            Frame::Delete(key) => writer.delete(key),
            Frame::Bundle(digest, size_bytes) => writer.bundle(digest, *size_bytes),
            Frame::Piece(piece) => writer.piece(piece),
            Frame::Header(_) | Frame::Authority(_) | Frame::End(_) => Ok(()),
        }
        .unwrap();
        file.extend_from_slice(&writer.take());
    }
    file.extend_from_slice(&writer.finish(41).unwrap());
    file
}

fn read(bytes: &[u8]) -> Result<Vec<Frame>, Error> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    let mut reader = Reader::open(file)?;
    let mut frames = Vec::new();
    while let Some(frame) = reader.next_frame()? {
        frames.push(frame);
    }
    Ok(frames)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_what_is_read(frames in frames()) {
        let found = read(&write(&frames)).unwrap();
        prop_assert_eq!(&found[0], &Frame::Header(header()));
        prop_assert_eq!(&found[1], &Frame::Authority(authority()));
        prop_assert_eq!(&found[2..found.len() - 1], &frames[..]);
        let Frame::End(end) = &found[found.len() - 1] else { panic!("the end") };
        prop_assert_eq!(end.sequence, 41);
    }
}

#[test]
fn an_archive_that_is_cut_anywhere_is_refused() {
    let whole = write(&[Frame::Put("meta/term".into(), "1".into()), Frame::Delete("cluster/eu-1".into())]);
    assert!(read(&whole).is_ok());
    for length in 0..whole.len() {
        assert!(read(&whole[..length]).is_err(), "cut after {length} of {} bytes", whole.len());
    }
    let longer = [whole.as_slice(), b"x"].concat();
    assert!(read(&longer).is_err());
}

#[test]
fn an_archive_with_any_byte_changed_is_refused() {
    let whole = write(&[Frame::Put("meta/term".into(), "1".into()), Frame::Piece("piece".into())]);
    for place in 0..whole.len() {
        for bit in 0..8 {
            let mut changed = whole.clone();
            changed[place] ^= 1 << bit;
            assert!(read(&changed).is_err(), "bit {bit} of byte {place} changed");
        }
    }
}

#[test]
fn a_newer_format_and_another_file_are_told_from_damage() {
    let mut newer = write(&[]);
    newer[11] = 9;
    assert!(matches!(read(&newer), Err(Error::Newer { found: 9 })));
    for other in [b"".as_slice(), b"kind: Application", b"a longer file that is something else altogether"] {
        assert!(matches!(read(other), Err(Error::Foreign)));
    }
}

#[test]
fn the_key_is_not_shown_by_accident() {
    assert!(!format!("{:?}", Frame::Authority(authority())).contains("key\""));
}
