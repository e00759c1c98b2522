//! Whether a world has come to rest: every cluster runs exactly what it is told, and that is what was asked for.

use nave_common::assignment::{Activity, Assignment, Desired};

use super::applications::Work;
use super::{SPOKES, World, cluster_name};

impl World<'_> {
    /// What is not as it should be in the end; `None` where all is.
    pub(super) fn unsettled(&self) -> Option<String> {
        self.work.iter().find_map(|work| self.unsettled_work(work))
    }

    fn unsettled_work(&self, work: &Work) -> Option<String> {
        let key = work.key();
        let active = self.durable.active(&key);
        let everywhere = SPOKES.len() - usize::from(self.people.has_edited);
        let wanted = work.count.unwrap_or(everywhere);
        if active.len() != wanted {
            return Some(format!("{key} is to run in {active:?}; expected {wanted} clusters"));
        }
        let state = self.durable.failovers.get(&key);
        if let Some(one) = state.and_then(|state| state.moves.first()) {
            return Some(format!("{key} still moves from {}: {} {}", one.from, one.phase, one.reason));
        }
        if work.fence.is_some() {
            let holder = state.and_then(|state| state.grant.as_ref()).filter(|grant| grant.release.is_none());
            match holder {
                Some(grant) if active == [&grant.cluster] => {}
                Some(grant) => {
                    return Some(format!("{key} is granted to {} and told to {active:?}", grant.cluster));
                }
                None => return Some(format!("nobody is granted {key}")),
            }
        }
        (0..SPOKES.len()).find_map(|spoke| {
            let place = (key.clone(), cluster_name(spoke));
            let problem = self.unsettled_place(work, spoke, self.durable.assignments.get(&place))?;
            Some(format!("{key} in {}: {problem}", place.1))
        })
    }

    fn unsettled_place(&self, work: &Work, spoke: usize, told: Option<&Assignment>) -> Option<String> {
        let contents = &self.contents[spoke];
        let pods: Vec<_> = contents.pods.iter().filter(|pod| pod.application == work.name).collect();
        let has_objects = contents.objects.values().any(|(_, owner)| owner == work.name);
        match told.map(|told| &told.desired) {
            None | Some(Desired::Remove) if has_objects || !pods.is_empty() => {
                Some("it is there and nobody wants it".to_owned())
            }
            None | Some(Desired::Remove) => None,
            Some(Desired::Run(run)) => {
                let replicas = if run.activity == Activity::Active { work.replicas } else { 0 };
                let asked = contents.replicas.get(work.name).copied();
                if asked != Some(replicas) {
                    return Some(format!("{asked:?} replicas are asked for; expected {replicas}"));
                }
                let ready = pods.iter().filter(|pod| pod.is_ready).count() as u64;
                if ready != replicas || pods.len() as u64 != replicas {
                    return Some(format!("{ready} of {} pods are ready; expected {replicas}", pods.len()));
                }
                let epoch = run.exclusive.as_ref().map(|exclusive| exclusive.epoch).unwrap_or_default();
                let stale = pods.iter().find(|pod| pod.epoch != epoch)?;
                Some(format!("a pod runs with epoch {}; expected {epoch}", stale.epoch))
            }
        }
    }
}
