//! The files of the audit log: one that grows, and a bounded number of older ones. Blocks; for a thread that may.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::PathBuf;

use crate::config::AuditConfig;

/// Its owner may read and write it, and nobody else.
const PRIVATE: u32 = 0o600;

/// The file that grows, with what was found or written of it.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    config: AuditConfig,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    size_bytes: u64,
}

impl LogFile {
    /// The log at `path`. Nothing is opened before the first line.
    pub(super) fn new(path: PathBuf, config: AuditConfig) -> Self {
        Self { path, config, open: None }
    }

    /// Where it stands.
    pub(super) fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// Appends lines, each with its end, and makes them durable. After an error the file is opened anew the next time,
    /// and what was half-written is ended there.
    ///
    /// # Errors
    /// Where the file system refuses. Then some of the lines may be there.
    pub(super) fn append(&mut self, lines: &[String]) -> io::Result<()> {
        let written = self.try_append(lines);
        if written.is_err() {
            self.open = None;
        }
        written
    }

    fn try_append(&mut self, lines: &[String]) -> io::Result<()> {
        for line in lines {
            let size_bytes = line.len() as u64;
            let open = self.opened()?;
            if open.size_bytes > 0 && open.size_bytes.saturating_add(size_bytes) > self.config.file_bytes {
                self.rotate()?;
            }
            let open = self.opened()?;
            open.file.write_all(line.as_bytes())?;
            open.size_bytes = open.size_bytes.saturating_add(size_bytes);
        }
        self.open.as_ref().map_or(Ok(()), |open| open.file.sync_data())
    }

    fn opened(&mut self) -> io::Result<&mut Open> {
        let open = match self.open.take() {
            Some(open) => open,
            None => self.open_file()?,
        };
        Ok(self.open.insert(open))
    }

    fn open_file(&self) -> io::Result<Open> {
        let mut options = File::options();
        let mut file = options.read(true).append(true).create(true).mode(PRIVATE).open(&self.path)?;
        file.set_permissions(fs::Permissions::from_mode(PRIVATE))?;
        let mut size_bytes = file.metadata()?.len();
        if size_bytes > 0 {
            // A crash or a full disk may have cut the last line.
            let mut last = [0];
            file.seek(SeekFrom::Start(size_bytes - 1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                file.write_all(b"\n")?;
                size_bytes += 1;
            }
        }
        Ok(Open { file, size_bytes })
    }

    /// Moves each file one place on, over the oldest.
    fn rotate(&mut self) -> io::Result<()> {
        if let Some(open) = self.open.take() {
            open.file.sync_data()?;
        }
        for number in (1..self.config.kept_files).rev() {
            rename_if_there(&self.numbered(number), &self.numbered(number + 1))?;
        }
        rename_if_there(&self.path, &self.numbered(1))?;
        self.path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    }

    fn numbered(&self, number: u32) -> PathBuf {
        self.path.with_added_extension(number.to_string())
    }
}

fn rename_if_there(from: &std::path::Path, to: &std::path::Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        renamed => renamed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Vec<String> {
        vec![format!("{text}\n")]
    }

    #[test]
    fn full_files_move_on_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let mut log = LogFile::new(path.clone(), AuditConfig { file_bytes: 10, kept_files: 2 });
        for text in ["aaaa", "bbbb", "cccc", "dddd", "eeee", "ffff", "gggg"] {
            log.append(&line(text)).unwrap();
        }
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(read("audit.log"), "gggg\n");
        assert_eq!(read("audit.log.1"), "eeee\nffff\n");
        assert_eq!(read("audit.log.2"), "cccc\ndddd\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, PRIVATE);
        assert_eq!(
            fs::metadata(folder.path().join("audit.log.1")).unwrap().permissions().mode() & 0o777,
            PRIVATE
        );
    }

    #[test]
    fn a_line_that_was_cut_does_not_take_the_next_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        fs::write(&path, "whole\nha").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let mut log = LogFile::new(path.clone(), AuditConfig::default());
        log.append(&line("next")).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "whole\nha\nnext\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, PRIVATE);
    }

    #[test]
    fn writing_goes_on_once_the_disk_takes_it_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        fs::create_dir(&path).unwrap();
        let mut log = LogFile::new(path.clone(), AuditConfig::default());
        assert!(log.append(&line("lost")).is_err());
        fs::remove_dir(&path).unwrap();
        log.append(&line("kept")).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "kept\n");
    }
}
