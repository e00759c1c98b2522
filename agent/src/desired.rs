//! What this cluster should run, as far as the agent was told: the bridge from connection to reconcile.
//!
//! Takes assignments, gets their bundles, renders and checks them, keeps them on disk, and only then hands them on as
//! [`WorkSet`]. It never forgets an application that the hub did not say to forget.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use nave_common::assignment::{Assignment, Desired, Generation};
use nave_common::bundle::Bundle;
use nave_common::manifest::Manifest;
use nave_common::name::ApplicationKey;
use nave_common::render::{self, Rendering};
use tokio::sync::watch;

use crate::cache::{self, Cache};
use crate::work::{Work, WorkSet};

/// What this cluster should run. Cheap to clone.
#[derive(Clone)]
pub struct DesiredState {
    cache: Cache,
    inner: Arc<Mutex<Inner>>,
    /// Held to share it from before a bundle is written until its assignment is held, and alone to collect: what was just
    /// written would look as if nobody wanted it.
    bundles: Arc<RwLock<()>>,
    work: watch::Sender<WorkSet>,
}

struct Inner {
    assignments: BTreeMap<ApplicationKey, Assignment>,
    generation: Generation,
}

/// Why an assignment was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be kept on disk.
    #[error(transparent)]
    Cache(#[from] cache::Error),
    /// Its bundle's bytes are no bundle.
    #[error("bundle {digest}: {source}")]
    Bundle {
        /// The bundle's digest.
        digest: String,
        /// What is wrong.
        source: nave_common::bundle::Error,
    },
    /// Its bundle cannot be rendered.
    #[error("the bundle cannot be rendered here: {0}")]
    Render(#[from] render::Error),
    /// The agent's rendering is not the hub's.
    #[error(
        "this agent's rendering is {ours} and the hub's is {theirs}; their versions may differ, upgrade the older"
    )]
    Differs {
        /// The agent's digest, shortened.
        ours: String,
        /// The hub's digest, shortened.
        theirs: String,
    },
}

impl DesiredState {
    /// What is on disk. Assignments whose bundle is missing or damaged are held back until the hub sends them again,
    /// and what runs of them is left as it is.
    ///
    /// # Errors
    /// Where the cache's folder cannot be used.
    pub fn open(folder: &std::path::Path) -> Result<Self, Error> {
        let (cache, contents) = Cache::open(folder)?;
        for damaged in &contents.damaged {
            tracing::error!(
                file = damaged,
                "a file of the cache is damaged and was skipped; the hub will send it again"
            );
        }
        let assignment_count = contents.assignments.len();
        let mut assignments = BTreeMap::new();
        let mut work = BTreeMap::new();
        for assignment in contents.assignments {
            let bundle = match &assignment.desired {
                Desired::Run(run) => cache.bundle(&run.bundle),
                Desired::Remove => None,
            };
            match prepare(&assignment, bundle.as_deref(), &[]) {
                Ok(rendering) => {
                    let key = assignment.application.clone();
                    work.insert(key.clone(), Arc::new(Work { assignment: assignment.clone(), rendering }));
                    assignments.insert(key, assignment);
                }
                Err(error) => {
                    tracing::error!(application = %assignment.application, %error, "an assignment of the cache cannot be used; the hub will send it again");
                }
            }
        }
        let has_all = contents.damaged.is_empty() && assignments.len() == assignment_count;
        let inner = Inner { assignments, generation: contents.generation };
        let desired = Self {
            cache,
            inner: Arc::new(Mutex::new(inner)),
            bundles: Arc::default(),
            work: watch::Sender::new(Arc::new(work)),
        };
        if has_all {
            desired.collect()?;
        }
        Ok(desired)
    }

    /// Removes bundles that nothing wants any more.
    fn collect(&self) -> Result<(), Error> {
        let _alone = self.bundles.write().unwrap_or_else(PoisonError::into_inner);
        let held = self.assignments();
        Ok(self.cache.collect(&held)?)
    }

