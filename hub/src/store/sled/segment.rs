//! Journal segments: files of frames, named by their first sequence. Scanned whole at open, read in part by watches.

use std::fs::{self, File};
use std::io::{BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::frame::{self, Found, HEADER_BYTES};
use crate::store::{Commit, Error, Sequence};

/// A segment begins with this, its first sequence and their CRC-32.
const MAGIC: &[u8; 8] = b"NAVELOG1";
/// Bytes before the first frame.
pub(super) const SEGMENT_HEADER_BYTES: u64 = 20;
/// How far apart the places are that a reader can seek to, in bytes.
const MARK_BYTES: u64 = 64 << 10;
/// A read ends with the commit that takes it past this many bytes.
const READ_BYTES: usize = 1 << 20;

/// One file of the journal, as readers share it.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) first: Sequence,
    pub(super) path: PathBuf,
    /// Offsets at which frames begin, with their sequences, about one in [`MARK_BYTES`].
    marks: Mutex<Vec<(Sequence, u64)>>,
}

/// What a scan of a segment found.
#[derive(Debug)]
pub(super) struct Scanned {
    pub(super) segment: Segment,
    /// The last whole frame; the sequence before the first where there is none.
    pub(super) last: Sequence,
    /// Where the last whole frame ends.
    pub(super) end: u64,
    /// Bytes after `end` that are no frame.
    pub(super) torn_bytes: u64,
    /// True where whole frames follow the torn bytes, so that they cannot be an interrupted write.
    pub(super) damaged_inside: bool,
}

impl Segment {
    pub(super) fn new(first: Sequence, path: PathBuf) -> Self {
        Self { first, path, marks: Mutex::new(Vec::new()) }
    }

    /// Remembers where a frame begins, if the last mark is far enough back.
    pub(super) fn mark(&self, sequence: Sequence, offset: u64) {
        let mut marks = self.marks();
        if marks.last().is_none_or(|(_, last)| offset >= last + MARK_BYTES) {
            marks.push((sequence, offset));
        }
    }

    fn marks(&self) -> MutexGuard<'_, Vec<(Sequence, u64)>> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where to begin to look for `sequence`.
    fn offset_before(&self, sequence: Sequence) -> u64 {
        let marks = self.marks();
        let index = marks.partition_point(|(marked, _)| *marked <= sequence);
        index.checked_sub(1).map_or(SEGMENT_HEADER_BYTES, |index| marks[index].1)
    }

    /// Appends to `out` the commits after `after` up to `through`, until there are `limit` or about a mebibyte.
    /// Returns false where the file is gone.
    pub(super) fn read(
        &self,
        after: Sequence,
        through: Sequence,
        limit: usize,
        out: &mut Vec<Arc<Commit>>,
    ) -> Result<bool, Error> {
        let mut file = match File::open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            opened => opened.map_err(Error::io("opening the journal", &self.path))?,
        };
        let reading = |error| Error::io("reading the journal", &self.path)(error);
        file.seek(SeekFrom::Start(self.offset_before(after.next()))).map_err(reading)?;
        let mut reader = BufReader::with_capacity(128 << 10, file);
        let (mut header_bytes, mut payload, mut size_bytes) = ([0; HEADER_BYTES], Vec::new(), 0);
        while out.len() < limit && size_bytes < READ_BYTES {
            match reader.read_exact(&mut header_bytes) {
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
                read => read.map_err(reading)?,
            }
            let header = frame::header(&header_bytes).ok_or_else(|| self.damaged(after))?;
            if header.sequence > through {
                break;
            }
            payload.resize(header.payload_bytes, 0);
            reader.read_exact(&mut payload).map_err(reading)?;
            if header.sequence > after {
                let commit = frame::decode(header, &payload).ok_or_else(|| self.damaged(header.sequence))?;
                size_bytes += header.payload_bytes;
                out.push(Arc::new(commit));
            }
        }
        Ok(true)
    }

    fn damaged(&self, sequence: Sequence) -> Error {
        corrupt(format!("the journal {} near sequence {sequence}", self.path.display()))
    }
}

/// The damage of something that only a backup can mend.
pub(super) fn corrupt(what: String) -> Error {
    let advice = "keep a copy of the folder, check the disk, and restore the store from a backup".to_owned();
    Error::Corrupt { what, advice }
}

/// The first bytes of a segment.
pub(super) fn header(first: Sequence) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&first.0.to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

/// The path of the segment that begins with `first`.
pub(super) fn path(folder: &Path, first: Sequence) -> PathBuf {
    folder.join(format!("{:020}.log", first.0))
}

/// Reads a whole segment. `None` where not even its header was written, as after a crash while it was made.
pub(super) fn scan(path: &Path) -> Result<Option<Scanned>, Error> {
    let bytes = fs::read(path).map_err(Error::io("reading the journal", path))?;
    let named: Option<u64> =
        path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
    let Some(first) = named.map(Sequence).filter(|first| first.0 > 0) else {
        return Err(corrupt(format!(
            "the journal's file {} has a name that no journal gives:",
            path.display()
        )));
    };
    let header_bytes = SEGMENT_HEADER_BYTES as usize;
    if !bytes.starts_with(&header(first)) {
        if bytes.len() <= header_bytes {
            return Ok(None);
        }
        return Err(corrupt(format!("the header of the journal {}", path.display())));
    }
    let segment = Segment::new(first, path.to_owned());
    let (mut end, mut next) = (header_bytes, first);
    while let Found::Whole { sequence, frame_bytes } = frame::look(&bytes[end..]) {
        if sequence != next {
            return Err(corrupt(format!(
                "the journal {}, which goes on at {sequence}, not {next},",
                path.display()
            )));
        }
        segment.mark(sequence, end as u64);
        end += frame_bytes;
        next = next.next();
    }
    let torn = &bytes[end..];
    let is_frame =
        |start| matches!(frame::look(&torn[start..]), Found::Whole { sequence, .. } if sequence >= next);
    Ok(Some(Scanned {
        damaged_inside: (1..torn.len()).any(is_frame),
        last: Sequence(next.0 - 1),
        end: end as u64,
        torn_bytes: torn.len() as u64,
        segment,
    }))
}
