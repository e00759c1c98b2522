//! The steps of a demo. Each does one thing to the fleet, waits until it is seen to have worked, and says what happened.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use futures::future::try_join_all;
use nave_common::application::Application;
use nave_common::assignment::Desired;
use nave_common::bundle::Bundle;
use nave_common::health::Health;
use nave_common::status::{AssignmentView, Liveness, SyncState};
use nave_proto::v1;

use super::display::Display;
use super::fleet::Fleet;
use super::region::Movers;
use super::report::{millis, shown};
use super::target::Target;
use crate::client::Fleet as Client;

/// How long a step may take before it is said to have failed.
const STEP_TIMEOUT: Duration = Duration::from_secs(40);
/// How often a step looks whether it has worked.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// A demo under way.
pub(crate) struct Demo {
    pub(crate) fleet: Fleet,
    pub(crate) application: Application,
    pub(crate) bundle: Bundle,
    pub(crate) target: Target,
    pub(crate) deletable: Option<Target>,
    pub(crate) movers: Movers,
    pub(crate) display: Display,
}

impl Demo {
    pub(crate) async fn hub(&mut self) -> anyhow::Result<String> {
        self.fleet.start_hub().await?;
        Ok("a hub with its own certificate authority, on sled, over TLS".into())
    }

    pub(crate) async fn clusters(&mut self, kubeconfigs: &[std::path::PathBuf]) -> anyhow::Result<String> {
        self.fleet.start_clusters(kubeconfigs).await?;
        let kind = if kubeconfigs.is_empty() { "simulated" } else { "real" };
        Ok(match self.fleet.spokes.len() {
            1 => format!("1 {kind} cluster answers"),
            count => format!("{count} {kind} clusters answer"),
        })
    }

    pub(crate) async fn join(&mut self) -> anyhow::Result<String> {
        self.fleet.join().await?;
        let mut client = self.fleet.client().await?;
        let wanted = self.fleet.spokes.len();
        until("every cluster is alive", async || Ok(alive(&mut client).await? == wanted)).await?;
        Ok(match wanted {
            1 => "1 agent enrolled with a one-time token and connected".to_owned(),
            count => format!("{count} agents enrolled with one-time tokens and connected"),
        })
    }

    pub(crate) async fn deploy(&mut self) -> anyhow::Result<String> {
        let started = Instant::now();
        let mut client = self.fleet.client().await?;
        crate::client::upload(&mut client, &self.bundle).await?;
        self.apply(&mut client).await?;
        let mut arrivals = BTreeMap::new();
        self.settled(&mut client, |views| {
            for view in views.iter().filter(|view| is_synced(view)) {
                arrivals.entry(view.assignment.cluster.clone()).or_insert_with(|| started.elapsed());
            }
            views.iter().all(is_synced)
        })
        .await?;
        let first = arrivals.values().min().copied().unwrap_or_default();
        let objects = self.bundle.manifests().len();
        let objects = if objects == 1 { "1 object".to_owned() } else { format!("{objects} objects") };
        let took = shown(millis(first));
        Ok(match arrivals.len() {
            1 => format!("{objects} in 1 cluster after {took}"),
            count => format!("{objects} in each of {count} clusters; the first was done after {took}"),
        })
    }

    pub(crate) async fn healthy(&mut self) -> anyhow::Result<String> {
        let mut client = self.fleet.client().await?;
        let is_healthy = |view: &AssignmentView| {
            view.status.as_ref().is_some_and(|status| status.health == Health::Healthy)
        };
        self.settled(&mut client, |views| views.iter().all(is_healthy)).await?;
        Ok("every workload is ready in every cluster".into())
    }

    pub(crate) async fn change(&mut self) -> anyhow::Result<String> {
        let rule = self.target.change("made");
        self.application.spec.overrides.push(rule);
        let mut client = self.fleet.client().await?;
        let started = Instant::now();
        self.apply(&mut client).await?;
        let waits = self.fleet.spokes.iter().map(|spoke| async {
            self.is_as_wanted(&spoke.client).await.with_context(|| format!("cluster {}", spoke.name))?;
            anyhow::Ok(started.elapsed())
        });
        let mut times = try_join_all(waits).await?;
        times.sort();
        let (median, last) = (times[times.len() / 2], times[times.len() - 1]);
        Ok(format!(
            "live after {} in the median cluster and {} in the last",
            shown(millis(median)),
            shown(millis(last))
        ))
    }

