//! `nave doctor`: looks at everything between this machine and the fleet, and says what is wrong and what to do.

mod checks;

use std::os::unix::fs::PermissionsExt as _;

use checks::{Check, Result};
use nave_common::context::Context;
use nave_common::identity;
use nave_common::runtime::tls;
use serde_json::json;

use crate::args::{ChangeFormat, Doctor, Global};
use crate::client::{Hub, HubInfo};
use crate::context;
use crate::exit::{Exit, Outcome};
use crate::output::{Printer, Tone, as_resource, json_text, now, yaml_text};

pub(super) async fn run(global: &Global, verb: &Doctor, printer: &mut Printer) -> Outcome {
    let checks = examine(global).await?;
    let worst = checks.iter().map(|check| check.result).max().unwrap_or(Result::Ok);
    let document = || as_resource("Doctor", &json!({"result": worst, "checks": checks}));
    match verb.output {
        ChangeFormat::Json => printer.raw(&json_text(&document()?))?,
        ChangeFormat::Yaml => printer.raw(&yaml_text(&document()?)?)?,
        ChangeFormat::Text | ChangeFormat::Name => {
            for check in &checks {
                let (word, tone) = match check.result {
                    Result::Ok => ("ok  ", Tone::Good),
                    Result::Warn => ("warn", Tone::Busy),
                    Result::Fail => ("fail", Tone::Bad),
                };
                let todo = if check.todo.is_empty() { String::new() } else { format!("; {}", check.todo) };
                printer.toned(tone, &format!("{word}  {}: {}{todo}", check.check, check.found))?;
            }
        }
    }
    Ok(if worst == Result::Fail { Exit::Failed } else { Exit::Done })
}

async fn examine(global: &Global) -> Outcome<Vec<Check>> {
    let mut checks = Vec::new();
    let Some(context) = own(global, &mut checks)? else { return Ok(checks) };
    let mut reached: Option<(Hub, HubInfo)> = None;
    let mut unreached = Vec::new();
    for address in &context.addresses {
        let name = format!("hub at {address}");
        let only = Context { addresses: vec![address.clone()], ..context.clone() };
        let asked = async {
            let hub = Hub::of(&only, global.request_timeout()).await?;
            let before = now()?;
            let info = hub.info().await?;
            Ok::<_, crate::exit::Failure>((hub, info, before, now()?))
        };
        match asked.await {
            Ok((hub, info, before, after)) => {
                checks.push(Check::ok(&name, "it answers, and TLS verifies"));
                if reached.is_none() {
                    checks.push(checks::clock(info.now, before, after));
                    reached = Some((hub, info));
                }
            }
            Err(failure) => unreached.push(Check::fail(&name, failure.to_string(), "")),
        }
    }
    if reached.is_some() {
        // One address that answers is enough to work with.
        unreached.iter_mut().for_each(|check| check.result = Result::Warn);
    }
    checks.append(&mut unreached);
    if let Some((hub, info)) = reached {
        checks.push(checks::versions(env!("CARGO_PKG_VERSION"), &info.version));
        checks.extend(checks::hub(&info));
        match hub.clusters(None).await {
            // The hub's clock wrote the times that are compared.
            Ok(clusters) => {
                let now = info.now.map_or_else(now, Ok)?;
                checks.extend(checks::clusters(&clusters, &info.version, now));
            }
            Err(failure) => checks.push(Check::fail("clusters", failure.to_string(), "")),
        }
    }
    Ok(checks)
}

/// What can be looked at without a hub: the file of contexts, and the certificate of the chosen one, which is returned.
fn own(global: &Global, checks: &mut Vec<Check>) -> Outcome<Option<Context>> {
    let path = context::path()?;
    if let Ok(found) = std::fs::metadata(&path) {
        checks.push(checks::permissions(found.permissions().mode()));
    }
    let context = match context::chosen(global) {
        Ok(context) => context,
        Err(failure) => {
            checks.push(Check::fail("context", failure.to_string(), ""));
            return Ok(None);
        }
    };
    checks.push(Check::ok("context", format!("{:?} in {}", context.name, path.display())));
    let unreadable = |why: String| Check::fail("certificate", why, "take a new context: nave context import");
    let certificates = tls::certificates(&context.certificate);
    checks.push(match certificates.as_deref().map(<[_]>::first) {
        Ok(Some(certificate)) => match identity::read_certificate(certificate) {
            Ok(read) => checks::certificate(read.not_before, read.not_after, now()?),
            Err(error) => unreadable(error.to_string()),
        },
        Ok(None) => unreadable("the context holds none".to_owned()),
        Err(error) => unreadable(error.to_string()),
    });
    Ok(Some(context))
}
