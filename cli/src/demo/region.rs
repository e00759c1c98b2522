//! The last part of a demo: a whole region is lost, its work moves, the region comes back and the work goes home.
//!
//! Two applications of `deploy/examples/failover` stand for the two kinds of work: one that may overlap, and one that may
//! run only once, whose storage refuses old epochs. The region's lines to the hub are cut; its clusters and agents run on,
//! as they do behind a broken line, so the storage sees writes of both copies and says how many it refused.

use std::time::Duration;

use anyhow::{Context as _, bail};
use nave_common::application::Application;
use nave_common::document::{self, Document};
use nave_common::failover::state::{Move, MovePhase};
use nave_common::failover::{Exclusive, Failback, FailbackMode, FailoverMode, FailoverView};
use nave_common::time::{HumanDuration, Timestamp};
use nave_proto::v1;
use serde::Serialize;

use super::report::{millis, shown};
use super::steps::{Demo, until};
use super::storage::Storage;
use crate::client::Fleet as Client;

const APPLICATIONS: &str = include_str!("../../../deploy/examples/failover/applications.yaml");
/// The region that is lost.
const REGION: &str = "eu";
/// How long home must have been well before work comes back: short, so that a demo can show it.
const FAILBACK_AFTER: Duration = Duration::from_secs(1);
/// The exclusive lease of a demo: short, for the same reason.
const LEASE_DURATION: Duration = Duration::from_secs(3);

/// How one application moved, for the report.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MoveReport {
    /// The application.
    application: String,
    /// How it fails over.
    mode: FailoverMode,
    /// `failover` or `failback`.
    direction: &'static str,
    from: String,
    to: String,
    /// From when the region was last heard until it was taken for lost; all times in milliseconds since then.
    #[serde(skip_serializing_if = "Option::is_none")]
    detect: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decide: Option<f64>,
    /// Only of Exclusive work.
    #[serde(skip_serializing_if = "Option::is_none")]
    fence: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    apply: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    healthy: Option<f64>,
}

impl MoveReport {
    fn of(view: &FailoverView, it: &Move, direction: &'static str) -> Self {
        let began = it.times.began_at.or(it.times.detected_at);
        let after = |at: Option<Timestamp>| Some(millis(at?.since(began?)));
        Self {
            application: view.state.application.to_string(),
            mode: view.failover.mode,
            direction,
            from: it.from.to_string(),
            to: it.to.as_ref().map(ToString::to_string).unwrap_or_default(),
            detect: after(it.times.detected_at),
            decide: after(it.times.decided_at),
            fence: after(it.times.fenced_at),
            apply: after(it.times.applied_at),
            healthy: after(it.times.healthy_at),
        }
    }

    fn told(&self) -> String {
        let step = |name: &str, at: Option<f64>| at.map(|at| format!("{name} {}", shown(at)));
        let steps = [
            step("detected", self.detect),
            step("decided", self.decide),
            step("fenced", self.fence),
            step("applied", self.apply),
            step("healthy", self.healthy),
        ];
        let steps: Vec<String> = steps.into_iter().flatten().collect();
        format!("{} ({}) {} -> {}: {}", self.application, self.mode, self.from, self.to, steps.join(", "))
    }
}

/// The applications that move, and the storage that one of them writes to.
#[derive(Debug, Default)]
pub(crate) struct Movers {
    applications: Vec<Application>,
    storage: Storage,
    writers: Vec<tokio::task::JoinHandle<()>>,
    pub(crate) moves: Vec<MoveReport>,
}

impl Drop for Movers {
    fn drop(&mut self) {
        for writer in &self.writers {
            writer.abort();
        }
    }
}

impl Movers {
    /// What was deployed, to be removed at the end.
    pub(crate) fn applications(&self) -> &[Application] {
        &self.applications
    }
}

impl Demo {
    /// Deploys the two applications, and waits until they run in the region that will be lost.
    pub(crate) async fn movers(&mut self) -> anyhow::Result<String> {
        let mut client = self.fleet.client().await?;
        for application in movers()? {
            let wire = Some(application.clone().into());
            client
                .apply_application(v1::ApplyApplicationRequest { application: wire, dry_run: false })
                .await?;
            self.movers.applications.push(application);
        }
        let applications = self.movers.applications.clone();
        let mut homes = Vec::new();
        until("both applications are healthy in the region", async || {
            homes.clear();
            for application in &applications {
                homes.extend(home_of(&mut client, application).await?);
            }
            Ok(homes.len() == applications.len())
        })
        .await?;
        for spoke in &self.fleet.spokes {
            let writer = self.movers.storage.write_for_pods(spoke.client.clone(), "ledger".into());
            self.movers.writers.push(writer);
        }
        until("the ledger has written", async || Ok(self.movers.storage.seen().taken_count > 0)).await?;
        Ok(format!(
            "prices (Overlap) in {} and ledger (Exclusive, fence Storage) in {}; liveness lease {}, exclusive lease {}",
            homes[0],
            homes[1],
            HumanDuration(self.fleet.liveness_lease()),
            HumanDuration(LEASE_DURATION),
        ))
    }

