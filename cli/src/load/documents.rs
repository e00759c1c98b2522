//! Documents of Nave in files and folders, with the manifests that they name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nave_common::API_VERSION;
use nave_common::application::Application;
use nave_common::document::Document;
use nave_common::field::FieldError;
use nave_common::name::ProjectName;
use nave_common::source::Source;
use nave_common::yaml::{self, YamlDocument};
use serde_json::Value;

use super::files::{self, TextFile};
use super::{Loaded, bundle};
use crate::exit::{Failure, Outcome};

/// A document and where it stands.
struct Placed {
    document: Document,
    /// `FILE:LINE`.
    place: String,
    /// The folder to which its paths are relative.
    folder: PathBuf,
}

pub(super) fn load(paths: &[PathBuf], project: &ProjectName) -> Outcome<Vec<Loaded>> {
    let files = files::read_all(paths)?;
    let mut placed = Vec::new();
    let mut refused = Vec::new();
    for file in &files {
        match documents(file) {
            Ok(documents) => placed.push((file, documents)),
            Err(error) => refused.push((file, error)),
        }
    }
    // A folder may hold an application beside the manifests that it names; those are no documents.
    let folders: Vec<PathBuf> =
        placed.iter().flat_map(|(_, documents)| documents).filter_map(named).collect();
    let is_named =
        |file: &TextFile| !file.is_named && folders.iter().any(|folder| file.path.starts_with(folder));
    if let Some((_, error)) = refused.iter().find(|(file, _)| !is_named(file)) {
        return Err(Failure::failed(error));
    }
    let placed: Vec<Placed> =
        placed.into_iter().filter(|(file, _)| !is_named(file)).flat_map(|(_, documents)| documents).collect();
    if placed.is_empty() {
        return Err(Failure::failed("there is no document in what was given")
            .hint("expected kind: Application or Cluster; plain Kubernetes manifests need --app NAME"));
    }
    refuse_doubles(&placed)?;
    placed.into_iter().map(|placed| complete(placed, project)).collect()
}

/// The documents of a file; a `kind: List` is taken apart.
fn documents(file: &TextFile) -> Result<Vec<Placed>, yaml::Error> {
    let name = file.name();
    let mut placed = Vec::new();
    for mut document in yaml::documents(&file.text, &name)? {
        let value = document.value.take();
        let mut put = |value, item: Option<usize>| -> Result<(), yaml::Error> {
            let value = with_version(value, !placed.is_empty());
            let under = |error: FieldError| match item {
                Some(index) => document_error(&document, error.under(&format!("items[{index}]"))),
                None => document_error(&document, error),
            };
            let read = Document::from_value(value).map_err(under)?;
            let place = format!("{name}:{}", document.line);
            placed.push(Placed { document: read, place, folder: file.folder() });
            Ok(())
        };
        match items(value) {
            Ok(items) => {
                for (index, item) in items.into_iter().enumerate() {
                    put(item, Some(index))?;
                }
            }
            Err(value) => put(value, None)?,
        }
    }
    Ok(placed)
}

fn document_error(document: &YamlDocument<'_>, error: FieldError) -> yaml::Error {
    document.error(error)
}

/// The items of a list, such as `nave get -o yaml` prints; anything else as it is.
fn items(mut value: Value) -> Result<Vec<Value>, Value> {
    let is_list = value.get("kind").is_some_and(|kind| kind == "List");
    match value.get_mut("items") {
        Some(Value::Array(items)) if is_list => Ok(std::mem::take(items)),
        _ => Err(value),
    }
}

/// Documents after the first of a file may leave out the API version.
fn with_version(mut value: Value, is_known: bool) -> Value {
    if let Value::Object(fields) = &mut value
        && is_known
        && fields.contains_key("kind")
    {
        fields.entry("apiVersion").or_insert_with(|| API_VERSION.into());
    }
    value
}

/// The file or folder of manifests that a document names.
fn named(placed: &Placed) -> Option<PathBuf> {
    let Document::Application(application) = &placed.document else { return None };
    manifests_path(application, &placed.folder)
}

fn manifests_path(application: &Application, folder: &Path) -> Option<PathBuf> {
    let Source::Bundle(bundle) = &application.spec.source else { return None };
    // Joining to `.` would be seen in every message.
    let path = Path::new(bundle.path.as_deref()?);
    Some(if folder == Path::new(".") { path.to_owned() } else { folder.join(path) })
}

fn refuse_doubles(placed: &[Placed]) -> Outcome<()> {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for Placed { document, place, .. } in placed {
        let name = match document {
            Document::Application(application) => format!("application {}", application.key()),
            Document::Cluster(cluster) => format!("cluster {}", cluster.metadata.name),
        };
        if let Some(first) = seen.insert(name.clone(), place) {
            return Err(Failure::failed(format!("{place}: {name} is there twice, first in {first}")));
        }
    }
    Ok(())
}

fn complete(placed: Placed, project: &ProjectName) -> Outcome<Loaded> {
    let Placed { document, place, folder } = placed;
    match document {
        Document::Cluster(mut cluster) => {
            cluster.status = None;
            Ok(Loaded::Cluster(cluster))
        }
        Document::Application(mut application) => {
            application.status = None;
            settle_project(&mut application, project).map_err(|failure| failure.about(&place))?;
            let bundle = read_bundle(&mut application, &folder)
                .map_err(|failure| failure.about(format!("{place}: spec.source.bundle.path")))?;
            Ok(Loaded::Application { application, bundle })
        }
    }
}

/// `--project` is for documents that name none; one that names another contradicts it.
fn settle_project(application: &mut Application, project: &ProjectName) -> Outcome<()> {
    let default = ProjectName::default();
    let own = &mut application.metadata.project;
    if *own == default {
        own.clone_from(project);
    } else if *project != default && own != project {
        return Err(Failure::failed(format!("metadata.project is {own}, and --project says {project}")));
    }
    Ok(())
}

/// Reads the manifests that an application names by path. One that names a digest names what the hub has already; its
/// path is for people.
fn read_bundle(application: &mut Application, folder: &Path) -> Outcome<Option<nave_common::bundle::Bundle>> {
    let path = manifests_path(application, folder);
    let Source::Bundle(source) = &mut application.spec.source else { return Ok(None) };
    match (source.digest, path) {
        (Some(_), _) => Ok(None),
        (None, Some(path)) => {
            let bundle = bundle::read(&[path])?;
            source.digest = Some(bundle.digest());
            Ok(Some(bundle))
        }
        (None, None) => Err(Failure::failed("is missing; expected a file or folder of Kubernetes manifests")),
    }
}
