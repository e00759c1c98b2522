//! Which hub is meant: the file of contexts, and the choice among them.

use std::env;
use std::path::{Path, PathBuf};

use nave_common::context::{Context, Contexts};

use crate::args::Global;
use crate::exit::{Failure, Outcome, told};

/// Where the contexts are kept: `$NAVE_CONFIG`, or `nave/config.yaml` in the user's configuration folder.
pub(crate) fn path() -> Outcome<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("NAVE_CONFIG")
        .or_else(|| set("XDG_CONFIG_HOME").map(|folder| folder.join("nave/config.yaml")))
        .or_else(|| set("HOME").map(|home| home.join(".config/nave/config.yaml")))
        .ok_or_else(|| {
            Failure::failed("there is no home folder to keep contexts in; set NAVE_CONFIG to a file")
        })
}

/// All contexts; none where there is no file yet.
pub(crate) fn load() -> Outcome<Contexts> {
    let path = path()?;
    if !path.exists() {
        return Ok(Contexts::default());
    }
    load_from(&path)
}

/// The contexts in any file.
pub(crate) fn load_from(path: &Path) -> Outcome<Contexts> {
    Contexts::load(path).map_err(|error| explained(&error))
}

/// Writes all contexts, for their owner alone.
pub(crate) fn save(contexts: &Contexts) -> Outcome<()> {
    let path = path()?;
    contexts.save(&path).map_err(|error| explained(&error))
}

fn explained(error: &dyn std::error::Error) -> Failure {
    Failure::failed(told(error))
}

/// The context that the command line means, with the addresses that it means.
pub(crate) fn chosen(global: &Global) -> Outcome<Context> {
    let contexts = load()?;
    let name = global.context.as_deref();
    let mut context = find(&contexts, name)?.clone();
    if !global.hub.is_empty() {
        context.addresses.clone_from(&global.hub);
    }
    if context.addresses.is_empty() {
        let problem = format!("context {:?} names no address", context.name);
        return Err(Failure::failed(problem).hint("name one with --hub HOST:PORT"));
    }
    Ok(context)
}

/// The context of this name, or the current one.
pub(crate) fn find<'a>(contexts: &'a Contexts, name: Option<&str>) -> Outcome<&'a Context> {
    if let Some(context) = contexts.get(name) {
        return Ok(context);
    }
    if contexts.contexts.is_empty() {
        return Err(Failure::failed(format!("there are no contexts in {}", path()?.display())).hint(
            "import the one that `nave-hub init` wrote: nave context import FILE (or set NAVE_CONFIG to it)",
        ));
    }
    let known = contexts.contexts.iter().map(|context| context.name.as_str());
    match name.or(contexts.current.as_deref()) {
        Some(name) => {
            let meant = nave_common::suggest::did_you_mean(name, known);
            Err(Failure::failed(format!("there is no context {name:?}{meant}"))
                .hint("see `nave context list`"))
        }
        None => Err(Failure::failed("no context is the current one")
            .hint("choose one with `nave context use NAME` or --context NAME")),
    }
}
