//! The demo's own application: the shop of `deploy/examples/shop`, carried in the binary so that the demo needs no files.

use anyhow::Context as _;
use nave_common::application::Application;
use nave_common::bundle::{self, Bundle};
use nave_common::document::{self, Document};
use nave_common::source::{BundleSource, Source};

macro_rules! manifests {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../../deploy/examples/shop/manifests/", $name)))),*]
    };
}

const APPLICATION: &str = include_str!("../../../deploy/examples/shop/application.yaml");
const MANIFESTS: [(&str, &str); 14] = manifests![
    "ads.yaml",
    "cache.yaml",
    "cart.yaml",
    "catalog.yaml",
    "checkout.yaml",
    "config.yaml",
    "currency.yaml",
    "email.yaml",
    "frontend.yaml",
    "ingress.yaml",
    "payment.yaml",
    "recommendation.yaml",
    "secret.yaml",
    "shipping.yaml",
];

/// The shop and its bundle.
pub(super) fn application() -> anyhow::Result<(Application, Bundle)> {
    let bundle = bundle::load_manifests(&MANIFESTS).context("the shop's manifests")?;
    let documents = document::load(APPLICATION, "shop")?;
    let shop = documents.into_iter().find_map(|located| match located.value {
        Document::Application(application) => Some(*application),
        Document::Cluster(_) => None,
    });
    let mut shop = shop.context("the shop's document holds no application")?;
    let source =
        BundleSource { path: Some("deploy/examples/shop/manifests".into()), digest: Some(bundle.digest()) };
    shop.spec.source = Source::Bundle(source);
    Ok((shop, bundle))
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_manifest_of_the_example_is_carried() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/examples/shop/manifests");
        let mut found: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        found.sort();
        assert_eq!(found, super::MANIFESTS.map(|(name, _)| name));
        assert!(super::application().is_ok());
    }
}
