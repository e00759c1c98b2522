//! What the agent was told, on disk: one file an assignment, one file a bundle, all readable by the agent alone.
//!
//! Written before an assignment is acknowledged, so that an agent that restarts with the hub gone goes on with what it
//! had. A damaged file is said and skipped, never read as "nothing is wanted": what is not known is not touched.

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nave_common::assignment::{Assignment, Desired, Generation};
use nave_common::digest::Digest;
use nave_common::name::ApplicationKey;
use nave_common::runtime::files;

/// The agent's folder of assignments and bundles, locked for as long as one of these lives: a second agent in it would
/// fight the first over its cluster. All methods block on the disk.
#[derive(Debug, Clone)]
pub struct Cache {
    _lock: Arc<File>,
    assignments: PathBuf,
    bundles: PathBuf,
    generation: PathBuf,
}

/// How long an agent that starts waits for one in the same folder that is just being stopped.
const LOCK_TIMEOUT: Duration = Duration::from_secs(3);
/// How often it looks.
const LOCK_INTERVAL: Duration = Duration::from_millis(50);

/// What a cache could not do.
#[derive(Debug, thiserror::Error)]
#[error("the agent's cache cannot {doing} {}: {source}", path.display())]
pub struct Error {
    doing: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// What a cache held when it was opened.
#[derive(Debug, Default)]
pub struct Contents {
    /// The assignments, in no order.
    pub assignments: Vec<Assignment>,
    /// The highest generation that was ever seen.
    pub generation: Generation,
    /// Files that could not be read, with why.
    pub damaged: Vec<String>,
}

impl Cache {
    /// Opens the folder, making it where it is missing, and reads everything.
    ///
    /// # Errors
    /// Where the folder cannot be made or listed, or another agent uses it.
    pub fn open(folder: &Path) -> Result<(Self, Contents), Error> {
        files::create_private_dir(folder).map_err(|error| failed("make the folder", folder, error))?;
        let cache = Self {
            _lock: Arc::new(lock(&folder.join("lock"))?),
            assignments: folder.join("assignments"),
            bundles: folder.join("bundles"),
            generation: folder.join("generation.json"),
        };
        for dir in [&cache.assignments, &cache.bundles] {
            files::create_private_dir(dir).map_err(|error| failed("make the folder", dir, error))?;
        }
        let mut contents = Contents::default();
        for path in list(&cache.assignments)? {
            match read_json::<Assignment>(&path) {
                Ok(assignment) => contents.assignments.push(assignment),
                Err(why) => contents.damaged.push(format!("{}: {why}", path.display())),
            }
        }
        if cache.generation.exists() {
            match read_json(&cache.generation) {
                Ok(generation) => contents.generation = generation,
                Err(why) => contents.damaged.push(format!("{}: {why}", cache.generation.display())),
            }
        }
        let newest = contents.assignments.iter().map(|assignment| assignment.generation).max();
        contents.generation = contents.generation.max(newest.unwrap_or_default());
        Ok((cache, contents))
    }

    /// Keeps an assignment in place of the one before.
    ///
    /// # Errors
    /// Where it cannot be made durable; then the one before still stands.
    pub fn put(&self, assignment: &Assignment) -> Result<(), Error> {
        write_json(&self.assignment_path(&assignment.application), assignment)
    }

    /// Forgets an application.
    ///
    /// # Errors
    /// Where the file is there and cannot be removed.
    pub fn forget(&self, application: &ApplicationKey) -> Result<(), Error> {
        remove(&self.assignment_path(application))
    }

    /// Keeps the highest generation seen.
    ///
    /// # Errors
    /// Where it cannot be made durable.
    pub fn put_generation(&self, generation: Generation) -> Result<(), Error> {
        write_json(&self.generation, &generation)
    }

    /// Keeps a bundle's canonical bytes.
    ///
    /// # Errors
    /// Where they cannot be made durable.
    pub fn put_bundle(&self, digest: &Digest, bytes: &[u8]) -> Result<(), Error> {
        let path = self.bundle_path(digest);
        files::write_private(&path, bytes).map_err(|error| failed("write", &path, error))
    }

    /// A bundle's canonical bytes, if they are here and undamaged.
    #[must_use]
    pub fn bundle(&self, digest: &Digest) -> Option<Vec<u8>> {
        let bytes = std::fs::read(self.bundle_path(digest)).ok()?;
        (Digest::of(&bytes) == *digest).then_some(bytes)
    }

    /// Whether a bundle's bytes are here and undamaged. Comparing is cheaper than taking a digest.
    #[must_use]
    pub fn has_bundle(&self, digest: &Digest, bytes: &[u8]) -> bool {
        std::fs::read(self.bundle_path(digest)).is_ok_and(|found| found == bytes)
    }

    /// Removes a bundle.
    ///
    /// # Errors
    /// Where it is there and cannot be removed.
    pub fn remove_bundle(&self, digest: &Digest) -> Result<(), Error> {
        remove(&self.bundle_path(digest))
    }

