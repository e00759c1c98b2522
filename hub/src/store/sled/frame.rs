//! How a commit is written in the journal: pure bytes, no files.
//!
//! A frame: payload length (u32), CRC-32 of everything after it (u32), sequence (u64), payload. The payload: the number
//! of changes (u16), then each: 1 and a value or 0 for a deletion (u8), key length (u16), key, value length (u32),
//! value. All integers are little-endian.

use bytes::Bytes;

use crate::store::{Change, Commit, Key, MAX_KEY_BYTES, MAX_OPERATIONS, MAX_TRANSACTION_BYTES, Sequence};

/// Bytes before the payload.
pub(super) const HEADER_BYTES: usize = 16;
/// The largest payload that can be written; more is damage.
pub(super) const MAX_PAYLOAD_BYTES: usize = MAX_TRANSACTION_BYTES + 2 + MAX_OPERATIONS * 7;

/// What the first bytes of a frame say about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) payload_bytes: usize,
    pub(super) crc: u32,
    pub(super) sequence: Sequence,
}

/// What is found where a frame should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// A whole frame of so many bytes.
    Whole { sequence: Sequence, frame_bytes: usize },
    /// The bytes end before the frame does.
    Short,
    /// No frame that was ever written.
    Damaged,
}

/// Appends the commit's frame to `out`.
pub(super) fn encode(commit: &Commit, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&commit.sequence.0.to_le_bytes());
    // A transaction's bounds keep each of these numbers inside its type.
    out.extend_from_slice(&(commit.changes.len() as u16).to_le_bytes());
    for change in &commit.changes {
        out.push(u8::from(change.value.is_some()));
        out.extend_from_slice(&(change.key.as_bytes().len() as u16).to_le_bytes());
        out.extend_from_slice(change.key.as_bytes());
        if let Some(value) = &change.value {
            out.extend_from_slice(&(value.len() as u32).to_le_bytes());
            out.extend_from_slice(value);
        }
    }
    let payload_bytes = out.len() - start - HEADER_BYTES;
    out[start..start + 4].copy_from_slice(&(payload_bytes as u32).to_le_bytes());
    let crc = crc(payload_bytes, &out[start + 8..]);
    out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
}

/// The CRC-32 of a frame, which covers its length as well.
fn crc(payload_bytes: usize, sequence_and_payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&(payload_bytes as u32).to_le_bytes());
    hasher.update(sequence_and_payload);
    hasher.finalize()
}

/// The header in `bytes`, or `None` where no frame can begin so.
pub(super) fn header(bytes: &[u8; HEADER_BYTES]) -> Option<Header> {
    let mut reader = Reader(bytes);
    let payload_bytes = reader.u32()? as usize;
    let header = Header { payload_bytes, crc: reader.u32()?, sequence: Sequence(reader.u64()?) };
    // A payload has at least the count and one deletion of a one-byte key.
    (6..=MAX_PAYLOAD_BYTES).contains(&payload_bytes).then_some(header)
}

/// Looks at the frame at the start of `bytes` without decoding it.
pub(super) fn look(bytes: &[u8]) -> Found {
    let Some(first) = bytes.first_chunk() else { return Found::Short };
    let Some(header) = header(first) else { return Found::Damaged };
    let frame_bytes = HEADER_BYTES + header.payload_bytes;
    let Some(frame) = bytes.get(..frame_bytes) else { return Found::Short };
    if crc(header.payload_bytes, &frame[8..]) == header.crc {
        Found::Whole { sequence: header.sequence, frame_bytes }
    } else {
        Found::Damaged
    }
}

/// The commit in a frame of which `header` was read before; `None` where the bytes are damaged.
pub(super) fn decode(header: Header, payload: &[u8]) -> Option<Commit> {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&(header.payload_bytes as u32).to_le_bytes());
    hasher.update(&header.sequence.0.to_le_bytes());
    hasher.update(payload);
    if payload.len() != header.payload_bytes || hasher.finalize() != header.crc {
        return None;
    }
    let mut reader = Reader(payload);
    let count = usize::from(reader.u16()?);
    let mut changes = Vec::with_capacity(count.min(MAX_OPERATIONS));
    for _ in 0..count {
        let has_value = reader.take(1)?[0] == 1;
        let key_bytes = usize::from(reader.u16()?);
        if key_bytes > MAX_KEY_BYTES {
            return None;
        }
        let key = Key::new(std::str::from_utf8(reader.take(key_bytes)?).ok()?).ok()?;
        let mut value = None;
        if has_value {
            let value_bytes = reader.u32()? as usize;
            // Copied, so that a consumer who keeps one value does not keep the whole read buffer.
            value = Some(Bytes::copy_from_slice(reader.take(value_bytes)?));
        }
        changes.push(Change { key, value });
    }
    reader.0.is_empty().then_some(Commit { sequence: header.sequence, changes })
}

/// A cursor over bytes; `None` past their end.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit() -> Commit {
        let change = |key: &str, value: Option<&'static [u8]>| Change {
            key: Key::new(key).unwrap(),
            value: value.map(Bytes::from_static),
        };
        Commit { sequence: Sequence(7), changes: vec![change("a/b", Some(b"value")), change("c", None)] }
    }

    #[test]
    fn a_frame_round_trips() {
        let mut bytes = Vec::new();
        encode(&commit(), &mut bytes);
        assert_eq!(look(&bytes), Found::Whole { sequence: Sequence(7), frame_bytes: bytes.len() });
        let header = header(bytes.first_chunk().unwrap()).unwrap();
        assert_eq!(decode(header, &bytes[HEADER_BYTES..]), Some(commit()));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let mut bytes = Vec::new();
        encode(&commit(), &mut bytes);
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(!matches!(look(&bytes), Found::Whole { .. }), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        for end in 0..bytes.len() {
            assert_eq!(look(&bytes[..end]), Found::Short, "cut at {end}");
        }
    }
}
