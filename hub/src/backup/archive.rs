//! The archive: everything a hub knows in one file that is whole or is refused. No network and no store in here.
//!
//! ```text
//! head     "NAVEBKUP", then the format number (4 bytes, big-endian)
//! body     one zstd stream (RFC 8878) of frames: kind (1 byte), length (4 bytes, big-endian), content
//!            H  header: who made it and when, as JSON; the first
//!            A  the certificate authority: certificate and key in PEM, as JSON
//!            P  a record is put: the key's length (2 bytes, big-endian), the key, the value
//!            D  a record is deleted: the key
//!            B  a bundle begins: its digest (32 bytes), its size (8 bytes, big-endian)
//!            C  the next piece of that bundle
//!            E  how many there were of each, as JSON; the last
//! digest   SHA-256 of every byte before it (32 bytes)
//! ```
//!
//! Records are taken in the order in which they stand: the hub serves while it makes the archive, so a record that
//! changes meanwhile stands in it again. Taken to the end they are the store exactly as it was at one sequence.
//!
//! **It holds the authority's key and the values of Secrets: whoever can read it is the fleet's master.**

use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom, Write};
use std::mem;

use bytes::Bytes;
use nave_common::digest::{Digest, Hasher};
use nave_common::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The newest format that this release reads, and the one that it writes.
pub const FORMAT: u32 = 1;

/// What every archive begins with.
const MAGIC: &[u8; 8] = b"NAVEBKUP";
/// Magic and format.
const HEAD_BYTES: u64 = 12;
/// The digest at the end.
const TAIL_BYTES: u64 = 32;
/// The longest frame: the largest value of a store, its key, and some to spare.
const MAX_FRAME_BYTES: usize = 2 << 20;
/// zstd's own default: records are text and shrink to a tenth; higher levels cost much and gain little.
const COMPRESSION_LEVEL: i32 = 3;
/// Bytes read at once when a whole archive is checked.
const CHECKED_BYTES: usize = 256 << 10;

/// Who made an archive, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Header {
    /// The hub's incarnation.
    pub term: u64,
    /// The last write before it was begun.
    pub sequence: u64,
    /// When it was begun.
    pub taken_at: Timestamp,
    /// The release of the hub.
    pub hub_version: String,
}

/// Who signs the certificates of the fleet.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthorityPem {
    /// Its certificate, PEM.
    pub certificate: String,
    /// Its private key, PEM.
    pub key: String,
}

/// The last frame.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct End {
    /// The write after which the records are exactly true.
    pub sequence: u64,
    /// Puts and deletions.
    pub record_count: u64,
    /// Bundles.
    pub bundle_count: u64,
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// The first.
    Header(Header),
    /// The certificate authority.
    Authority(AuthorityPem),
    /// A record is put.
    Put(String, Bytes),
    /// A record is deleted.
    Delete(String),
    /// A bundle begins, of so many bytes.
    Bundle(Digest, u64),
    /// The next piece of a bundle.
    Piece(Bytes),
    /// The last.
    End(End),
}

/// Why an archive is refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is something else.
    #[error("this is no backup of a Nave hub")]
    Foreign,
    /// A newer release wrote it.
    #[error(
        "this backup has format {found}, this release knows up to {FORMAT}; restore it with the release that made it, or a newer one"
    )]
    Newer {
        /// Its format number.
        found: u32,
    },
    /// It is not as it was written.
    #[error("this backup is damaged or cut short: {0}; take another copy of it")]
    Damaged(String),
    /// It cannot be read or written.
    #[error("the backup cannot be read")]
    Io(#[from] io::Error),
}

impl std::fmt::Debug for AuthorityPem {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthorityPem").finish_non_exhaustive()
    }
}

/// Where written bytes wait to be taken, and are hashed on the way.
#[derive(Default)]
struct Sink {
    waiting: Vec<u8>,
    hasher: Hasher,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hasher.update(bytes);
        self.waiting.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Makes an archive. What is written is taken with [`Writer::take`], so that memory is bounded by what is not yet taken.
pub struct Writer {
    encoder: zstd::stream::write::Encoder<'static, Sink>,
    end: End,
}

impl Writer {
    /// Begins an archive.
    ///
    /// # Errors
    /// Where zstd has no memory.
    pub fn new(header: &Header) -> Result<Self, Error> {
        let mut sink = Sink::default();
        sink.write_all(MAGIC)?;
        sink.write_all(&FORMAT.to_be_bytes())?;
        let encoder = zstd::stream::write::Encoder::new(sink, COMPRESSION_LEVEL)?;
        let mut writer = Self { encoder, end: End::default() };
        writer.json(b'H', header)?;
        Ok(writer)
    }

