//! `nave demo`: the main job on one machine.

use crate::args::{Demo, Global};
use crate::demo;
use crate::exit::{Exit, Failure, Outcome, told};

pub(super) async fn run(global: &Global, verb: &Demo) -> Outcome {
    let options = demo::Options {
        files: verb.files.clone(),
        kubeconfigs: verb.kubeconfigs.clone(),
        hold: verb.hold,
        json: verb.json,
        quiet: global.quiet,
    };
    let done = Box::pin(demo::run(&options)).await;
    let well = done.map_err(|error| Failure::failed(told(error.as_ref())))?;
    Ok(if well { Exit::Done } else { Exit::Failed })
}
