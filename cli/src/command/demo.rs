//! `nave demo`: the main job on one machine.

use crate::args::Demo;
use crate::demo;
use crate::exit::{Exit, Failure, Outcome};

pub(super) async fn run(verb: Demo) -> Outcome {
    let options =
        demo::Options { files: verb.files, kubeconfigs: verb.kubeconfigs, hold: verb.hold, json: verb.json };
    let well = Box::pin(demo::run(&options)).await.map_err(|error| Failure::failed(format!("{error:#}")))?;
    Ok(if well { Exit::Done } else { Exit::Failed })
}
