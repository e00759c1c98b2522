//! One object of an application: what is wanted, what the inventory holds, what was last seen of it; and from these
//! alone, what it needs. No I/O.

use std::sync::Arc;

use nave_common::digest::Digest;
use nave_common::health::{Health, HealthReport};
use nave_common::inventory::InventoryEntry;
use nave_common::manifest::ObjectKey;
use nave_common::name::ApplicationKey;
use nave_common::status::SyncState;
use nave_common::time::Timestamp;
use tokio::time::Instant;

use crate::api::Resource;
use crate::apply::conflict::Claim;
use crate::apply::look::Sought;
use crate::apply::order::{self, Rank};
use crate::drift::contest::Contest;
use crate::drift::follow::Sight;
use crate::observation::{Observation, Version, Yields};
use crate::ownership::Taken;

/// What the plan says of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// It is wanted; whether it is there and whose it is must be found out first.
    Look,
    /// It is wanted and kept as wanted.
    Keep,
    /// It is wanted and left to whoever has it, without a word.
    Share,
    /// It is wanted and not applied; this is why.
    Refused(String),
    /// It is to be deleted.
    Prune,
    /// Nave is to let go of it.
    Release,
    /// It is no longer wanted and stays; this is why.
    Retain(String),
    /// Another application is about to take it.
    HandOver(ApplicationKey),
}

/// What was last seen of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Live {
    /// Nothing yet.
    Unknown,
    /// It is not there.
    Absent,
    /// It is there.
    Present(Seen),
}

/// What was last seen of an object that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// In which version.
    pub version: Version,
    /// The digest of what Nave owns of it; `None` where only its metadata was seen.
    pub owned: Option<Digest>,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Whether a person asked that nothing be written to it.
    pub suspended: bool,
    /// When this was last known to be so.
    pub evidence_at: Instant,
}

/// Why an object is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// How it counts.
    pub sync: SyncState,
    /// Words on which a person can act.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

/// What was seen of the object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sighting {
    /// It is there.
    Present(Box<Observation>, Vec<Taken>),
    /// The object with this UID is gone, as of this version.
    Gone(String, Version),
}

/// An object as it is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Its place in the rendering.
    pub index: u32,
    /// The manifest's digest.
    pub digest: Digest,
}

/// What an object needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing.
    Nothing,
    /// Something must be seen or be over first.
    Wait,
    /// A look whether it is there.
    Look,
    /// An apply.
    Apply(Why),
    /// A deletion.
    Delete,
    /// A release.
    Release,
}

/// Why an object is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It is not there yet.
    Create,
    /// Something else is wanted of it than was applied.
    Update,
    /// It was there, and is there no longer.
    Recreate,
    /// What was applied is there no longer.
    PutBack,
}

impl Why {
    /// Whether a foreign change is undone.
    #[must_use]
    pub fn is_repair(self) -> bool {
        matches!(self, Self::Recreate | Self::PutBack)
    }
}

/// One object of an application.
#[derive(Debug)]
pub struct Object {
    /// Its kind.
    pub resource: Arc<Resource>,
    /// Its place in the order.
    pub rank: Rank,
    /// What the plan says of it.
    pub role: Role,
    /// What is wanted of it, if it is.
    pub wanted: Option<Wanted>,
    /// Its entry in the inventory.
    pub entry: Option<InventoryEntry>,
    /// Whether its kind is not served yet, though its CRD is among what is wanted.
    pub awaits_kind: bool,
    /// Why Nave may write to it.
    pub claim: Claim,
    /// What was last seen of it.
    pub live: Live,
    /// Hashes of the paths that Nave owned after its last apply.
    pub paths: Box<[u64]>,
    /// What is left to others.
    pub yields: Yields,
    /// The replicas that an autoscaler last set.
    pub scaled: Option<u32>,
    /// How well it is; `None` until it was seen.
    pub health: Option<HealthReport>,
    /// Since when it is so well.
    pub health_since: Timestamp,
    /// What its pods say, while it is not well.
    pub diagnosis: Option<String>,
    /// Whether its pods are to be asked at some time that is set.
    pub diagnosis_due: bool,
    /// How often its pods were asked, while it is not well.
    pub diagnosis_count: u32,
    /// Why it is not as it should be.
    pub problem: Option<Problem>,
    /// Whether a request for it is under way.
    pub busy: bool,
    /// Whether its first try in this pass is under way, for which later ranks wait.
    pub counted: bool,
    /// What its follower told last while a request for it was under way, as it came: most of it is what that request
    /// did, so it is looked at only when the answer is there.
    pub meanwhile: Option<Box<Sight>>,
    /// Who took which of Nave's fields.
    pub taken: Vec<Taken>,
    /// Failures in a row.
    pub failures: u32,
    /// How often it was looked whether it, or what it holds, is gone by now.
    pub going_looks: u32,
    /// It is left alone until then.
    pub paused_until: Option<Instant>,
    /// Until then it is left alone because it is contested.
    pub contested_until: Option<Instant>,
    /// Whether it is to be looked whether it may be had by now.
    pub look_again: bool,
    /// Whether it is parked.
    pub is_parked: bool,
    /// Whether it makes pods of Exclusive work that is to stop: then it is stopped whoever asked to leave it alone.
    pub is_fenced: bool,
    /// Whether it is left alone but for that, because its application is suspended.
    pub is_held: bool,
    /// Its put-backs, once there was one.
    pub contest: Option<Box<Contest>>,
}

