//! `nave context`. Keys are read and written, and never printed.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use nave_common::context::{Context as Known, Contexts};
use serde_json::{Value, json};

use crate::args::{Context, ContextVerb, Format};
use crate::context;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Cell, Printer, Table, as_resource, json_text, list, yaml_text};

/// The largest file of contexts that is read from standard input, in bytes.
const MAX_STDIN_BYTES: u64 = 4 << 20;

pub(super) fn run(context: &Context, printer: &mut Printer) -> Outcome {
    match &context.verb {
        ContextVerb::List { output } => show_all(*output, printer)?,
        ContextVerb::Show { name } => {
            let contexts = context::load()?;
            let known = context::find(&contexts, name.as_deref())?;
            printer.raw(&yaml_text(&document(&contexts, known)?)?)?;
        }
        ContextVerb::Use { name } => {
            let mut contexts = context::load()?;
            context::find(&contexts, Some(name))?;
            contexts.current = Some(name.clone());
            context::save(&contexts)?;
            say(printer, &format!("context {name} is the current one"))?;
        }
        ContextVerb::Import { file, name, make_current } => {
            import(file, name.as_deref(), *make_current, printer)?
        }
        ContextVerb::Delete { name } => {
            let mut contexts = context::load()?;
            context::find(&contexts, Some(name))?;
            contexts.contexts.retain(|known| known.name != *name);
            contexts.current.take_if(|current| current == name);
            context::save(&contexts)?;
            say(printer, &format!("context {name} deleted"))?;
        }
    }
    Ok(Exit::Done)
}

fn show_all(format: Format, printer: &mut Printer) -> Outcome<()> {
    let contexts = context::load()?;
    match format {
        Format::Table | Format::Wide => {
            let mut table = Table::new(vec!["CURRENT", "NAME", "ADDRESSES"]);
            for known in &contexts.contexts {
                let mark = if contexts.current.as_ref() == Some(&known.name) { "*" } else { " " };
                let addresses = Cell::new(known.addresses.join(","));
                table.push(vec![Cell::new(mark), Cell::new(known.name.as_str()), addresses]);
            }
            table.print(printer)?;
            if contexts.contexts.is_empty() {
                printer.hint("there are no contexts yet; take one over with `nave context import FILE`");
            }
        }
        Format::Name => {
            for known in &contexts.contexts {
                printer.line(&format!("context/{}", known.name))?;
            }
        }
        Format::Json | Format::Yaml => {
            let documents = contexts.contexts.iter().map(|known| document(&contexts, known));
            let whole = list(documents.collect::<Outcome<_>>()?);
            printer.raw(&if format == Format::Json { json_text(&whole) } else { yaml_text(&whole)? })?;
        }
    }
    Ok(())
}

/// A context without its key.
fn document(contexts: &Contexts, known: &Known) -> Outcome<Value> {
    as_resource(
        "Context",
        &json!({
            "name": known.name,
            "current": contexts.current.as_ref() == Some(&known.name),
            "addresses": known.addresses,
            "authority": known.authority,
            "certificate": known.certificate,
        }),
    )
}

fn import(file: &Path, name: Option<&str>, make_current: bool, printer: &mut Printer) -> Outcome<()> {
    let mut imported = read(file)?;
    if imported.contexts.is_empty() {
        return Err(Failure::failed(format!("{} holds no context", file.display())));
    }
    match (name, imported.contexts.as_mut_slice()) {
        (None, _) => {}
        (Some(name), [only]) => {
            name.clone_into(&mut only.name);
            imported.current = Some(name.to_owned());
        }
        (Some(_), several) => {
            let problem = format!("--name is for one context, and the file holds {}", several.len());
            return Err(Failure::usage(problem));
        }
    }
    let mut contexts = context::load()?;
    let is_other = |new: &&Known| {
        let known = contexts.contexts.iter().find(|known| known.name == new.name);
        known.is_some_and(|known| known.authority.trim() != new.authority.trim())
    };
    if let Some(other) = imported.contexts.iter().find(is_other) {
        let problem = format!("there is already a context {:?} of another hub", other.name);
        return Err(Failure::failed(problem).hint("give --name"));
    }
    let names: Vec<String> = imported.contexts.iter().map(|known| known.name.clone()).collect();
    for known in imported.contexts {
        contexts.put(known);
    }
    if make_current {
        contexts.current = imported.current.or_else(|| names.first().cloned());
    }
    context::save(&contexts)?;
    for name in &names {
        say(printer, &format!("context {name} imported"))?;
    }
    match &contexts.current {
        Some(current) => printer.hint(&format!("the current context is {current}")),
        None => printer.hint("choose one with `nave context use NAME`"),
    }
    Ok(())
}

fn read(file: &Path) -> Outcome<Contexts> {
    if file.as_os_str() != "-" {
        return context::load_from(file);
    }
    // The loader reads files; what comes in a pipe is put where only its owner can read it.
    let refused = |error: std::io::Error| Failure::failed(format!("cannot read standard input: {error}"));
    let mut text = zeroize::Zeroizing::new(Vec::new());
    std::io::stdin().lock().take(MAX_STDIN_BYTES).read_to_end(&mut text).map_err(refused)?;
    let mut copy = tempfile::NamedTempFile::new().map_err(refused)?;
    std::io::Write::write_all(&mut copy, &text).map_err(refused)?;
    let path: PathBuf = copy.path().to_owned();
    context::load_from(&path)
}

fn say(printer: &mut Printer, text: &str) -> Outcome<()> {
    if !printer.is_quiet() {
        printer.line(text)?;
    }
    Ok(())
}
