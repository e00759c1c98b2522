//! The promises that hold whatever happens (DESIGN.md, section 9), over what can be observed from outside: one list for
//! simulations of every depth.
//!
//! A simulation fills in an [`Observation`] after each event and hands it to a [`Checker`]. Nothing in here knows how the
//! hub or an agent works: it sees pods, deletes, writes to a storage, what the hub durably tells its clusters, and which
//! faults and orders there were to explain them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use nave_common::failover::state::Cause;
use nave_common::failover::{Epoch, Fence};
use nave_common::name::{ApplicationKey, ClusterName};

/// How long after a fault in a cluster what is decided about that cluster is still put down to it, in milliseconds.
pub const AFTERMATH_MS: u64 = 180_000;
/// The promise that everything comes to rest once faults stop; what is at rest, each simulation knows by itself.
pub const CONVERGENCE: &str = "convergence";
/// How long after a hub's death what it said last may still be taking effect, in milliseconds.
const ECHO_MS: u64 = 60_000;

/// So many ways home within so many milliseconds are flapping.
const FLAPPING: (usize, u64) = (4, 60_000);

/// What can be observed at one moment.
#[derive(Debug, Clone, Default)]
pub struct Observation {
    /// When: true time in milliseconds since the simulation began, by no machine's clock.
    pub at_ms: u64,
    /// Where pods of which application run or may run.
    pub running: BTreeMap<(ApplicationKey, ClusterName), Running>,
    /// What the hub that counts durably tells each cluster of each application.
    pub told: BTreeMap<(ApplicationKey, ClusterName), Told>,
    /// Whether any hub runs and is not paused.
    pub is_hub_up: bool,
    /// What happened since the last observation, in order.
    pub happened: Vec<Happened>,
}

/// Pods of one application in one cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Running {
    /// The token that the youngest of them were started with; zero where the application is not Exclusive.
    pub epoch: Epoch,
    /// By when the agent stops them if nothing renews their lease, in true time, and after the longest that stopping
    /// takes; `None` where no lease bounds them.
    pub until_ms: Option<u64>,
}

/// What a cluster is told of an application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// Run it; Exclusive work under this token.
    Active(Option<Epoch>),
    /// Keep its objects with nothing running.
    Parked,
    /// Remove it.
    Removed,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happened {
    /// An agent deleted what it had made of an application.
    Deleted(ApplicationKey, ClusterName),
    /// Pods wrote to the storage that guards an application, and whether that took it.
    Wrote(ApplicationKey, ClusterName, Epoch, bool),
    /// The hub durably granted the exclusive lease.
    Granted(ApplicationKey, ClusterName, Epoch),
    /// The hub began to move an application away from a cluster, and whether it was frozen then.
    Began(ApplicationKey, ClusterName, Cause, bool),
    /// There is a fault in a cluster or on its way to the hub.
    Disturbed(ClusterName),
    /// A person edited the application or its placement, or ordered something of it.
    Ordered(ApplicationKey),
    /// A person asked, by an edit or a delete, that it leaves this cluster for good.
    AskedAway(ApplicationKey, ClusterName),
    /// A person asked that it may be there again.
    AskedBack(ApplicationKey, ClusterName),
    /// From now on the application's kind of fence does not claim to hold, because of this.
    Excused(ApplicationKey, &'static str),
    /// An older state of the hub was put back.
    Restored,
}

/// What one application is, as far as promises depend on it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Subject {
    /// The fence of Exclusive work; `None` where it is not Exclusive.
    pub fence: Option<Fence>,
}

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The promise.
    pub promise: &'static str,
    /// What was seen instead.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} does not hold: {}", self.promise, self.what)
    }
}

/// Checks one observation after another.
#[derive(Debug)]
pub struct Checker {
    subjects: BTreeMap<ApplicationKey, Subject>,
    excused: BTreeMap<ApplicationKey, &'static str>,
    disturbed_at: BTreeMap<ClusterName, u64>,
    ordered_at: BTreeMap<ApplicationKey, u64>,
    asked_away: BTreeSet<(ApplicationKey, ClusterName)>,
    restored_at: Option<u64>,
    /// The newest grant of each application.
    granted: BTreeMap<ApplicationKey, (Epoch, ClusterName)>,
    /// The newest write that the storage took.
    written: BTreeMap<ApplicationKey, (Epoch, ClusterName)>,
    /// When each application last began to leave a cluster for its home, newest last.
    went_home: BTreeMap<ApplicationKey, Vec<(u64, ClusterName)>>,
    /// Since when no hub is up.
    hub_down_since: Option<u64>,
    last: Observation,
}