impl Object {
    /// An object of which only the kind is known.
    #[must_use]
    pub fn new(resource: Arc<Resource>, now: Timestamp) -> Self {
        Self {
            rank: order::rank(&resource.gvk.group, &resource.gvk.kind),
            resource,
            role: Role::Look,
            wanted: None,
            entry: None,
            awaits_kind: false,
            claim: Claim::Owner,
            live: Live::Unknown,
            paths: Box::default(),
            yields: Yields::default(),
            scaled: None,
            health: None,
            health_since: now,
            diagnosis: None,
            diagnosis_due: false,
            diagnosis_count: 0,
            problem: None,
            busy: false,
            counted: false,
            meanwhile: None,
            taken: Vec::new(),
            failures: 0,
            going_looks: 0,
            paused_until: None,
            contested_until: None,
            look_again: false,
            is_parked: false,
            is_fenced: false,
            is_held: false,
            contest: None,
        }
    }

    /// What it needs, whether or not it may be done right now.
    #[must_use]
    pub fn need(&self) -> Need {
        if self.is_held && (!self.is_fenced || self.live == Live::Absent) {
            return Need::Nothing;
        }
        match &self.role {
            Role::Prune => Need::Delete,
            Role::Release => Need::Release,
            Role::Share | Role::Refused(_) | Role::Retain(_) | Role::HandOver(_) => Need::Nothing,
            Role::Look | Role::Keep if self.awaits_kind => Need::Wait,
            Role::Look => Need::Look,
            Role::Keep => self.need_to_keep(),
        }
    }

    fn need_to_keep(&self) -> Need {
        let (Some(wanted), Some(entry)) = (&self.wanted, &self.entry) else { return Need::Nothing };
        let seen = match &self.live {
            Live::Unknown => return Need::Wait,
            Live::Absent if entry.uid.is_some() => return Need::Apply(Why::Recreate),
            Live::Absent => return Need::Apply(Why::Create),
            Live::Present(seen) => seen,
        };
        if seen.deleting {
            // It cannot be kept from going; once it is gone it is made again.
            Need::Wait
        } else if seen.suspended && !self.is_fenced {
            Need::Nothing
        } else if self.claim == Claim::Adoption
            || entry.applied != wanted.digest
            || entry.api_version != self.resource.gvk.api_version()
        {
            Need::Apply(Why::Update)
        } else if entry.owned.is_none() || (seen.owned.is_some() && entry.owned != seen.owned) {
            Need::Apply(Why::PutBack)
        } else {
            Need::Nothing
        }
    }

    /// Whether it may be acted on now.
    #[must_use]
    pub fn is_free(&self, now: Instant) -> bool {
        !self.busy && self.paused_until.is_none_or(|until| until <= now)
    }

    /// Forgets what did not work: something else is wanted now, or it may work now.
    pub fn start_afresh(&mut self) {
        self.failures = 0;
        self.going_looks = 0;
        self.paused_until = None;
        self.contested_until = None;
        if matches!(self.role, Role::Look | Role::Keep | Role::Prune | Role::Release) {
            self.problem = None;
        }
    }

    /// Whether its pods, if it has any, can tell why it is not well.
    #[must_use]
    pub fn is_unwell(&self) -> bool {
        let health = self.health.as_ref().map(|health| health.health);
        matches!(health, Some(Health::Progressing | Health::Degraded))
    }

