//! Documents: the resources that `nave apply` takes, told apart by their `kind`.

use serde::{Deserialize, Serialize};

use crate::application::Application;
use crate::cluster::Cluster;

/// A document that `nave apply` takes and `nave get -o yaml` prints.
#[derive(Debug, Clone, PartialEq)]
pub enum Document {
    /// `kind: Application`.
    Application(Box<Application>),
    /// `kind: Cluster`.
    Cluster(Box<Cluster>),
}

/// The two fields that say what a document is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TypeMeta {
    /// [`crate::API_VERSION`] in documents of Nave; it may be left out of those after the first of a file.
    #[serde(default)]
    pub api_version: Option<String>,
    /// `Application` or `Cluster`.
    #[serde(default)]
    pub kind: Option<String>,
}
