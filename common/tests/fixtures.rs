//! Manifests from the world outside load into bundles. They stand beside the repository and are not part of it; where
//! they are missing, the tests say so and pass.

#![allow(clippy::unwrap_used, reason = "a test file, and clippy knows only test functions")]

use std::path::{Path, PathBuf};

use nave_common::bundle::{Bundle, load_manifests};
use nave_common::overrides::Override;
use nave_common::render::{Inputs, render};

/// The YAML files of a folder of fixtures, by name; `None` where the fixtures are not there.
fn files(folder: &str) -> Option<Vec<(String, String)>> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/fixtures");
    if !fixtures.is_dir() {
        eprintln!("skipped: no fixtures in {}", fixtures.display());
        return None;
    }
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(fixtures.join(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    paths.sort();
    let read = |path: PathBuf| (path.display().to_string(), std::fs::read_to_string(path).unwrap());
    Some(paths.into_iter().map(read).collect())
}

/// Loads a folder, and checks what must hold of every bundle.
fn load(folder: &str) -> Option<Bundle> {
    let bundle = load_manifests(&files(folder)?).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(Bundle::decode(&bundle.encode()).unwrap(), bundle, "{folder}");
    let override_ = Override::default();
    let rendering = render(&bundle, Inputs::plain(&override_)).unwrap();
    assert_eq!(rendering.manifests, bundle.manifests(), "{folder}");
    // What was read can be printed and read again.
    for manifest in bundle.manifests() {
        let text = nave_common::yaml::to_string(manifest.object()).unwrap();
        let again = load_manifests(&[("printed.yaml", text)]).unwrap();
        assert_eq!(&again.manifests()[0], manifest);
    }
    Some(bundle)
}

#[test]
fn the_online_boutique_loads_and_requests_what_it_says() {
    let Some(bundle) = load("online-boutique") else { return };
    assert!(bundle.manifests().len() > 30, "{}", bundle.manifests().len());
    let requests = bundle.requests();
    assert_eq!(requests.pods, 12);
    assert!(requests.cpu_millicores > 1000 && requests.memory_bytes > 1 << 30, "{requests:?}");
}

#[test]
fn the_guestbook_loads() {
    let Some(bundle) = load("guestbook/guestbook") else { return };
    assert_eq!(bundle.manifests().len(), 2);
}

#[test]
fn the_crds_of_the_prometheus_operator_load() {
    let Some(bundle) = load("kube-prometheus-setup") else { return };
    assert_eq!(bundle.manifests().len(), 11);
}

#[test]
fn the_crds_of_the_gateway_api_load() {
    let Some(bundle) = load("gateway-api-crds") else { return };
    assert!(bundle.manifests().len() >= 11, "{}", bundle.manifests().len());
}

#[test]
fn a_folder_of_kustomize_says_what_to_do() {
    let Some(files) = files("podinfo/kustomize") else { return };
    let error = load_manifests(&files).unwrap_err().to_string();
    assert!(error.contains("kustomization.yaml: steers Kustomize"), "{error}");
}

#[test]
fn a_helm_template_says_what_to_do() {
    let Some(files) = files("podinfo/chart/templates") else { return };
    let error = load_manifests(&files).unwrap_err().to_string();
    assert!(error.contains("`helm template`"), "{error}");
}
