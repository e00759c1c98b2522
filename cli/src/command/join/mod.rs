//! `nave join`: prints what a cluster needs to come into the fleet, and applies it.

mod kubernetes;
mod manifests;

use nave_common::SYSTEM_NAMESPACE;
use nave_common::manifest::masked;
use nave_common::token::TokenText;
use serde_json::Value;

use super::labels;
use crate::args::Join;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Printer, yaml_text};
use kubernetes::Kubernetes;
use manifests::Wanted;

pub(super) async fn run(join: &Join, printer: &mut Printer) -> Outcome {
    let labels = labels::parse("--label", join.labels.iter().map(String::as_str))?;
    // What is no token is refused before anything of it reaches the cluster; the error does not quote it.
    TokenText::parse(&join.token).map_err(|error| {
        Failure::usage(format!("--token: {error}")).hint("make one with `nave token create`")
    })?;
    let wanted = Wanted {
        token: &join.token,
        name: &join.name,
        labels: &labels,
        image: &join.image,
        volume_size: (!join.no_volume).then_some(join.volume_size.as_str()),
    };
    let manifests = wanted.manifests();
    if join.print {
        // What is printed is to be applied, so the secret is in it.
        print_all(&manifests, printer)?;
        return Ok(Exit::Done);
    }
    let cluster = Kubernetes::connect(join.kubeconfig.as_deref(), join.kube_context.as_deref()).await?;
    printer.line(&format!(
        "# This brings the cluster at {} into the fleet as {}:",
        cluster.address(),
        join.name
    ))?;
    print_all(&manifests.iter().map(masked).collect::<Vec<_>>(), printer)?;
    printer.line("---")?;
    printer.flush()?;
    for manifest in &manifests {
        let done = cluster.apply(manifest, join.dry_run).await?;
        let mark = if join.dry_run { " (dry run)" } else { "" };
        printer.line(&format!("# {} {done}{mark}", kubernetes::name(manifest)))?;
        printer.flush()?;
    }
    if !join.dry_run {
        hints(join, printer);
    }
    Ok(Exit::Done)
}

fn print_all(manifests: &[Value], printer: &mut Printer) -> Outcome<()> {
    for (index, manifest) in manifests.iter().enumerate() {
        let mark = if index == 0 { "" } else { "---\n" };
        printer.raw(&format!("{mark}{}", yaml_text(manifest)?))?;
    }
    Ok(())
}

fn hints(join: &Join, printer: &Printer) {
    let name = &join.name;
    printer.hint(&format!("see it come: nave get cluster {name} --watch"));
    printer.hint(&format!("if it does not: kubectl -n {SYSTEM_NAMESPACE} logs deployment/nave-agent"));
    let labels: String = join.labels.iter().map(|label| format!(" --label {label}")).collect();
    printer.hint(&format!(
        "or run the agent by hand, in or outside of the cluster: nave-agent --name {name}{labels} --token-file FILE \
         --kubeconfig FILE --data-dir FOLDER"
    ));
}
