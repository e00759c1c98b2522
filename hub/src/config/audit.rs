//! How much of the audit log is kept.

use serde::Deserialize;

use super::Error;
use super::file::set;

/// How much of the audit log is kept: `audit.log` in the data folder, and older files beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditConfig {
    /// How large a file may grow before the next is begun, in bytes.
    pub file_bytes: u64,
    /// How many older files are kept: `audit.log.1` is the newest of them.
    pub kept_files: u32,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self { file_bytes: 16 << 20, kept_files: 4 }
    }
}

impl AuditConfig {
    /// Checks what types alone cannot hold.
    pub(super) fn check(self) -> Result<(), Error> {
        if !((4 << 10)..=(1 << 30)).contains(&self.file_bytes) {
            return Err(Error::new(
                "audit.fileBytes",
                format!("is {}; expected 4 KiB to 1 GiB", self.file_bytes),
            ));
        }
        if !(1..=1000).contains(&self.kept_files) {
            return Err(Error::new("audit.keptFiles", format!("is {}; expected 1 to 1000", self.kept_files)));
        }
        Ok(())
    }
}

/// What a configuration file may say of the audit log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct FileAudit {
    file_bytes: Option<u64>,
    kept_files: Option<u32>,
}

impl FileAudit {
    /// Puts what the file says over `config`.
    pub(super) fn put_on(self, config: &mut AuditConfig) {
        set(&mut config.file_bytes, self.file_bytes);
        set(&mut config.kept_files, self.kept_files);
    }
}
