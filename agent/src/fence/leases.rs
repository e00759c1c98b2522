//! Exclusive leases on disk, so that an agent that is started anew lets go on what it may prove to be its own.
//!
//! They only have to outlive the process: their times mean nothing after the machine was started anew, so they are
//! written without waiting for the disk, beside the machine's boot id. A file of another boot, or one that cannot be
//! read, proves nothing. An old file is never wrong: what was promised once stays promised.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nave_common::failover::Epoch;
use nave_common::name::ApplicationKey;
use nave_common::runtime::files;
use nave_common::time::BootTime;
use serde::{Deserialize, Serialize};

use super::machine::{Kept, Machine};

/// Far above what the leases of a whole fleet take.
const MAX_FILE_BYTES: usize = 64 << 20;

/// The file that leases are kept in.
#[derive(Debug)]
pub struct LeaseFile {
    path: PathBuf,
    /// `None` where this start of the machine cannot be told from others: then nothing is kept.
    boot_id: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    boot_id: String,
    highest: Epoch,
    term: u64,
    leases: Vec<Line>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    application: ApplicationKey,
    epoch: Epoch,
    /// Since the machine started.
    ends_at_ms: u64,
}

impl LeaseFile {
    /// The file in `folder`, on the start of the machine that has this id.
    #[must_use]
    pub fn new(folder: &Path, boot_id: Option<String>) -> Self {
        Self { path: folder.join("leases.json"), boot_id }
    }

    /// What was kept. The highest epoch and term hold whichever boot they are from; leases only of this one.
    #[must_use]
    pub fn read(&self) -> Machine {
        let content = match self.load() {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Machine::default(),
            Err(error) => {
                tracing::warn!(file = %self.path.display(), %error, "the kept leases cannot be read, so none is proven");
                return Machine::default();
            }
        };
        let is_this_boot = self.boot_id.as_ref() == Some(&content.boot_id);
        let kept = |line: Line| Kept {
            application: line.application,
            epoch: line.epoch,
            ends_at: BootTime::from_duration(Duration::from_millis(line.ends_at_ms)),
        };
        let leases = content.leases.into_iter().filter(|_| is_this_boot).map(kept).collect();
        Machine::new(leases, content.highest, content.term)
    }

    /// Keeps what a machine holds, in place of what was kept before. Blocks on the file system, not on the disk.
    ///
    /// # Errors
    /// Where the file system refuses; then what was kept before still stands.
    pub fn write(&self, machine: &Machine) -> io::Result<()> {
        let Some(boot_id) = self.boot_id.clone() else { return Ok(()) };
        let line = |kept: Kept| {
            let ends_at = kept.ends_at.since(BootTime::from_duration(Duration::ZERO)).as_millis();
            let ends_at_ms = u64::try_from(ends_at).unwrap_or(u64::MAX);
            Line { application: kept.application, epoch: kept.epoch, ends_at_ms }
        };
        let leases = machine.kept().into_iter().map(line).collect();
        let content = Content { boot_id, highest: machine.highest(), term: machine.term(), leases };
        files::replace_private(&self.path, &serde_json::to_vec(&content)?)
    }

    fn load(&self) -> io::Result<Content> {
        let bytes = files::read_bounded(&self.path, MAX_FILE_BYTES)?;
        Ok(serde_json::from_slice(&bytes)?)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use nave_common::assignment::ExclusiveTerms;
    use nave_common::failover::Fence;

    use super::super::machine::{Permit, Renewed, Told};
    use super::*;

    fn told() -> (ApplicationKey, Told) {
        let terms =
            ExclusiveTerms { epoch: Epoch::from_number(7), fence: Fence::Agent, fence_timeout_ms: 1000 };
        ("ledger".parse().unwrap(), Told::Active(terms))
    }

    fn holding() -> Machine {
        let mut machine = Machine::default();
        let (key, told) = told();
        let _ = machine.tell(&key, Some(told));
        machine.beat(1, BootTime::from_duration(Duration::from_secs(10)));
        let renewed =
            Renewed { application: key, epoch: Epoch::from_number(7), duration: Duration::from_secs(60) };
        machine.acknowledged(1, 3, &[renewed]);
        machine
    }

    fn permit(mut machine: Machine) -> Permit {
        let (key, told) = told();
        let _ = machine.tell(&key, Some(told));
        machine.permit(&key, BootTime::from_duration(Duration::from_secs(20)))
    }

    #[test]
    fn a_lease_is_proven_on_the_same_boot_and_on_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let file = |boot_id: Option<&str>| LeaseFile::new(folder.path(), boot_id.map(str::to_owned));
        file(Some("a")).write(&holding()).unwrap();
        let mode = std::fs::metadata(folder.path().join("leases.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(permit(file(Some("a")).read()), Permit::Run);
        assert_eq!(permit(file(Some("b")).read()), Permit::Stop);
        assert_eq!(permit(file(None).read()), Permit::Stop);
        let other = file(Some("b")).read();
        assert_eq!((other.highest(), other.term()), (Epoch::from_number(7), 3));
    }

    #[test]
    fn a_damaged_file_proves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = LeaseFile::new(folder.path(), Some("a".into()));
        file.write(&holding()).unwrap();
        let path = folder.path().join("leases.json");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, &text[..text.len() - 2]).unwrap();
        assert_eq!(permit(file.read()), Permit::Stop);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(permit(file.read()), Permit::Stop);
    }
}
