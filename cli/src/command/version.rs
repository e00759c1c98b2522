//! `nave version`.

use serde_json::json;

use crate::args::{ChangeFormat, Global, Version};
use crate::client::Hub;
use crate::exit::{Exit, Outcome};
use crate::output::{Printer, ago, as_resource, json_text, now, yaml_text};

const OWN: &str = env!("CARGO_PKG_VERSION");

pub(super) async fn run(global: &Global, version: &Version, printer: &mut Printer) -> Outcome {
    let is_text = matches!(version.output, ChangeFormat::Text | ChangeFormat::Name);
    if is_text {
        printer.line(&format!("nave {OWN}"))?;
    }
    if version.client {
        if !is_text {
            document(version.output, &json!({"client": OWN}), printer)?;
        }
        return Ok(Exit::Done);
    }
    printer.flush()?;
    let hub = Hub::connect(global).await?.info().await?;
    if !is_text {
        document(version.output, &json!({"client": OWN, "hub": hub}), printer)?;
        return Ok(Exit::Done);
    }
    printer.line(&format!(
        "hub {} at {}: term {}, generation {}, {} applications, {} clusters, started {}",
        hub.version,
        hub.address,
        hub.generation.term,
        hub.generation,
        hub.application_count,
        hub.cluster_count,
        ago(hub.started_at, now()?)
    ))?;
    Ok(Exit::Done)
}

fn document(format: ChangeFormat, value: &serde_json::Value, printer: &mut Printer) -> Outcome<()> {
    let document = as_resource("Version", value)?;
    let text = if format == ChangeFormat::Json { json_text(&document) } else { yaml_text(&document)? };
    printer.raw(&text)?;
    Ok(())
}
