//! From files to what is to be applied: documents of Nave, with the manifests they name; or plain Kubernetes manifests
//! with an application made around them. Everything is checked here, before a hub hears of any of it.

mod bundle;
mod documents;
mod files;

use std::path::{Path, PathBuf};

use nave_common::application::{Application, ApplicationSpec, DEFAULT_REVISION_HISTORY_LIMIT, Sync};
use nave_common::bundle::Bundle;
use nave_common::cluster::Cluster;
use nave_common::failover::Failover;
use nave_common::metadata::ApplicationMetadata;
use nave_common::name::{ApplicationKey, ApplicationName, ProjectName};
use nave_common::placement::Placement;
use nave_common::source::{BundleSource, Source};

use crate::args::RawManifests;
use crate::exit::{Failure, Outcome};

/// One thing that is to be applied.
#[derive(Debug)]
pub(crate) enum Loaded {
    Application {
        application: Box<Application>,
        /// The manifests that go with it, where they were read from files and have to be uploaded.
        bundle: Option<Bundle>,
    },
    Cluster(Box<Cluster>),
}

/// Reads what files hold. `project` is for applications that name none.
pub(crate) fn load(files: &[PathBuf], raw: &RawManifests, project: &ProjectName) -> Outcome<Vec<Loaded>> {
    match &raw.app {
        Some(name) => raw_manifests(files, name, raw, project).map(|loaded| vec![loaded]),
        None => documents::load(files, project),
    }
}

/// Reads the documents that files hold.
pub(crate) fn load_documents(files: &[PathBuf], project: &ProjectName) -> Outcome<Vec<Loaded>> {
    documents::load(files, project)
}

fn raw_manifests(
    files: &[PathBuf],
    name: &ApplicationName,
    raw: &RawManifests,
    project: &ProjectName,
) -> Outcome<Loaded> {
    let key = ApplicationKey::new(project.clone(), name.clone());
    let (mut application, bundle) = around_manifests(key, files)?;
    application.spec.namespace.clone_from(&raw.namespace);
    application.spec.create_namespace = raw.create_namespace;
    application.spec.placement.clusters = raw.selector.clone().unwrap_or_default();
    application.check().map_err(Failure::failed)?;
    Ok(Loaded::Application { application: Box::new(application), bundle: Some(bundle) })
}

/// An application around plain manifests, with the defaults of everything else.
pub(crate) fn around_manifests(key: ApplicationKey, files: &[PathBuf]) -> Outcome<(Application, Bundle)> {
    let bundle = bundle::read(files)?;
    let paths: Vec<String> = files.iter().map(|path| shown(path)).collect();
    let source = BundleSource { path: Some(paths.join(",")), digest: Some(bundle.digest()) };
    let spec = ApplicationSpec {
        source: Source::Bundle(source),
        namespace: None,
        create_namespace: false,
        placement: Placement::default(),
        overrides: Vec::new(),
        sync: Sync::default(),
        failover: Failover::default(),
        revision_history_limit: DEFAULT_REVISION_HISTORY_LIMIT,
    };
    Ok((Application { metadata: ApplicationMetadata::new(key), spec, status: None }, bundle))
}

/// How a path is called in messages and in what the hub shows.
fn shown(path: &Path) -> String {
    if files::is_stdin(path) { "stdin".to_owned() } else { path.display().to_string() }
}