    /// Whether it is in the cluster exactly as wanted, or needs not be.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        match self.role {
            Role::Keep => {
                !self.busy && self.need() == Need::Nothing && (self.is_fenced || !self.is_suspended())
            }
            Role::Share => true,
            // What is kept on purpose is nothing to wait for.
            Role::Retain(_) => true,
            _ => false,
        }
    }

    /// Whether a person asked that nothing be written to it.
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        matches!(&self.live, Live::Present(seen) if seen.suspended)
    }

    /// Whether the next apply may take every field that the manifest names.
    #[must_use]
    pub fn claim_now(&self) -> Claim {
        match (self.claim, &self.wanted, &self.entry) {
            (Claim::Adoption, _, _) => Claim::Adoption,
            (_, Some(wanted), Some(entry)) if entry.applied == wanted.digest => Claim::Same,
            (claim, _, _) => claim,
        }
    }

    /// The UID that the next apply insists on: none where the object is not there.
    #[must_use]
    pub fn uid_to_insist_on(&self) -> Option<String> {
        match &self.live {
            Live::Absent => None,
            Live::Unknown | Live::Present(_) => self.entry.as_ref()?.uid.clone(),
        }
    }

    /// What is looked for to find out whether it is there and whose it is.
    #[must_use]
    pub fn sought(&self, key: &Arc<ObjectKey>) -> Sought {
        let index = self.wanted.map_or(0, |wanted| wanted.index);
        let entry = self.entry.clone().filter(|entry| entry.uid.is_some());
        Sought { key: Arc::clone(key), index, entry }
    }

    /// Notes that it is not as it should be. The time stays where the same was so before.
    pub fn set_problem(&mut self, sync: SyncState, reason: String, now: Timestamp) {
        let since = self.problem.as_ref().filter(|last| last.sync == sync).map_or(now, |last| last.since);
        self.problem = Some(Problem { sync, reason, since });
    }

    /// Notes how well it is. True where that is news.
    pub fn set_health(&mut self, health: HealthReport, now: Timestamp) -> bool {
        let last = self.health.as_ref();
        if last == Some(&health) {
            return false;
        }
        if last.is_none_or(|last| last.health != health.health) {
            self.health_since = now;
        }
        if health.health == Health::Healthy || health.health == Health::Suspended {
            self.diagnosis = None;
            self.diagnosis_count = 0;
        }
        self.health = Some(health);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(text: &str) -> Digest {
        Digest::of(text.as_bytes())
    }

    fn kept(live: Live) -> Object {
        let resource = Arc::new(Resource::core("ConfigMap", "configmaps", true));
        let mut object = Object::new(resource, Timestamp::from_millis(0).unwrap());
        object.role = Role::Keep;
        object.wanted = Some(Wanted { index: 0, digest: digest("wanted") });
        object.entry = Some(InventoryEntry {
            api_version: "v1".into(),
            uid: Some("u".into()),
            applied: digest("wanted"),
            owned: Some(digest("owned")),
            adopted: false,
        });
        object.live = live;
        object
    }

    fn seen() -> Seen {
        Seen {
            version: Version(1),
            owned: Some(digest("owned")),
            deleting: false,
            suspended: false,
            evidence_at: Instant::now(),
        }
    }

    #[test]
    fn what_is_as_wanted_needs_nothing() {
        assert_eq!(kept(Live::Present(seen())).need(), Need::Nothing);
        assert!(kept(Live::Present(seen())).is_settled());
    }

    #[test]
    fn each_difference_has_its_own_reason() {
        assert_eq!(kept(Live::Unknown).need(), Need::Wait);
        assert_eq!(kept(Live::Absent).need(), Need::Apply(Why::Recreate));
        let drifted = Seen { owned: Some(digest("else")), ..seen() };
        assert_eq!(kept(Live::Present(drifted)).need(), Need::Apply(Why::PutBack));
        let mut outdated = kept(Live::Present(seen()));
        outdated.wanted = Some(Wanted { index: 0, digest: digest("newer") });
        assert_eq!(outdated.need(), Need::Apply(Why::Update));
        let mut new = kept(Live::Absent);
        new.entry.as_mut().unwrap().uid = None;
        assert_eq!(new.need(), Need::Apply(Why::Create));
        assert_eq!(new.uid_to_insist_on(), None);
    }

    #[test]
    fn what_is_going_or_suspended_is_left_alone() {
        let going = Seen { deleting: true, owned: None, ..seen() };
        assert_eq!(kept(Live::Present(going)).need(), Need::Wait);
        let suspended = Seen { suspended: true, owned: None, ..seen() };
        let suspended = kept(Live::Present(suspended));
        assert_eq!(suspended.need(), Need::Nothing);
        assert!(!suspended.is_settled());
    }

    #[test]
    fn only_the_same_manifest_may_take_everything_back() {
        let mut object = kept(Live::Present(seen()));
        assert_eq!(object.claim_now(), Claim::Same);
        object.wanted = Some(Wanted { index: 0, digest: digest("newer") });
        assert_eq!(object.claim_now(), Claim::Owner);
        object.claim = Claim::Adoption;
        assert_eq!(object.claim_now(), Claim::Adoption);
    }
}
