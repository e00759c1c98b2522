//! `nave failover plan` and `nave failover drill`.

use nave_common::failover::{FailoverPlan, PretendedLoss};
use serde_json::{Value, json};

use crate::args::{FailoverLoss, Format, Global};
use crate::client::Hub;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Printer, Row as _, Shape, Tone, as_resource, json_text, now, show, yaml_text};

pub(super) async fn plan(global: &Global, loss: &FailoverLoss, printer: &mut Printer) -> Outcome {
    let plan = ask(global, loss).await?;
    print(&plan, loss, "If these were lost", printer)?;
    Ok(Exit::Done)
}

/// As [`plan`], and fails where something would not survive.
pub(super) async fn drill(global: &Global, loss: &FailoverLoss, printer: &mut Printer) -> Outcome {
    let plan = ask(global, loss).await?;
    print(&plan, loss, "Exercise: these are lost", printer)?;
    if let Some(frozen) = &plan.frozen {
        let problem = format!("in this exercise the hub would freeze: {}", frozen.reason);
        return Err(Failure::new(Exit::Degraded, problem).hint("nothing would move until a person thaws it"));
    }
    let homeless: Vec<&str> = plan
        .moves
        .iter()
        .filter(|planned| planned.to.is_none())
        .map(|planned| planned.application.name.as_str())
        .collect();
    if homeless.is_empty() {
        printer.hint("exercise passed: everything has a place to go");
        return Ok(Exit::Done);
    }
    let problem = format!(
        "in this exercise {} of {} would have no place to go: {}",
        homeless.len(),
        plan.moves.len(),
        homeless.join(", ")
    );
    Err(Failure::new(Exit::Degraded, problem).hint("add clusters or room, or widen their placement"))
}

async fn ask(global: &Global, loss: &FailoverLoss) -> Outcome<FailoverPlan> {
    let pretended = PretendedLoss { clusters: loss.clusters.clone(), regions: loss.regions.clone() };
    let hub = Hub::connect(global).await?;
    hub.plan_failover(&pretended).await
}

fn print(plan: &FailoverPlan, loss: &FailoverLoss, opening: &str, printer: &mut Printer) -> Outcome<()> {
    let shape = Shape { with_project: true, now: now()?, ..Shape::default() };
    match loss.output {
        Format::Table | Format::Wide => {
            if !printer.is_quiet() {
                summary(plan, opening, printer)?;
            }
            show(printer, &plan.moves, loss.output, shape, false)
        }
        Format::Name => show(printer, &plan.moves, loss.output, shape, false),
        Format::Json | Format::Yaml => {
            let document = document(plan)?;
            let text = if loss.output == Format::Json { json_text(&document) } else { yaml_text(&document)? };
            Ok(printer.raw(&text)?)
        }
    }
}

fn summary(plan: &FailoverPlan, opening: &str, printer: &mut Printer) -> Outcome<()> {
    let lost: Vec<&str> = plan.lost.iter().map(|name| name.as_str()).collect();
    let homeless = plan.moves.iter().filter(|planned| planned.to.is_none()).count();
    printer.line(&format!("{opening}: {}", lost.join(", ")))?;
    match (plan.moves.len(), homeless) {
        (0, _) => printer.line("nothing would move")?,
        (all, 0) => printer.line(&format!("{all} would move"))?,
        (all, homeless) => {
            printer.line(&format!("{} would move, {homeless} would have no place to go", all - homeless))?;
        }
    }
    if let Some(frozen) = &plan.frozen {
        printer.toned(Tone::Busy, &format!("but not by itself: {}", frozen.reason))?;
    }
    if !plan.moves.is_empty() {
        printer.line("")?;
    }
    Ok(())
}

/// The plan with its moves as they are listed elsewhere.
fn document(plan: &FailoverPlan) -> Outcome<Value> {
    let moves = plan.moves.iter().map(|planned| {
        let mut document = planned.document()?;
        if let Value::Object(fields) = &mut document {
            fields.remove("apiVersion");
            fields.remove("kind");
        }
        Ok(document)
    });
    let moves = moves.collect::<Outcome<Vec<_>>>()?;
    let mut document = json!({"lost": plan.lost, "moves": moves});
    if let (Some(frozen), Value::Object(fields)) = (&plan.frozen, &mut document) {
        fields.insert("frozen".to_owned(), json!(frozen));
    }
    as_resource("FailoverPlan", &document)
}