impl Checker {
    /// A checker that has seen nothing yet.
    #[must_use]
    pub fn new(subjects: BTreeMap<ApplicationKey, Subject>) -> Self {
        Self {
            subjects,
            excused: BTreeMap::new(),
            disturbed_at: BTreeMap::new(),
            ordered_at: BTreeMap::new(),
            asked_away: BTreeSet::new(),
            restored_at: None,
            granted: BTreeMap::new(),
            written: BTreeMap::new(),
            went_home: BTreeMap::new(),
            hub_down_since: None,
            last: Observation::default(),
        }
    }

    /// The applications whose fence no longer claims to hold, and why.
    #[must_use]
    pub fn excused(&self) -> &BTreeMap<ApplicationKey, &'static str> {
        &self.excused
    }

    /// Takes the next observation.
    ///
    /// # Errors
    /// The first promise that it breaks.
    pub fn observe(&mut self, seen: Observation) -> Result<(), Violation> {
        for happened in &seen.happened {
            self.happened(happened, seen.at_ms)?;
        }
        self.single_active(&seen)?;
        self.autonomy(&seen)?;
        self.stability(&seen)?;
        self.hub_down_since = match (seen.is_hub_up, self.hub_down_since) {
            (true, _) => None,
            (false, since) => Some(since.unwrap_or(seen.at_ms)),
        };
        self.last = seen;
        Ok(())
    }

    fn happened(&mut self, happened: &Happened, at_ms: u64) -> Result<(), Violation> {
        match happened {
            Happened::Disturbed(cluster) => {
                self.disturbed_at.insert(cluster.clone(), at_ms);
            }
            Happened::Ordered(application) => {
                self.ordered_at.insert(application.clone(), at_ms);
            }
            Happened::AskedAway(application, cluster) => {
                self.asked_away.insert((application.clone(), cluster.clone()));
            }
            Happened::AskedBack(application, cluster) => {
                self.asked_away.remove(&(application.clone(), cluster.clone()));
            }
            Happened::Excused(application, why) => {
                self.excused.entry(application.clone()).or_insert(why);
            }
            Happened::Restored => {
                self.restored_at = Some(at_ms);
            }
            Happened::Deleted(application, cluster) => {
                if !self.asked_away.contains(&(application.clone(), cluster.clone())) {
                    let what = format!("{application} was deleted in {cluster} and nobody asked for it");
                    return Err(Violation { promise: "no unasked delete", what });
                }
            }
            Happened::Granted(application, cluster, epoch) => {
                return self.epochs_rise(application, cluster, *epoch);
            }
            Happened::Wrote(application, cluster, epoch, is_accepted) => {
                return self.one_writer(application, cluster, *epoch, *is_accepted);
            }
            Happened::Began(application, from, cause, is_frozen) => {
                if *is_frozen && !cause.is_planned() {
                    let what =
                        format!("{application} began to leave {from} ({cause}) while the hub was frozen");
                    return Err(Violation { promise: "a frozen hub moves nothing by itself", what });
                }
                if *cause == Cause::Failback {
                    return self.no_flapping(application, from, at_ms);
                }
            }
        }
        Ok(())
    }

    fn epochs_rise(
        &mut self,
        application: &ApplicationKey,
        cluster: &ClusterName,
        epoch: Epoch,
    ) -> Result<(), Violation> {
        if let Some((newest, holder)) = self.granted.get(application)
            && epoch <= *newest
        {
            let what =
                format!("{cluster} is granted {application} with {epoch} after {holder} was with {newest}");
            return Err(Violation { promise: "epochs rise", what });
        }
        self.granted.insert(application.clone(), (epoch, cluster.clone()));
        Ok(())
    }

    fn one_writer(
        &mut self,
        application: &ApplicationKey,
        cluster: &ClusterName,
        epoch: Epoch,
        is_accepted: bool,
    ) -> Result<(), Violation> {
        if !is_accepted || self.excused.contains_key(application) {
            return Ok(());
        }
        if let Some((newest, writer)) = self.written.get(application)
            && (epoch < *newest || epoch == *newest && writer != cluster)
        {
            let what = format!(
                "the storage of {application} took a write of {cluster} with {epoch} after {writer} wrote with {newest}"
            );
            return Err(Violation { promise: "single active", what });
        }
        self.written.insert(application.clone(), (epoch, cluster.clone()));
        Ok(())
    }

    /// Never active in two clusters; under `Storage` that is measured where it writes.
    fn single_active(&self, seen: &Observation) -> Result<(), Violation> {
        let mut before: Option<&(ApplicationKey, ClusterName)> = None;
        for place in seen.running.keys() {
            let fence = self.subjects.get(&place.0).and_then(|subject| subject.fence);
            if matches!(fence, None | Some(Fence::Storage)) || self.excused.contains_key(&place.0) {
                continue;
            }
            if let Some(other) = before.filter(|other| other.0 == place.0) {
                let epoch = |place| seen.running.get(place).map(|running| running.epoch).unwrap_or_default();
                let what = format!(
                    "{} runs in {} with {} and in {} with {}",
                    place.0,
                    other.1,
                    epoch(other),
                    place.1,
                    epoch(place)
                );
                return Err(Violation { promise: "single active", what });
            }
            before = Some(place);
        }
        Ok(())
    }

    /// With every hub down, nothing stops that runs, but for what a lease bounds and what has a fault of its own.
    fn autonomy(&self, seen: &Observation) -> Result<(), Violation> {
        let Some(since) = self.hub_down_since.filter(|_| !seen.is_hub_up) else { return Ok(()) };
        if seen.at_ms < since + ECHO_MS {
            return Ok(());
        }
        for (place, running) in &self.last.running {
            let is_over = running.until_ms.is_some_and(|until_ms| until_ms <= seen.at_ms);
            if seen.running.contains_key(place) || is_over || self.is_disturbed(&place.1, seen.at_ms) {
                continue;
            }
            let what = format!(
                "{} stopped in {}, whose cluster has no fault, {} s after the hub died",
                place.0,
                place.1,
                (seen.at_ms - since) / 1000
            );
            return Err(Violation { promise: "autonomy", what });
        }
        Ok(())
    }

    /// Nothing that is told to run in a cluster without faults is told otherwise, unless somebody ordered it.
    fn stability(&self, seen: &Observation) -> Result<(), Violation> {
        for (place, told) in &self.last.told {
            let stays = match (told, seen.told.get(place)) {
                (Told::Active(_), Some(Told::Active(_))) | (Told::Parked | Told::Removed, _) => true,
                (Told::Active(_), _) => false,
            };
            let is_ordered = self.ordered_at.get(&place.0).is_some_and(|at| seen.at_ms < at + AFTERMATH_MS)
                || self.restored_at.is_some_and(|at| seen.at_ms < at + AFTERMATH_MS);
            if stays
                || is_ordered
                || self.is_disturbed(&place.1, seen.at_ms)
                || self.goes_home(place, seen.at_ms)
            {
                continue;
            }
            let what = format!("{} is taken away from {}, which has no fault", place.0, place.1);
            return Err(Violation { promise: "stability", what });
        }
        Ok(())
    }

    /// Whether it left this cluster to go home.
    fn goes_home(&self, place: &(ApplicationKey, ClusterName), at_ms: u64) -> bool {
        let went = self.went_home.get(&place.0).into_iter().flatten();
        went.into_iter().any(|(at, from)| *from == place.1 && at_ms < at + AFTERMATH_MS)
    }

    /// Nothing goes home again and again.
    fn no_flapping(
        &mut self,
        application: &ApplicationKey,
        from: &ClusterName,
        at_ms: u64,
    ) -> Result<(), Violation> {
        let went = self.went_home.entry(application.clone()).or_default();
        went.push((at_ms, from.clone()));
        went.retain(|(at, _)| at_ms < at + AFTERMATH_MS);
        let count = went.iter().filter(|(at, _)| at_ms < at + FLAPPING.1).count();
        if count > FLAPPING.0 {
            let what = format!("{application} goes home for the {count}th time in {} s", FLAPPING.1 / 1000);
            return Err(Violation { promise: "stability", what });
        }
        Ok(())
    }

    fn is_disturbed(&self, cluster: &ClusterName, at_ms: u64) -> bool {
        self.disturbed_at.get(cluster).is_some_and(|since| at_ms < since + AFTERMATH_MS)
    }
}