    /// Removes every bundle that none of `assignments` names.
    ///
    /// # Errors
    /// Where the folder cannot be listed or a file cannot be removed.
    pub fn collect<'a>(&self, assignments: impl IntoIterator<Item = &'a Assignment>) -> Result<(), Error> {
        let wanted: BTreeSet<PathBuf> = assignments
            .into_iter()
            .filter_map(|assignment| match &assignment.desired {
                Desired::Run(run) => Some(self.bundle_path(&run.bundle)),
                Desired::Remove => None,
            })
            .collect();
        for path in list(&self.bundles)? {
            if !wanted.contains(&path) {
                remove(&path)?;
            }
        }
        Ok(())
    }

    /// Names cannot hold a dot, so that no two applications share a file.
    fn assignment_path(&self, application: &ApplicationKey) -> PathBuf {
        self.assignments.join(format!("{}.{}.json", application.project, application.name))
    }

    fn bundle_path(&self, digest: &Digest) -> PathBuf {
        self.bundles.join(digest.hex())
    }
}

fn lock(path: &Path) -> Result<File, Error> {
    let open = File::options().read(true).write(true).create(true).truncate(false).open(path);
    let file = open.map_err(|error| failed("lock", path, error))?;
    let deadline = std::time::Instant::now() + LOCK_TIMEOUT;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            // One that is just being stopped lets go of it in a moment.
            Err(TryLockError::WouldBlock) if std::time::Instant::now() < deadline => {
                std::thread::park_timeout(LOCK_INTERVAL);
            }
            Err(TryLockError::WouldBlock) => {
                let held = io::Error::other("another agent uses this folder; stop that one first");
                return Err(failed("lock", path, held));
            }
            Err(TryLockError::Error(error)) => return Err(failed("lock", path, error)),
        }
    }
}

fn failed(doing: &'static str, path: &Path, source: io::Error) -> Error {
    Error { doing, path: path.to_owned(), source }
}

fn list(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = std::fs::read_dir(folder).map_err(|error| failed("list", folder, error))?;
    let paths: Result<Vec<_>, _> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    paths.map_err(|error| failed("list", folder, error))
}

fn remove(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path, error)),
        _ => Ok(()),
    }
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, String> {
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    serde_json::from_slice(&bytes).map_err(|error| error.to_string())
}

fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<(), Error> {
    let bytes = serde_json::to_vec(value).map_err(|error| failed("encode", path, error.into()))?;
    files::write_private(path, &bytes).map_err(|error| failed("write", path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn removal(name: &str, counter: u64) -> Assignment {
        Assignment {
            application: name.parse().unwrap(),
            cluster: "eu-1".parse().unwrap(),
            generation: Generation { term: 1, counter },
            change_id: String::new(),
            desired: Desired::Remove,
        }
    }

    #[test]
    fn what_was_put_is_there_after_reopening() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, contents) = Cache::open(folder.path()).unwrap();
        assert!(contents.assignments.is_empty());
        cache.put(&removal("shop", 7)).unwrap();
        cache.put(&removal("cart", 5)).unwrap();
        cache.forget(&"cart".parse().unwrap()).unwrap();
        cache.put_generation(Generation { term: 1, counter: 9 }).unwrap();
        drop(cache);
        let (_, contents) = Cache::open(folder.path()).unwrap();
        assert_eq!(contents.assignments, [removal("shop", 7)]);
        assert_eq!(contents.generation.counter, 9);
    }

    /// Two agents in one folder took turns at one cluster and at one name on the hub.
    #[test]
    fn a_second_agent_is_kept_out() {
        let folder = tempfile::tempdir().unwrap();
        let first = Cache::open(folder.path()).unwrap();
        let second = Cache::open(folder.path()).unwrap_err().to_string();
        assert!(second.contains("stop that one first"), "{second}");
        drop(first);
        assert!(Cache::open(folder.path()).is_ok());
    }

    #[test]
    fn a_damaged_file_is_said_and_the_others_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, _) = Cache::open(folder.path()).unwrap();
        cache.put(&removal("shop", 7)).unwrap();
        drop(cache);
        std::fs::write(folder.path().join("assignments/default.cart.json"), "{\"appl").unwrap();
        let (_, contents) = Cache::open(folder.path()).unwrap();
        assert_eq!(contents.assignments.len(), 1);
        assert!(contents.damaged[0].contains("default.cart.json"), "{:?}", contents.damaged);
    }

    #[test]
    fn a_damaged_bundle_is_not_a_bundle() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, _) = Cache::open(folder.path()).unwrap();
        let digest = Digest::of(b"body");
        cache.put_bundle(&digest, b"body").unwrap();
        assert_eq!(cache.bundle(&digest).as_deref(), Some(b"body".as_slice()));
        std::fs::write(folder.path().join("bundles").join(digest.hex()), "bodX").unwrap();
        assert_eq!(cache.bundle(&digest), None);
        cache.collect(&[removal("shop", 1)]).unwrap();
        assert_eq!(std::fs::read_dir(folder.path().join("bundles")).unwrap().count(), 0);
    }
}
