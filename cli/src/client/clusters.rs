//! Clusters.

use nave_common::cluster::Cluster;
use nave_common::name::{ApplicationKey, ClusterName};
use nave_common::selector::Selector;
use nave_proto::v1;

use super::error::incomplete;
use super::types::{Applied, Verb};
use super::{Hub, PAGE_SIZE};
use crate::exit::Outcome;

impl Hub {
    pub(crate) async fn apply_cluster(&self, cluster: &Cluster, dry_run: bool) -> Outcome<Applied<Cluster>> {
        let request = v1::ApplyClusterRequest { cluster: Some(cluster.into()), dry_run };
        let mut client = self.client.clone();
        let answer = self.unary(request, async |request| client.apply_cluster(request).await).await?;
        Ok(Applied {
            verb: Verb::read(answer.outcome, &self.address)?,
            resource: self.cluster_in(answer.cluster)?,
            change_id: answer.change_id,
            warnings: Vec::new(),
            placement: None,
        })
    }

    pub(crate) async fn cluster(&self, name: &ClusterName) -> Outcome<Cluster> {
        let request = v1::GetClusterRequest { name: name.to_string() };
        let mut client = self.client.clone();
        let answer = self.unary(request, async |request| client.get_cluster(request).await).await?;
        self.cluster_in(answer.cluster)
    }

    pub(crate) async fn clusters(&self, selector: Option<&Selector>) -> Outcome<Vec<Cluster>> {
        self.pages(async |page_token| {
            let request = v1::ListClustersRequest {
                selector: selector.map(Into::into),
                page_size: PAGE_SIZE,
                page_token,
            };
            let mut client = self.client.clone();
            let answer = self.unary(request, async |request| client.list_clusters(request).await).await?;
            Ok((self.all(answer.clusters)?, answer.next_page_token))
        })
        .await
    }

    /// Takes a cluster out of the fleet. The answer names the applications that stood there.
    pub(crate) async fn delete_cluster(
        &self,
        name: &ClusterName,
        force: bool,
        dry_run: bool,
    ) -> Outcome<(Vec<ApplicationKey>, String)> {
        let request = v1::DeleteClusterRequest { name: name.to_string(), force, dry_run };
        let mut client = self.client.clone();
        let answer = self.unary(request, async |request| client.delete_cluster(request).await).await?;
        Ok((self.all(answer.applications)?, answer.change_id))
    }

    fn cluster_in(&self, cluster: Option<v1::Cluster>) -> Outcome<Cluster> {
        self.optional(cluster)?.ok_or_else(|| incomplete(&self.address, "cluster"))
    }
}