    /// What reconcile follows.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<WorkSet> {
        self.work.subscribe()
    }

    /// The highest generation seen.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.lock().generation
    }

    /// Everything held.
    #[must_use]
    pub fn assignments(&self) -> Vec<Assignment> {
        self.lock().assignments.values().cloned().collect()
    }

    /// What is held of one application.
    #[must_use]
    pub fn assignment(&self, application: &ApplicationKey) -> Option<Assignment> {
        self.lock().assignments.get(application).cloned()
    }

    /// The bundle of `assignment`, if it is here.
    #[must_use]
    pub fn bundle(&self, assignment: &Assignment) -> Option<Vec<u8>> {
        match &assignment.desired {
            Desired::Run(run) => self.cache.bundle(&run.bundle),
            Desired::Remove => None,
        }
    }

    /// Renders, checks, keeps and hands on an assignment that was admitted. `bundle` is its bundle's bytes, and whether
    /// they are on disk already. Blocks on the disk.
    ///
    /// # Errors
    /// Where it cannot be rendered as the hub did, or not kept; then everything stays as it was.
    pub fn take(&self, assignment: Assignment, bundle: Option<&[u8]>) -> Result<(), Error> {
        let shared = self.bundles.read().unwrap_or_else(PoisonError::into_inner);
        let rendering = self.prepare_and_keep(&assignment, bundle)?;
        self.cache.put(&assignment)?;
        let key = assignment.application.clone();
        let before = {
            let mut inner = self.lock();
            inner.generation = inner.generation.max(assignment.generation);
            inner.assignments.insert(key.clone(), assignment.clone())
        };
        drop(shared);
        self.let_go(before.as_ref());
        let work = Arc::new(Work { assignment, rendering });
        self.work.send_modify(|set| {
            Arc::make_mut(set).insert(key, work);
        });
        Ok(())
    }

    /// The rendering of an assignment whose bundle then is on disk. The disk takes about as long as the rendering, so both
    /// go on at the same time.
    fn prepare_and_keep(
        &self,
        assignment: &Assignment,
        bundle: Option<&[u8]>,
    ) -> Result<Option<Arc<Rendering>>, Error> {
        let before = self.work.borrow().get(&assignment.application).and_then(|work| work.rendering.clone());
        let known = before.as_ref().map_or(&[][..], |rendering| &rendering.manifests);
        std::thread::scope(|scope| {
            let keeping = match (&assignment.desired, bundle) {
                (Desired::Run(run), Some(bytes)) if !self.cache.has_bundle(&run.bundle, bytes) => {
                    Some(scope.spawn(|| self.cache.put_bundle(&run.bundle, bytes)))
                }
                _ => None,
            };
            let rendering = prepare(assignment, bundle, known);
            if let Some(keeping) = keeping {
                // One that is kept and cannot be rendered is collected with the next that goes.
                keeping.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            }
            rendering
        })
    }

    /// Removes the bundle of an assignment that was replaced, if nothing else wants it.
    fn let_go(&self, before: Option<&Assignment>) {
        let bundle = |assignment: &Assignment| match &assignment.desired {
            Desired::Run(run) => Some(run.bundle),
            Desired::Remove => None,
        };
        let Some(old) = before.and_then(bundle) else { return };
        let _alone = self.bundles.write().unwrap_or_else(PoisonError::into_inner);
        if self.lock().assignments.values().any(|held| bundle(held) == Some(old)) {
            return;
        }
        if let Err(error) = self.cache.remove_bundle(&old) {
            tracing::warn!(%error, "a bundle that nothing wants any more stays");
        }
    }

    /// Forgets applications whose removal the hub knows to be complete. Anything but a held removal stays.
    ///
    /// # Errors
    /// Where a file cannot be removed.
    pub fn forget(&self, applications: &[ApplicationKey]) -> Result<Vec<ApplicationKey>, Error> {
        let mut gone = Vec::new();
        for key in applications {
            let is_tombstone =
                self.lock().assignments.get(key).is_some_and(|held| held.desired == Desired::Remove);
            if is_tombstone {
                self.cache.forget(key)?;
                self.lock().assignments.remove(key);
                gone.push(key.clone());
            }
        }
        if !gone.is_empty() {
            self.work.send_modify(|set| Arc::make_mut(set).retain(|key, _| !gone.contains(key)));
            self.collect()?;
        }
        Ok(gone)
    }

    /// Keeps the highest generation that the hub has told of.
    ///
    /// # Errors
    /// Where it cannot be made durable.
    pub fn saw(&self, generation: Generation) -> Result<(), Error> {
        if generation.term > self.generation().term {
            self.cache.put_generation(generation)?;
        }
        let mut inner = self.lock();
        inner.generation = inner.generation.max(generation);
        Ok(())
    }

    /// A panic elsewhere leaves whole maps behind: each change is one insert or remove.
    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The rendering of an assignment, the same as the hub's or an error. What of it is `known` is not read again.