    /// Writes the authority.
    ///
    /// # Errors
    /// Where zstd has no memory.
    pub fn authority(&mut self, authority: &AuthorityPem) -> Result<(), Error> {
        self.json(b'A', authority)
    }

    /// Writes that a record is there.
    ///
    /// # Errors
    /// Where zstd has no memory.
    pub fn put(&mut self, key: &str, value: &[u8]) -> Result<(), Error> {
        self.end.record_count += 1;
        let length = u16::try_from(key.len()).map_err(|_| damaged("a key is too long"))?;
        self.frame(b'P', &[&length.to_be_bytes(), key.as_bytes(), value])
    }

    /// Writes that a record is gone.
    ///
    /// # Errors
    /// Where zstd has no memory.
    pub fn delete(&mut self, key: &str) -> Result<(), Error> {
        self.end.record_count += 1;
        self.frame(b'D', &[key.as_bytes()])
    }

    /// Begins a bundle; its pieces follow.
    ///
    /// # Errors
    /// Where zstd has no memory.
    pub fn bundle(&mut self, digest: &Digest, size_bytes: u64) -> Result<(), Error> {
        self.end.bundle_count += 1;
        self.frame(b'B', &[digest.as_bytes(), &size_bytes.to_be_bytes()])
    }

    /// Writes the next piece of a bundle.
    ///
    /// # Errors
    /// Where zstd has no memory.
    pub fn piece(&mut self, piece: &[u8]) -> Result<(), Error> {
        self.frame(b'C', &[piece])
    }

    /// How many bytes wait to be taken.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.encoder.get_ref().waiting.len()
    }

    /// Takes what is written.
    pub fn take(&mut self) -> Bytes {
        mem::take(&mut self.encoder.get_mut().waiting).into()
    }

    /// Ends the archive, whose records are true after the write `sequence`, and returns what was not yet taken.
    ///
    /// # Errors
    /// Where zstd has no memory.
    pub fn finish(mut self, sequence: u64) -> Result<Bytes, Error> {
        let end = End { sequence, ..mem::take(&mut self.end) };
        self.json(b'E', &end)?;
        let Sink { mut waiting, hasher } = self.encoder.finish()?;
        waiting.extend_from_slice(hasher.finish().as_bytes());
        Ok(waiting.into())
    }

    fn json(&mut self, kind: u8, value: &impl Serialize) -> Result<(), Error> {
        let text = serde_json::to_vec(value).map_err(io::Error::from)?;
        self.frame(kind, &[&text])
    }

    fn frame(&mut self, kind: u8, parts: &[&[u8]]) -> Result<(), Error> {
        let size_bytes: usize = parts.iter().map(|part| part.len()).sum();
        let length = u32::try_from(size_bytes).ok().filter(|_| size_bytes <= MAX_FRAME_BYTES);
        let length = length.ok_or_else(|| damaged("a part is too long"))?;
        self.encoder.write_all(&[kind])?;
        self.encoder.write_all(&length.to_be_bytes())?;
        for part in parts {
            self.encoder.write_all(part)?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("end", &self.end).finish_non_exhaustive()
    }
}

/// Reads an archive whose every byte was checked first.
pub struct Reader {
    decoder: zstd::stream::read::Decoder<'static, BufReader<io::Take<File>>>,
    seen: End,
    is_ended: bool,
}

impl Reader {
    /// Checks a whole archive against its digest, and goes back to its first frame.
    ///
    /// # Errors
    /// Where it is no archive, one of a newer format, or one of which anything is missing or changed.
    pub fn open(mut file: File) -> Result<Self, Error> {
        let size_bytes = file.seek(SeekFrom::End(0))?;
        file.rewind()?;
        let mut head = [0; HEAD_BYTES as usize];
        if size_bytes < HEAD_BYTES {
            return Err(Error::Foreign);
        }
        file.read_exact(&mut head)?;
        let (magic, format) = head.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err(Error::Foreign);
        }
        let format = format.iter().fold(0, |number, byte| number << 8 | u32::from(*byte));
        if format > FORMAT {
            return Err(Error::Newer { found: format });
        }
        let body_bytes =
            size_bytes.checked_sub(HEAD_BYTES + TAIL_BYTES).ok_or_else(|| damaged("its end is missing"))?;
        check(&mut file, size_bytes - TAIL_BYTES)?;
        file.seek(SeekFrom::Start(HEAD_BYTES))?;
        let decoder = zstd::stream::read::Decoder::new(file.take(body_bytes))?;
        Ok(Self { decoder, seen: End::default(), is_ended: false })
    }