    pub(crate) async fn drift(&mut self) -> anyhow::Result<String> {
        let spoke = self.fleet.spokes.first().context("there is no cluster")?;
        let healed = self.break_and_heal(&spoke.client).await?;
        let mut detail = format!(
            "{} broken by hand in {}, back after {}",
            self.target.shown(),
            spoke.name,
            shown(millis(healed))
        );
        if let Some(target) = &self.deletable {
            let before = target.uid(&spoke.client).await?;
            let started = Instant::now();
            target.delete_by_hand(&spoke.client).await?;
            until("the deleted object is back", async || {
                let now = target.uid(&spoke.client).await?;
                Ok(now.is_some() && now != before)
            })
            .await?;
            detail +=
                &format!("; {} deleted, back after {}", target.shown(), shown(millis(started.elapsed())));
        }
        Ok(detail)
    }

    pub(crate) async fn hub_stopped(&mut self) -> anyhow::Result<String> {
        self.fleet.stop_hub().await;
        let spoke = self.fleet.spokes.last().context("there is no cluster")?;
        let healed = self.break_and_heal(&spoke.client).await?;
        let running = self.fleet.spokes.iter().map(|spoke| self.is_as_wanted(&spoke.client));
        try_join_all(running).await?;
        let others = if self.fleet.spokes.len() > 1 { "; the other clusters carry on" } else { "" };
        Ok(format!(
            "with the hub gone {} was broken in {} and back after {}{others}",
            self.target.shown(),
            spoke.name,
            shown(millis(healed))
        ))
    }

    pub(crate) async fn hub_back(&mut self) -> anyhow::Result<String> {
        self.fleet.start_hub().await?;
        let mut client = self.fleet.client().await?;
        let wanted = self.fleet.spokes.len();
        until("every cluster is alive again", async || Ok(alive(&mut client).await? == wanted)).await?;
        self.settled(&mut client, |views| views.iter().all(is_synced)).await?;
        Ok(match wanted {
            1 => "1 agent is back by itself and in sync".to_owned(),
            count => format!("{count} agents are back by themselves and in sync"),
        })
    }

    /// Removes what was deployed, within a time of its own whatever answers or does not.
    pub(crate) async fn removed(&mut self) -> anyhow::Result<String> {
        let removed = tokio::time::timeout(2 * STEP_TIMEOUT, self.remove()).await;
        removed.unwrap_or_else(|_| bail!("not done after {} s", 2 * STEP_TIMEOUT.as_secs()))
    }

    async fn remove(&mut self) -> anyhow::Result<String> {
        // A step that ended early may have left the hub stopped, or stopping: then its files and its port are in use.
        if !self.fleet.has_hub() {
            until("the hub is up again", async || self.fleet.start_hub().await.map(|()| true)).await?;
        }
        let mut client = self.fleet.client().await?;
        // What a lost region has is removed there, too.
        self.fleet.reconnect_all();
        let movers = self.movers.applications().iter().map(Application::key);
        let keys: Vec<_> = movers.chain([self.application.key()]).collect();
        for key in &keys {
            let request =
                v1::DeleteApplicationRequest { application: Some(key.clone().into()), ..Default::default() };
            match client.delete_application(request).await {
                // It had not got as far as the hub.
                Err(status) if status.code() == tonic::Code::NotFound => {}
                outcome => drop(outcome?),
            }
        }
        for key in keys {
            until("the application is gone", async || {
                let request = v1::GetApplicationRequest { application: Some(key.clone().into()) };
                match client.get_application(request).await {
                    Err(status) if status.code() == tonic::Code::NotFound => Ok(true),
                    Err(status) => Err(status.into()),
                    Ok(_) => Ok(false),
                }
            })
            .await?;
        }
        for spoke in &self.fleet.spokes {
            if self.target.uid(&spoke.client).await.ok().flatten().is_some() {
                bail!("{} is still there in {}", self.target.shown(), spoke.name);
            }
        }
        Ok("everything is deleted, and gone from every cluster".into())
    }