fn prepare(
    assignment: &Assignment,
    bundle: Option<&[u8]>,
    known: &[Manifest],
) -> Result<Option<Arc<Rendering>>, Error> {
    let Desired::Run(run) = &assignment.desired else { return Ok(None) };
    let bytes = bundle.unwrap_or_default();
    let bundle = Bundle::decode_sharing(bytes, known)
        .map_err(|source| Error::Bundle { digest: run.bundle.to_string(), source })?;
    let inputs = render::Inputs::of(&assignment.application, run);
    let rendering = render::render(&bundle, inputs)?;
    if rendering.digest != run.rendering {
        return Err(Error::Differs { ours: rendering.digest.short(), theirs: run.rendering.short() });
    }
    Ok(Some(Arc::new(rendering)))
}

#[cfg(test)]
mod tests {
    use nave_common::application::Adopt;
    use nave_common::assignment::{Activity, Run, SyncPolicy};
    use nave_common::digest::Digest;
    use nave_common::overrides::Override;
    use serde_json::json;

    use super::*;

    fn revision(application: &str, counter: u64) -> (Assignment, Vec<u8>) {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"},
            "data": {"revision": counter.to_string()}});
        let bundle = Bundle::new(vec![Manifest::new(object).unwrap()]).unwrap();
        let bytes = bundle.encode();
        let override_ = Override::default();
        let rendering = render::render(&bundle, render::Inputs::plain(&override_)).unwrap().digest;
        let sync = SyncPolicy {
            prune: true,
            adopt: Adopt::default(),
            prune_adopted: false,
            ignore_fields: Vec::new(),
            suspended: false,
        };
        let run = Run {
            revision: counter,
            bundle: Digest::of(&bytes),
            override_,
            rendering,
            namespace: None,
            create_namespace: false,
            sync,
            activity: Activity::Active,
            park: Vec::new(),
            exclusive: None,
        };
        let assignment = Assignment {
            application: application.parse().unwrap(),
            cluster: "eu-1".parse().unwrap(),
            generation: Generation { term: 1, counter },
            change_id: String::new(),
            desired: Desired::Run(Box::new(run)),
        };
        (assignment, bytes)
    }

    /// An agent's disk grew with every revision.
    #[test]
    fn a_bundle_that_nothing_wants_any_more_is_removed_and_one_that_another_wants_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let bundles = || std::fs::read_dir(folder.path().join("bundles")).unwrap().count();
        let desired = DesiredState::open(folder.path()).unwrap();
        for (application, counter, left) in
            [("shop", 1, 1), ("cart", 1, 1), ("shop", 2, 2), ("cart", 2, 1), ("shop", 3, 2)]
        {
            let (assignment, bytes) = revision(application, counter);
            desired.take(assignment, Some(&bytes)).unwrap();
            assert_eq!(bundles(), left, "{application} {counter}");
        }
        std::fs::write(folder.path().join("bundles").join(Digest::of(b"old").hex()), "old").unwrap();
        drop(desired);
        let desired = DesiredState::open(folder.path()).unwrap();
        assert_eq!(
            (bundles(), desired.assignments().len()),
            (2, 2),
            "what is left over is collected at start"
        );
    }
}