    /// The next frame; `None` after the last.
    ///
    /// # Errors
    /// Where it is not as an archive's frames are.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, Error> {
        let mut head = [0; 5];
        if self.is_ended {
            return if self.decoder.read(&mut head)? == 0 {
                Ok(None)
            } else {
                Err(damaged("it goes on after its end"))
            };
        }
        self.decoder.read_exact(&mut head).map_err(cut)?;
        let [kind, length @ ..] = head;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > MAX_FRAME_BYTES {
            return Err(damaged("a part is too long"));
        }
        let mut content = vec![0; length];
        self.decoder.read_exact(&mut content).map_err(cut)?;
        let frame = read_frame(kind, content)?;
        match &frame {
            Frame::Put(..) | Frame::Delete(_) => self.seen.record_count += 1,
            Frame::Bundle(..) => self.seen.bundle_count += 1,
            Frame::End(end) => {
                self.is_ended = true;
                if *end != (End { sequence: end.sequence, ..self.seen.clone() }) {
                    return Err(damaged("parts are missing"));
                }
            }
            Frame::Header(_) | Frame::Authority(_) | Frame::Piece(_) => {}
        }
        Ok(Some(frame))
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("seen", &self.seen).finish_non_exhaustive()
    }
}

/// Compares the first `hashed_bytes` of the file with the digest that follows them.
fn check(file: &mut File, hashed_bytes: u64) -> Result<(), Error> {
    file.rewind()?;
    let (mut hasher, mut left) = (Hasher::default(), hashed_bytes);
    let mut buffer = vec![0; CHECKED_BYTES];
    while left > 0 {
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let piece = buffer.get_mut(..length).unwrap_or_default();
        file.read_exact(piece).map_err(cut)?;
        hasher.update(piece);
        left -= length as u64;
    }
    let mut digest = [0; TAIL_BYTES as usize];
    file.read_exact(&mut digest).map_err(cut)?;
    if hasher.finish() == Digest::from_bytes(digest) { Ok(()) } else { Err(damaged("its digest is another")) }
}

fn read_frame(kind: u8, mut content: Vec<u8>) -> Result<Frame, Error> {
    Ok(match kind {
        b'H' => Frame::Header(json(&content)?),
        b'A' => Frame::Authority(json(&content)?),
        b'P' => {
            let Some((length, rest)) = content.split_first_chunk() else {
                return Err(damaged("a record has no key"));
            };
            let length = usize::from(u16::from_be_bytes(*length));
            if rest.len() < length {
                return Err(damaged("a record's key is cut short"));
            }
            let value = content.split_off(2 + length);
            Frame::Put(text(content.split_off(2))?, value.into())
        }
        b'D' => Frame::Delete(text(content)?),
        b'B' => {
            let Some((digest, size)) = content.split_first_chunk() else {
                return Err(damaged("a bundle has no digest"));
            };
            let size = size.try_into().map_err(|_| damaged("a bundle has no size"))?;
            Frame::Bundle(Digest::from_bytes(*digest), u64::from_be_bytes(size))
        }
        b'C' => Frame::Piece(content.into()),
        b'E' => Frame::End(json(&content)?),
        other => return Err(damaged(&format!("it has a part of the unknown kind {other}"))),
    })
}

fn json<T: for<'de> Deserialize<'de>>(content: &[u8]) -> Result<T, Error> {
    // Without what serde says: it may quote the authority's key.
    serde_json::from_slice(content).map_err(|_| damaged("its header, authority or end cannot be read"))
}

fn text(bytes: Vec<u8>) -> Result<String, Error> {
    String::from_utf8(bytes).map_err(|_| damaged("a record's key is no text"))
}

fn damaged(why: &str) -> Error {
    Error::Damaged(why.to_owned())
}

fn cut(error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::UnexpectedEof { damaged("its end is missing") } else { error.into() }
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;
