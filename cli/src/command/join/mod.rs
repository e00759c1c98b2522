//! `nave join`: prints what a cluster needs to come into the fleet, and applies it.

mod kubernetes;
mod manifests;

use std::net::IpAddr;

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
    let token = TokenText::parse(&join.token).map_err(|error| {
        Failure::usage(format!("--token: {error}")).hint("make one with `nave token create`")
    })?;
    if token.addresses.iter().all(|address| is_loopback(address)) {
        printer.warning(&format!(
            "the token says that the hub is at {}, where no pod can reach it: give nave-hub an --address that the \
             cluster can reach, and make a new token",
            token.addresses.join(", ")
        ));
    }
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

/// Whether an address, `HOST:PORT`, is one of the machine that asks for it.
fn is_loopback(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_own = |ip: IpAddr| ip.is_loopback() || ip.is_unspecified();
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(is_own)
}

fn hints(join: &Join, printer: &Printer) {
    let name = &join.name;
    printer.hint(&format!("see it come: nave get cluster {name} --watch"));
    printer.hint(&format!("if it does not: kubectl -n {SYSTEM_NAMESPACE} logs deployment/nave-agent"));
    printer.hint(&format!(
        "or, where the pod does not start: kubectl -n {SYSTEM_NAMESPACE} describe pod -l \
         app.kubernetes.io/name=nave-agent"
    ));
    let labels: String = join.labels.iter().map(|label| format!(" --label {label}")).collect();
    printer.hint(&format!(
        "or run the agent by hand, in or outside of the cluster: nave-agent --name {name}{labels} --token-file FILE \
         --kubeconfig FILE --data-dir FOLDER"
    ));
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn addresses_of_the_own_machine_are_told_from_others() {
        for own in ["127.0.0.1:7443", "localhost:7443", "[::1]:7443", "0.0.0.0:7443"] {
            assert!(is_loopback(own), "{own}");
        }
        for other in ["10.0.0.1:7443", "hub.example.com:7443", "[2001:db8::1]:7443"] {
            assert!(!is_loopback(other), "{other}");
        }
    }
}
