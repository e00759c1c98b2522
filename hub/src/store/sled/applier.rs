//! The applier: carries durable commits from the recent past into the table, and deletes the journal that nobody needs.
//!
//! Where sled fails, as on a full disk, writes are refused with the reason while reads go on; the table is opened again, with the
//! room that the ballast gives, and brought up from the journal; once there is room again, writes are taken again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::recent::Work;
use super::shared::Shared;
use super::table::Meta;
use crate::store::{Commit, Error, Sequence};

/// Bytes put into the table in one batch: sled keeps readers out meanwhile, so this bounds how long they wait.
const BATCH_BYTES: usize = 1 << 20;
/// How often a table that failed is tried again.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(super) struct Applier {
    shared: Arc<Shared>,
    meta: Meta,
    /// The last commit that the table holds durably.
    synced: Sequence,
    /// True from when the table failed until there is room to take writes again.
    refusing: bool,
}

impl Applier {
    /// The applier of a store that was just opened; without room for the ballast it begins by refusing writes.
    pub(super) fn new(shared: Arc<Shared>, meta: Meta) -> Self {
        let mut applier = Self { shared, meta, synced: Sequence::ZERO, refusing: true };
        applier.accept_again();
        if applier.refusing {
            let (space, folder) = (&applier.shared.options.space, &applier.shared.options.folder);
            applier.shared.recent.set_stalled(Some(space.full(folder)));
        }
        applier
    }

    /// Applies until the writer has ended and everything is in the table.
    pub(super) fn run(mut self) {
        loop {
            let commits =
                match self.shared.recent.next_work(BATCH_BYTES, self.refusing.then_some(RETRY_INTERVAL)) {
                    Work::Apply(commits) => commits,
                    Work::Check => {
                        if let Err(error) = self.guarded(Self::sync)
                            && self.recover(error).is_err()
                        {
                            return;
                        }
                        continue;
                    }
                    Work::Idle => {
                        self.accept_again();
                        continue;
                    }
                    Work::End => break,
                };
            while let Err(error) = self.guarded(|applier| applier.apply(&commits)) {
                if self.recover(error).is_err() {
                    // Closing: the journal has it all, and the next open brings the table up.
                    return;
                }
            }
            self.shared.recent.set_applied(&commits);
            if let Err(error) = self.guarded(Self::tidy) {
                tracing::warn!(%error, "cannot delete old parts of the journal yet");
            }
        }
        if let Err(error) = self.guarded(Self::sync) {
            tracing::warn!(%error, "cannot flush the table; the next start takes longer");
        }
    }

    /// Runs `work`; a panic of sled's becomes an error, so that one place handles both.
    fn guarded(&mut self, work: impl FnOnce(&mut Self) -> Result<(), Error>) -> Result<(), Error> {
        catch_unwind(AssertUnwindSafe(|| work(self))).unwrap_or_else(|_| {
            Err(Error::Backend {
                doing: format!("writing the table in {}", self.shared.options.folder.display()),
                advice: "look for a panic in the log and restart the hub",
                source: Arc::new(std::io::Error::other("sled panicked")),
            })
        })
    }

    fn apply(&mut self, commits: &[Arc<Commit>]) -> Result<(), Error> {
        let floor = self.shared.recent.floor();
        self.meta = self.shared.table("applying commits")?.apply(self.meta, floor, commits)?;
        Ok(())
    }

    /// Refuses writes, gives up the ballast, and opens the table again. Fails where the store ends first.
    fn recover(&mut self, error: Error) -> Result<(), Error> {
        let error = self.shared.options.space.full_or(&self.shared.options.folder, error);
        if !self.refusing {
            tracing::error!(%error, "the table cannot be written; writes are refused until it can");
        }
        self.refusing = true;
        self.shared.recent.set_stalled(Some(error.clone()));
        self.shared.ballast.release();
        loop {
            match catch_unwind(AssertUnwindSafe(|| self.shared.reopen_table())) {
                Ok(Ok(meta)) => {
                    (self.meta, self.synced) = (meta, Sequence::ZERO);
                    return Ok(());
                }
                Ok(Err(error)) => tracing::warn!(%error, "cannot open the table again yet"),
                Err(_) => tracing::warn!("sled panicked while the table was opened again"),
            }
            if self.shared.recent.wait_for_end(RETRY_INTERVAL) {
                return Err(error);
            }
        }
    }

    /// Takes writes again, if there is room for them and for the ballast.
    fn accept_again(&mut self) {
        let (space, folder) = (&self.shared.options.space, &self.shared.options.folder);
        let ballast = &self.shared.ballast;
        let has_room =
            ballast.is_taken() || space.check(folder, ballast.bytes() + BATCH_BYTES as u64).is_ok();
        if !has_room || ballast.take().is_err() {
            return;
        }
        tracing::info!("writes are taken");
        self.refusing = false;
        self.shared.recent.set_stalled(None);
    }

    /// Deletes journal segments that are forgotten and durable in the table.
    fn tidy(&mut self) -> Result<(), Error> {
        let (segments, options) = (self.shared.segments.clone(), &self.shared.options);
        // A log that nobody may need is given up before a write is refused.
        let has_room = options.space.check(&options.folder, 2 * options.segment_bytes).is_ok();
        self.shared.recent.raise_floor(segments.floor_for(if has_room {
            options.kept_journal_bytes
        } else {
            0
        }));
        let forgotten = self.shared.recent.floor().min(self.meta.applied);
        let Some(droppable) = segments.droppable(forgotten) else { return Ok(()) };
        if droppable > self.synced {
            self.sync()?;
        }
        segments.drop_through(droppable)
    }

    fn sync(&mut self) -> Result<(), Error> {
        self.shared.table("flushing the table")?.sync()?;
        self.synced = self.meta.applied;
        Ok(())
    }
}
