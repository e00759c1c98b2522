//! What is known of Exclusive pods, on disk, so that an agent that is started anew knows which vanished meanwhile.
//!
//! As with leases it has to outlive the process alone: of another start of the machine it is not used, since the last
//! of it may be missing then.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use nave_common::runtime::files;
use serde::{Deserialize, Serialize};

use super::pods::{Known, Tracker};

/// Far above what the pods of a whole cluster take.
const MAX_FILE_BYTES: usize = 64 << 20;

/// The file that the knowledge of pods is kept in.
#[derive(Debug)]
pub struct MemoryFile {
    path: PathBuf,
    boot_id: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    boot_id: String,
    pods: BTreeMap<String, Known>,
}

impl MemoryFile {
    /// The file in `folder`, on the start of the machine that has this id.
    #[must_use]
    pub fn new(folder: &Path, boot_id: Option<String>) -> Self {
        Self { path: folder.join("pods.json"), boot_id }
    }

    /// What was kept on this start of the machine.
    #[must_use]
    pub fn read(&self) -> Tracker {
        match self.load() {
            Ok(content) if Some(&content.boot_id) == self.boot_id.as_ref() => Tracker::new(content.pods),
            Ok(_) => Tracker::default(),
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(file = %self.path.display(), %error, "what was known of Exclusive pods cannot be read");
                }
                Tracker::default()
            }
        }
    }

    /// Keeps what is known now. Blocks on the file system, not on the disk.
    ///
    /// # Errors
    /// Where the file system refuses.
    pub fn write(&self, tracker: &Tracker) -> io::Result<()> {
        let Some(boot_id) = self.boot_id.clone() else { return Ok(()) };
        let content = Content { boot_id, pods: tracker.to_remember() };
        files::replace_private(&self.path, &serde_json::to_vec(&content)?)
    }

    fn load(&self) -> io::Result<Content> {
        let bytes = files::read_bounded(&self.path, MAX_FILE_BYTES)?;
        Ok(serde_json::from_slice(&bytes)?)
    }
}

#[cfg(test)]
mod tests {
    use nave_common::failover::Epoch;

    use super::*;

    #[test]
    fn what_was_known_is_known_after_a_restart_and_not_after_another_boot() {
        let folder = tempfile::tempdir().unwrap();
        let file = |boot_id: &str| MemoryFile::new(folder.path(), Some(boot_id.to_owned()));
        let mut tracker = Tracker::default();
        let _ = tracker.granted("0011223344556677", Epoch::from_number(7), true);
        file("a").write(&tracker).unwrap();
        assert_eq!(file("a").read(), tracker);
        assert_eq!(file("b").read(), Tracker::default());
        std::fs::write(folder.path().join("pods.json"), "{").unwrap();
        assert_eq!(file("a").read(), Tracker::default());
    }
}
