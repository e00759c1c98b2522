//! `nave token`. A new token's text goes to standard output and nowhere else.

use super::labels;
use crate::args::{CreateToken, Global, Token, TokenVerb};
use crate::client::Hub;
use crate::exit::{Exit, Outcome};
use crate::output::{Printer, Shape, now, show};

pub(super) async fn run(global: &Global, token: &Token, printer: &mut Printer) -> Outcome {
    match &token.verb {
        TokenVerb::Create(create) => self::create(global, create, printer).await,
        TokenVerb::List { output } => {
            let tokens = Hub::connect(global).await?.tokens().await?;
            let shape = Shape { now: now()?, ..Shape::default() };
            show(printer, &tokens, *output, shape, false)?;
            Ok(Exit::Done)
        }
        TokenVerb::Delete { ids } => {
            let hub = Hub::connect(global).await?;
            for id in ids {
                hub.delete_token(id).await?;
                if !printer.is_quiet() {
                    printer.line(&format!("token/{id} deleted"))?;
                }
            }
            Ok(Exit::Done)
        }
    }
}

async fn create(global: &Global, create: &CreateToken, printer: &mut Printer) -> Outcome {
    let labels = labels::parse("--label", create.labels.iter().map(String::as_str))?;
    let hub = Hub::connect(global).await?;
    let new = hub.create_token(create.ttl.0, create.uses, create.cluster.as_ref(), &labels).await?;
    printer.raw(&new.text)?;
    printer.raw("\n")?;
    printer.flush()?;
    let clusters =
        if create.uses == 1 { "one cluster".to_owned() } else { format!("{} clusters", create.uses) };
    let (id, ttl) = (&new.token.id, create.ttl);
    printer.hint(&format!("token {id} lets {clusters} join within {ttl}; it is shown only this once"));
    let name = new.token.cluster.as_str();
    let name = if name.is_empty() { "NAME" } else { name };
    printer.hint(&format!("next, with the kubeconfig of the cluster: nave join --name {name} --token TOKEN"));
    Ok(Exit::Done)
}