    async fn apply(&self, client: &mut Client) -> anyhow::Result<()> {
        let application = Some(self.application.clone().into());
        client.apply_application(v1::ApplyApplicationRequest { application, dry_run: false }).await?;
        Ok(())
    }

    /// Waits until what the change made is live in a cluster.
    async fn is_as_wanted(&self, client: &kube::Client) -> anyhow::Result<()> {
        let replicas = self.target.replicas().map(|count| count.saturating_add(1));
        until("the change is live", async || self.target.is(client, "made", replicas).await).await
    }

    async fn break_and_heal(&self, client: &kube::Client) -> anyhow::Result<Duration> {
        // From before the break: an agent may have put it back before the breaker has his answer.
        let started = Instant::now();
        self.target.break_by_hand(client).await?;
        self.is_as_wanted(client).await?;
        Ok(started.elapsed())
    }

    /// Waits until `done` holds of the application in all its clusters, showing each on the way.
    async fn settled(
        &self,
        client: &mut Client,
        mut done: impl FnMut(&[AssignmentView]) -> bool,
    ) -> anyhow::Result<()> {
        let wanted = self.fleet.spokes.len();
        let mut last = Vec::new();
        let waited = until("the application is as wanted in every cluster", async || {
            last = assignments(client, &self.application).await?;
            self.display.clusters(&last);
            Ok(last.len() == wanted && done(&last))
        })
        .await;
        waited.with_context(|| problems(&last))
    }
}

/// Looks again and again until `done` or the step's time is over.
pub(super) async fn until(
    what: &str,
    mut done: impl AsyncFnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + STEP_TIMEOUT;
    loop {
        let last = match done().await {
            Ok(true) => return Ok(()),
            Ok(false) => None,
            Err(error) => Some(error),
        };
        if Instant::now() > deadline {
            let timeout = format!("waited {} s until {what}", STEP_TIMEOUT.as_secs());
            return Err(
                last.map_or_else(|| anyhow::anyhow!(timeout.clone()), |error| error.context(timeout.clone()))
            );
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

async fn alive(client: &mut Client) -> anyhow::Result<usize> {
    let clusters = client.list_clusters(v1::ListClustersRequest::default()).await?.into_inner().clusters;
    let is_alive = |cluster: &&v1::Cluster| {
        cluster.status.as_ref().is_some_and(|status| status.liveness() == v1::Liveness::Alive)
    };
    Ok(clusters.iter().filter(is_alive).count())
}

pub(super) async fn assignments(
    client: &mut Client,
    application: &Application,
) -> anyhow::Result<Vec<AssignmentView>> {
    let request =
        v1::ListAssignmentsRequest { application: Some(application.key().into()), ..Default::default() };
    let wire = client.list_assignments(request).await?.into_inner().assignments;
    wire.into_iter().map(|view| AssignmentView::try_from(view).map_err(Into::into)).collect()
}

pub(super) fn is_synced(view: &AssignmentView) -> bool {
    view.liveness == Liveness::Alive
        && view.status.as_ref().is_some_and(|status| {
            status.sync == SyncState::Synced && status.generation == view.assignment.generation
        })
}

/// Whether the cluster is told to run it.
pub(super) fn is_active(view: &AssignmentView) -> bool {
    matches!(&view.assignment.desired, Desired::Run(run) if run.activity.is_active())
}

/// What stands in the way, for the report of a step that failed.
fn problems(views: &[AssignmentView]) -> String {
    let line = |view: &AssignmentView| {
        let cluster = &view.assignment.cluster;
        match &view.status {
            None => Some(format!("{cluster}: nothing heard yet")),
            Some(status) if status.sync == SyncState::Synced && status.health == Health::Healthy => None,
            Some(status) => Some(format!("{cluster}: {} {} {}", status.sync, status.health, status.reason)),
        }
    };
    let lines: Vec<String> = views.iter().filter_map(line).collect();
    if lines.is_empty() { "no cluster was assigned".into() } else { lines.join("; ") }
}
