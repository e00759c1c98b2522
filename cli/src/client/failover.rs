//! Failover: how applications and the hub stand, what would happen, and what people order.

use nave_common::failover::state::{Order, OrderKind};
use nave_common::failover::{FailoverPlan, FailoverView, HubFailover, PretendedLoss};
use nave_common::name::{ApplicationKey, ProjectName};
use nave_common::time::Timestamp;
use nave_proto::v1;

use super::error::incomplete;
use super::{Hub, PAGE_SIZE};
use crate::exit::Outcome;

impl Hub {
    /// How one application stands.
    pub(crate) async fn failover(&self, key: &ApplicationKey) -> Outcome<FailoverView> {
        let request = v1::GetFailoverRequest { application: Some(key.into()) };
        let mut client = self.client.clone();
        let answer = self.unary(request, async |request| client.get_failover(request).await).await?;
        self.failover_in(answer.failover)
    }

    /// Every application of one project, or of all, that failover has anything to do with.
    pub(crate) async fn failovers(&self, project: Option<&ProjectName>) -> Outcome<Vec<FailoverView>> {
        self.pages(async |page_token| {
            let request = v1::ListFailoversRequest {
                project: project.map(ToString::to_string).unwrap_or_default(),
                page_size: PAGE_SIZE,
                page_token,
            };
            let mut client = self.client.clone();
            let answer = self.unary(request, async |request| client.list_failovers(request).await).await?;
            Ok((self.all(answer.failovers)?, answer.next_page_token))
        })
        .await
    }

    /// What would happen.
    pub(crate) async fn plan_failover(&self, loss: &PretendedLoss) -> Outcome<FailoverPlan> {
        let request = v1::PlanFailoverRequest::from(loss);
        let mut client = self.client.clone();
        let answer = self.unary(request, async |request| client.plan_failover(request).await).await?;
        self.optional(answer.plan)?.ok_or_else(|| incomplete(&self.address, "plan"))
    }

    /// Orders something. The answer is how the application stands, and the change's identifier.
    pub(crate) async fn order_failover(
        &self,
        key: &ApplicationKey,
        what: OrderKind,
        dry_run: bool,
    ) -> Outcome<(FailoverView, String)> {
        // Who and when are filled in by the hub.
        let order = Order { what, by: String::new(), at: Timestamp::EPOCH, change_id: String::new() };
        let request =
            v1::OrderFailoverRequest { application: Some(key.into()), order: Some((&order).into()), dry_run };
        let mut client = self.client.clone();
        let answer = self.unary(request, async |request| client.order_failover(request).await).await?;
        Ok((self.failover_in(answer.failover)?, answer.change_id))
    }

    /// Stops all moves that nobody orders, or lets them go on.
    pub(crate) async fn set_freeze(&self, frozen: bool) -> Outcome<HubFailover> {
        let mut client = self.client.clone();
        let request = v1::SetFreezeRequest { frozen };
        let answer = self.unary(request, async |request| client.set_freeze(request).await).await?;
        self.hub_failover_in(answer.failover)
    }

    /// Begins a maintenance of so many seconds; ends it with none.
    pub(crate) async fn set_maintenance(&self, seconds: u64) -> Outcome<HubFailover> {
        let mut client = self.client.clone();
        let request = v1::SetMaintenanceRequest { seconds };
        let answer = self.unary(request, async |request| client.set_maintenance(request).await).await?;
        self.hub_failover_in(answer.failover)
    }

    /// After a restore: decides about one application that waits, or about all. The answer is which were released.
    pub(crate) async fn release_held(
        &self,
        key: Option<&ApplicationKey>,
        keep_running: bool,
    ) -> Outcome<Vec<ApplicationKey>> {
        use v1::release_held_request::Choice;
        let choice = if keep_running { Choice::KeepRunning } else { Choice::ApplyBackup };
        let request = v1::ReleaseHeldRequest { application: key.map(Into::into), choice: choice.into() };
        let mut client = self.client.clone();
        let answer = self.unary(request, async |request| client.release_held(request).await).await?;
        self.all(answer.released)
    }

    pub(super) fn hub_failover_in(&self, failover: Option<v1::HubFailover>) -> Outcome<HubFailover> {
        Ok(self.optional(failover)?.unwrap_or_default())
    }

    fn failover_in(&self, failover: Option<v1::FailoverView>) -> Outcome<FailoverView> {
        self.optional(failover)?.ok_or_else(|| incomplete(&self.address, "failover"))
    }
}
