//! `nave diff`: what an apply would change, as unified diffs, one for each object and group of clusters.

use nave_common::cluster::Cluster;
use serde_json::{Value, json};
use similar::{ChangeTag, TextDiff};

use crate::args::{ChangeFormat, Diff, Global};
use crate::client::{ClusterDiff, Hub, ObjectDiff};
use crate::exit::{Exit, Outcome};
use crate::load::{self, Loaded};
use crate::output::{Printer, Tone, application_name, as_resource, json_text, yaml_text};

/// How many clusters are named before the rest is counted.
const NAMED_CLUSTERS: usize = 5;

pub(super) async fn run(global: &Global, diff: &Diff, printer: &mut Printer) -> Outcome {
    let loaded = load::load(&diff.files.files, &diff.raw, &diff.project.project)?;
    let hub = Hub::connect(global).await?;
    let mut found = Vec::new();
    for one in &loaded {
        match one {
            Loaded::Application { application, bundle } => {
                if let Some(bundle) = bundle {
                    // Stored, but nothing runs of it: the hub drops what nothing refers to.
                    hub.upload(bundle).await?;
                }
                let name = format!("application/{}", application_name(&application.key()));
                let diffs = hub.diff_application(application, &diff.cluster).await;
                found.push((name.clone(), diffs.map_err(|failure| failure.about(&name))?));
            }
            Loaded::Cluster(cluster) => {
                let name = format!("cluster/{}", cluster.metadata.name);
                found.push((name.clone(), cluster_diff(&hub, cluster).await?));
            }
        }
    }
    found.retain(|(_, diffs)| diffs.iter().any(|diff| !diff.objects.is_empty()));
    match diff.output {
        ChangeFormat::Text => {
            for (name, diffs) in &found {
                print(name, diffs, diff.context_lines, printer)?;
            }
        }
        ChangeFormat::Name => {
            for (name, _) in &found {
                printer.line(name)?;
            }
        }
        ChangeFormat::Json | ChangeFormat::Yaml => {
            let items: Vec<Value> =
                found.iter().map(|(name, diffs)| json!({"name": name, "diffs": diffs})).collect();
            let document = as_resource("Diff", &json!({"items": items}))?;
            let text =
                if diff.output == ChangeFormat::Json { json_text(&document) } else { yaml_text(&document)? };
            printer.raw(&text)?;
        }
    }
    Ok(if diff.exit_code && !found.is_empty() { Exit::Failed } else { Exit::Done })
}

/// A cluster is no object of Kubernetes; its own document is compared.
async fn cluster_diff(hub: &Hub, wanted: &Cluster) -> Outcome<Vec<ClusterDiff>> {
    let present = hub.cluster(&wanted.metadata.name).await?;
    let document = |cluster: &Cluster| {
        let mut taken =
            json!({"labels": cluster.metadata.labels, "annotations": cluster.metadata.annotations});
        taken["taints"] = json!(cluster.spec.taints);
        taken["weight"] = json!(cluster.spec.weight);
        taken
    };
    let (before, after) = (document(&present), document(wanted));
    if before == after {
        return Ok(Vec::new());
    }
    let object = nave_common::manifest::ObjectKey {
        group: "nave.dev".into(),
        kind: "Cluster".into(),
        namespace: None,
        name: wanted.metadata.name.to_string(),
    };
    let objects = vec![ObjectDiff { object, before: Some(before), after: Some(after) }];
    Ok(vec![ClusterDiff { clusters: vec![wanted.metadata.name.to_string()], objects }])
}

fn print(name: &str, diffs: &[ClusterDiff], context_lines: usize, printer: &mut Printer) -> Outcome<()> {
    for diff in diffs.iter().filter(|diff| !diff.objects.is_empty()) {
        printer.toned(Tone::Heading, &format!("{name} in {}", clusters_text(&diff.clusters)))?;
        for object in &diff.objects {
            print_object(object, context_lines, printer)?;
        }
        printer.line("")?;
    }
    Ok(())
}

fn clusters_text(clusters: &[String]) -> String {
    let named = clusters.iter().take(NAMED_CLUSTERS).map(String::as_str).collect::<Vec<_>>().join(", ");
    match clusters.len().saturating_sub(NAMED_CLUSTERS) {
        0 => named,
        rest => format!("{named} and {rest} more"),
    }
}

fn print_object(object: &ObjectDiff, context_lines: usize, printer: &mut Printer) -> Outcome<()> {
    let side = |value: &Option<Value>| value.as_ref().map_or_else(|| Ok(String::new()), yaml_text);
    let (before, after) = (side(&object.before)?, side(&object.after)?);
    let title =
        |value: &Option<Value>| if value.is_some() { object.object.to_string() } else { "nothing".into() };
    printer.toned(Tone::Heading, &format!("--- {}", title(&object.before)))?;
    printer.toned(Tone::Heading, &format!("+++ {}", title(&object.after)))?;
    let text = TextDiff::from_lines(&before, &after);
    for hunk in text.unified_diff().context_radius(context_lines).iter_hunks() {
        printer.toned(Tone::Busy, &hunk.header().to_string())?;
        for change in hunk.iter_changes() {
            let (sign, tone) = match change.tag() {
                ChangeTag::Delete => ('-', Tone::Bad),
                ChangeTag::Insert => ('+', Tone::Good),
                ChangeTag::Equal => (' ', Tone::Plain),
            };
            let line = change.value();
            printer.toned(tone, &format!("{sign}{}", line.strip_suffix('\n').unwrap_or(line)))?;
        }
    }
    Ok(())
}
