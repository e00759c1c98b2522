//! `nave render`: the manifests of one cluster; from files and labels alone, or by the hub.

use nave_common::application::Application;
use nave_common::bundle::Bundle;
use nave_common::manifest::masked;
use nave_common::overrides::Override;
use nave_common::render::{self, Inputs};
use nave_common::source::Source;
use serde_json::Value;

use super::{labels, target};
use crate::args::{Global, ManifestFormat, Render};
use crate::client::Hub;
use crate::exit::{Exit, Failure, Outcome};
use crate::load::{self, Loaded};
use crate::output::{Printer, json_text, yaml_text};

pub(super) async fn run(global: &Global, render: &Render, printer: &mut Printer) -> Outcome {
    let manifests = match (&render.cluster, &render.labels) {
        (None, Some(labels)) => here(render, labels)?,
        (Some(cluster), _) if render.files.is_empty() => {
            if render.what.is_empty() {
                return Err(Failure::usage("expected an application, or -f FILE"));
            }
            let key = target::one_application(&render.what, &render.project.project)?;
            Hub::connect(global).await?.render_key(&key, cluster).await?.manifests
        }
        (Some(cluster), _) => {
            let loaded = load::load_documents(&render.files, &render.project.project)?;
            let hub = Hub::connect(global).await?;
            let mut manifests = Vec::new();
            for (application, bundle) in applications(&loaded) {
                if let Some(bundle) = bundle {
                    hub.upload(bundle).await?;
                }
                manifests.extend(hub.render_application(application, cluster).await?.manifests);
            }
            manifests
        }
        (None, None) => {
            return Err(Failure::usage("expected --cluster NAME, or -f FILE --labels KEY=VALUE,…"));
        }
    };
    print(&manifests, render.output, printer)?;
    Ok(Exit::Done)
}

/// Renders on this machine, with the function that hub and agent use.
fn here(render: &Render, typed: &str) -> Outcome<Vec<Value>> {
    let pairs = typed.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    let labels = labels::parse("--labels", pairs)?;
    let loaded = load::load_documents(&render.files, &render.project.project)?;
    let mut manifests = Vec::new();
    for (application, bundle) in applications(&loaded) {
        let named = |error: &dyn std::fmt::Display| {
            Failure::failed(format!("application {}: {error}", application.key()))
        };
        let inline = match (&application.spec.source, bundle) {
            (Source::Inline(inline), _) => {
                Some(Bundle::from_objects(inline.manifests.iter().cloned()).map_err(|error| named(&error))?)
            }
            (Source::Bundle(_), Some(_)) => None,
            (Source::Bundle(_), None) => {
                return Err(
                    named(&"its manifests are on the hub alone").hint("render it with --cluster NAME")
                );
            }
        };
        let Some(bundle) = inline.as_ref().or(bundle) else { continue };
        let override_ = Override::for_cluster(&application.spec.overrides, &labels);
        let inputs = Inputs {
            namespace: application.spec.namespace.as_ref(),
            create_namespace: application.spec.create_namespace,
            ..Inputs::plain(&override_)
        };
        let rendering = render::render(bundle, inputs).map_err(|error| named(&error))?;
        manifests.extend(rendering.manifests.iter().map(|manifest| manifest.object().clone()));
    }
    Ok(manifests)
}

fn applications(loaded: &[Loaded]) -> impl Iterator<Item = (&Application, Option<&Bundle>)> {
    loaded.iter().filter_map(|one| match one {
        Loaded::Application { application, bundle } => Some((application.as_ref(), bundle.as_ref())),
        Loaded::Cluster(_) => None,
    })
}

fn print(manifests: &[Value], format: ManifestFormat, printer: &mut Printer) -> Outcome<()> {
    let shown: Vec<Value> = manifests.iter().map(masked).collect();
    match format {
        ManifestFormat::Yaml => {
            for (index, manifest) in shown.iter().enumerate() {
                let mark = if index == 0 { "" } else { "---\n" };
                printer.raw(&format!("{mark}{}", yaml_text(manifest)?))?;
            }
        }
        ManifestFormat::Json => {
            let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": shown});
            printer.raw(&json_text(&list))?;
        }
    }
    Ok(())
}
