//! Kinds: which of them the API server serves, and which are followed.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use nave_common::name::ApplicationKey;
use tokio::time::Instant;

use super::reconciler::{Follower, Reconciler};
use super::wakes::Wake;
use super::{pause, tasks};
use crate::api::{Error, Gvk, Resource};
use crate::drift::follow;

impl Reconciler {
    /// Asks for the kinds that are not known. Whether there is something to ask.
    pub(super) fn discover(&mut self, key: &ApplicationKey) -> bool {
        let Some(application) = self.applications.get_mut(key) else { return false };
        if application.discovering.busy {
            application.discovering.again = true;
            return true;
        }
        let mut kinds: HashSet<(&str, &str)> = HashSet::new();
        kinds.extend(application.manifests().iter().map(|it| (it.api_version(), it.key().kind.as_str())));
        let mut unknown: BTreeSet<String> = kinds
            .into_iter()
            .map(|(api_version, kind)| Gvk::new(api_version, kind))
            .filter(|gvk| self.discovery.known(gvk).is_none())
            .map(|gvk| gvk.api_version())
            .collect();
        for object in application.objects.values().filter(|object| object.resource.plural.is_empty()) {
            if self.discovery.known(&object.resource.gvk).is_none() {
                unknown.insert(object.resource.gvk.api_version());
            }
        }
        if unknown.is_empty() {
            application.discovering.problem = None;
            return false;
        }
        application.discovering.busy = true;
        self.tasks.spawn(tasks::discover(self.discovery.clone(), key.clone(), unknown));
        true
    }

    /// Takes in that kinds were asked for.
    pub(super) fn discovered(&mut self, key: &ApplicationKey, problem: Option<&Error>) {
        let Some(application) = self.applications.get_mut(key) else { return };
        application.discovering.busy = false;
        application.discovering.problem = problem.map(Error::describe);
        if problem.is_some() {
            application.discovering.failures += 1;
            self.discover_later(key);
            self.tell(key);
            return;
        }
        self.server_answers();
        let Some(application) = self.applications.get_mut(key) else { return };
        let again = std::mem::take(&mut application.discovering.again);
        if again && self.discover(key) {
            return;
        }
        let Some(application) = self.applications.get(key) else { return };
        let fresh = application.discovering.fresh;
        self.replan(key, fresh);
    }

    /// Asks again later for what stayed unknown.
    pub(super) fn discover_later(&mut self, key: &ApplicationKey) {
        let Some(application) = self.applications.get_mut(key) else { return };
        let pause = pause::short(application.discovering.failures.max(1), rand::random());
        self.discover_at(key, Instant::now() + pause);
    }

    /// Asks again at some time for what is unknown, if that is not planned for earlier.
    pub(super) fn discover_at(&mut self, key: &ApplicationKey, at: Instant) {
        let Some(application) = self.applications.get_mut(key) else { return };
        let discovering = &mut application.discovering;
        if discovering.again_at.is_none_or(|planned| at < planned) {
            discovering.again_at = Some(at);
            self.wakes.add(at, Wake::Discover(key.clone()));
        }
    }

    /// The time to ask again for what is unknown may have come.
    pub(super) fn discover_again(&mut self, key: &ApplicationKey, now: Instant) {
        let Some(application) = self.applications.get_mut(key) else { return };
        if application.discovering.again_at.is_none_or(|at| at > now) {
            // It was done earlier.
            return;
        }
        application.discovering.again_at = None;
        let waits = !application.unresolved.is_empty()
            || application.discovering.problem.is_some()
            || application.objects.values().any(|object| object.awaits_kind);
        if !waits || application.work.is_none() {
            return;
        }
        application.discovering.failures += 1;
        if !self.discover(key) {
            let fresh = self.applications.get(key).is_some_and(|application| application.discovering.fresh);
            self.replan(key, fresh);
        }
    }

    /// A CRD of a group has come, changed or gone: whoever waits for one of its kinds asks again.
    pub(super) fn kinds_changed(&mut self, group: &str) {
        self.discovery.forget_group(group);
        let now = Instant::now();
        let mut waiting = Vec::new();
        for application in self.applications.values_mut() {
            let waits = application.unresolved.iter().any(|unresolved| unresolved.key.group == group)
                || application
                    .objects
                    .values()
                    .any(|object| object.awaits_kind && object.resource.gvk.group == group);
            if waits {
                application.discovering.failures = 0;
                waiting.push(application.key.clone());
            }
        }
        for key in waiting {
            self.discover_at(&key, now);
        }
    }

    /// A pass has been open for long: from now on its new kinds are followed all the same.
    pub(super) fn pass_grace_is_over(&mut self, key: &ApplicationKey) {
        let Some(application) = self.applications.get(key) else { return };
        if application.pass_since.is_none() {
            return;
        }
        for resource in application.kinds(false) {
            self.follow(&resource);
        }
    }

    /// Follows the kinds that are in use, and no others.
    pub(super) fn follow_kinds(&mut self) {
        self.kinds_are_stale = false;
        while self.following.try_join_next().is_some() {}
        let mut needed: HashMap<Gvk, Arc<Resource>> = HashMap::new();
        let mut in_use: HashSet<&Gvk> = HashSet::new();
        for application in self.applications.values().filter(|application| application.work.is_some()) {
            let kinds = application.kinds(application.pass_since.is_some());
            needed.extend(kinds.into_iter().map(|resource| (resource.gvk.clone(), resource)));
            in_use.extend(application.objects.values().map(|object| &object.resource.gvk));
        }
        self.followers.retain(|gvk, follower| {
            let keep = in_use.contains(gvk);
            if !keep {
                follower.task.abort();
            }
            keep
        });
        for resource in needed.values() {
            self.follow(resource);
        }
    }

    fn follow(&mut self, resource: &Arc<Resource>) {
        if self.followers.contains_key(&resource.gvk) {
            return;
        }
        tracing::debug!(kind = %resource.gvk, "following");
        let following = follow::follow(self.api.clone(), Arc::clone(resource), self.sights.clone());
        let task = self.following.spawn(following);
        let follower = Follower { task, listed: false, blind: None, hopeless: false };
        self.followers.insert(resource.gvk.clone(), follower);
    }

    /// Has everything of a kind told once more, because there is something new that wants to know.
    pub(super) fn follow_anew(&mut self, resource: &Arc<Resource>) {
        if let Some(follower) = self.followers.remove(&resource.gvk) {
            follower.task.abort();
        }
        self.follow(resource);
    }

    /// The kinds of an application that cannot be followed, each with the reason.
    pub(super) fn blind_kinds(&self, key: &ApplicationKey) -> Vec<String> {
        let Some(application) = self.applications.get(key) else { return Vec::new() };
        let mut blind: Vec<String> = self
            .followers
            .iter()
            .filter_map(|(gvk, follower)| Some((gvk, follower.blind.as_ref()?)))
            .filter(|(gvk, _)| application.objects.values().any(|object| object.resource.gvk == **gvk))
            .map(|(_, why)| why.clone())
            .collect();
        blind.sort();
        blind
    }
}