    /// Cuts the region off, and waits until both applications run elsewhere.
    pub(crate) async fn region_lost(&mut self) -> anyhow::Result<String> {
        let mut client = self.fleet.client().await?;
        until("the hub trusts itself again after its start", async || {
            Ok(client
                .get_hub(v1::GetHubRequest {})
                .await?
                .into_inner()
                .failover
                .is_none_or(|it| it.frozen.is_none()))
        })
        .await?;
        self.fleet.cut_off(REGION);
        let moves = self.moved(&mut client, "failover", |it| it.times.healthy_at.is_some()).await?;
        until("an old write was refused", async || Ok(self.movers.storage.seen().refused_count > 0)).await?;
        let refused = self.movers.storage.seen().refused_count;
        let told: Vec<String> = moves.iter().map(MoveReport::told).collect();
        self.movers.moves.extend(moves);
        Ok(format!("{}; the storage refused {refused} writes of the copy that was cut off", told.join("; ")))
    }

    /// Brings the region back, and waits until both applications are home.
    pub(crate) async fn region_back(&mut self) -> anyhow::Result<String> {
        let mut client = self.fleet.client().await?;
        self.fleet.reconnect(REGION);
        let moves = self.moved(&mut client, "failback", |it| it.phase == MovePhase::Done).await?;
        let told: Vec<String> = moves.iter().map(MoveReport::told).collect();
        self.movers.moves.extend(moves);
        Ok(format!("home again, nothing deleted: {}", told.join("; ")))
    }

    /// Waits until each application has moved in a direction, as far as `is_far` says.
    async fn moved(
        &self,
        client: &mut Client,
        direction: &'static str,
        is_far: impl Fn(&Move) -> bool,
    ) -> anyhow::Result<Vec<MoveReport>> {
        let mut reports = Vec::new();
        let mut waits_for = String::new();
        let waited = until("both applications have moved", async || {
            reports.clear();
            for application in &self.movers.applications {
                let view = failover_of(client, application).await?;
                let all = view.state.moves.iter().chain(&view.state.history);
                let wanted = all.filter(|it| it.cause.is_planned() == (direction == "failback"));
                let newest = wanted.max_by_key(|it| it.number);
                match newest {
                    Some(it) if is_far(it) => reports.push(MoveReport::of(&view, it, direction)),
                    Some(it) => waits_for = format!("{}: {} {}", application.key(), it.phase, it.reason),
                    None => waits_for = format!("{}: no move yet", application.key()),
                }
            }
            Ok(reports.len() == self.movers.applications.len())
        })
        .await;
        waited.with_context(|| waits_for)?;
        Ok(reports)
    }
}

/// The two applications, with a demo's short times.
fn movers() -> anyhow::Result<Vec<Application>> {
    let documents = document::load(APPLICATIONS, "failover")?;
    let applications = documents.into_iter().filter_map(|located| match located.value {
        Document::Application(application) => Some(*application),
        Document::Cluster(_) => None,
    });
    let mut applications: Vec<Application> = applications.collect();
    for application in &mut applications {
        let failover = &mut application.spec.failover;
        failover.failback = Failback { mode: Some(FailbackMode::Auto), after: HumanDuration(FAILBACK_AFTER) };
        if let Some(rules) = &mut failover.exclusive {
            *rules = Exclusive { lease_duration: HumanDuration(LEASE_DURATION), ..rules.clone() };
        }
    }
    if applications.len() != 2 {
        bail!("the example of failover holds {} applications; expected 2", applications.len());
    }
    Ok(applications)
}

/// The cluster of the region in which an application is healthy; `None` while it is not.
async fn home_of(client: &mut Client, application: &Application) -> anyhow::Result<Option<String>> {
    let views = super::steps::assignments(client, application).await?;
    let is_home = |view: &&nave_common::status::AssignmentView| {
        let is_healthy =
            view.status.as_ref().is_some_and(|status| status.health == nave_common::health::Health::Healthy);
        super::steps::is_synced(view)
            && is_healthy
            && super::steps::is_active(view)
            && view.assignment.cluster.as_str().starts_with(REGION)
    };
    Ok(views.iter().find(is_home).map(|view| view.assignment.cluster.to_string()))
}

async fn failover_of(client: &mut Client, application: &Application) -> anyhow::Result<FailoverView> {
    let request = v1::GetFailoverRequest { application: Some(application.key().into()) };
    let view =
        client.get_failover(request).await?.into_inner().failover.context("the hub sent no failover")?;
    Ok(FailoverView::try_from(view)?)
}
