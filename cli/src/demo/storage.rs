//! A storage that refuses old epochs, and writers that stand in for the pods of Exclusive work: each pod that runs writes
//! under its own epoch, whatever has become of its cluster's connection.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use kube::core::GroupVersionKind;
use nave_common::failover::Epoch;
use nave_common::render::activity::{EPOCH_ANNOTATION, EXCLUSIVE_LABEL};
use tokio::task::JoinHandle;

/// How often each pod writes.
const WRITE_INTERVAL: Duration = Duration::from_millis(100);

/// What the storage has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// The highest epoch of a write: lower ones are refused.
    pub(super) epoch: Epoch,
    /// How many writes were taken.
    pub(super) taken_count: u64,
    /// How many writes of older epochs were refused.
    pub(super) refused_count: u64,
}

/// The storage; clones are the same one.
#[derive(Debug, Clone, Default)]
pub(super) struct Storage(Arc<Mutex<Seen>>);

impl Storage {
    /// Takes a write, or refuses it where a newer epoch has written.
    pub(super) fn write(&self, epoch: Epoch) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if epoch < seen.epoch {
            seen.refused_count += 1;
            return false;
        }
        seen.epoch = epoch;
        seen.taken_count += 1;
        true
    }

    /// What it has seen.
    pub(super) fn seen(&self) -> Seen {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes for every Exclusive pod that runs in a cluster, until the handle is aborted.
    pub(super) fn write_for_pods(&self, client: kube::Client, namespace: String) -> JoinHandle<()> {
        let storage = self.clone();
        tokio::spawn(async move {
            let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Pod"));
            let pods: Api<DynamicObject> = Api::namespaced_with(client, &namespace, &kind);
            let ours = ListParams::default().labels(EXCLUSIVE_LABEL);
            loop {
                if let Ok(found) = pods.list(&ours).await {
                    for epoch in found.iter().filter(|pod| is_running(pod)).filter_map(epoch_of) {
                        storage.write(epoch);
                    }
                }
                tokio::time::sleep(WRITE_INTERVAL).await;
            }
        })
    }
}

fn is_running(pod: &DynamicObject) -> bool {
    let phase = pod.data.pointer("/status/phase").and_then(serde_json::Value::as_str);
    phase == Some("Running") && pod.metadata.deletion_timestamp.is_none()
}

fn epoch_of(pod: &DynamicObject) -> Option<Epoch> {
    let text = pod.metadata.annotations.as_ref()?.get(EPOCH_ANNOTATION)?;
    text.parse().ok().map(Epoch::from_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_epoch_is_refused_once_a_newer_one_has_written() {
        let storage = Storage::default();
        assert!(storage.write(Epoch::from_number(7)) && storage.write(Epoch::from_number(7)));
        assert!(storage.write(Epoch::from_number(9)));
        assert!(!storage.write(Epoch::from_number(7)));
        assert_eq!(storage.seen(), Seen { epoch: Epoch::from_number(9), taken_count: 3, refused_count: 1 });
    }
}
