//! From files of Kubernetes objects to a bundle. Reading the files is the caller's.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Bundle, Error, MAX_BUNDLE_BYTES, MAX_BUNDLE_OBJECTS};
use crate::field::FieldError;
use crate::manifest::{self, Manifest, ObjectKey};
use crate::yaml::{self, YamlDocument};

/// Why files are no bundle.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file is no YAML, or an object in it is no manifest.
    #[error(transparent)]
    File(#[from] yaml::Error),
    /// One object stands in two places.
    #[error("{second}: {key} is there twice, first in {first}; expected it once")]
    Duplicate {
        /// The object.
        key: Box<ObjectKey>,
        /// Where it stands first, as `FILE:LINE`.
        first: String,
        /// Where it stands again.
        second: String,
    },
    /// The objects together are no bundle.
    #[error(transparent)]
    Bundle(#[from] Error),
}

/// Reads the objects of files, given as name and text, in the order in which they stand. Lists are taken apart, empty
/// documents are skipped.
///
/// # Errors
/// The first problem, with file and line.
pub fn load_manifests<N: AsRef<str>, T: AsRef<str>>(files: &[(N, T)]) -> Result<Bundle, LoadError> {
    let mut loaded = Loaded::default();
    for (name, text) in files {
        let name = name.as_ref();
        refuse_tool_file(name)?;
        for document in yaml::documents(text.as_ref(), name)? {
            loaded.take(document)?;
        }
    }
    Ok(Bundle::new(loaded.manifests)?)
}

#[derive(Default)]
struct Loaded {
    manifests: Vec<Manifest>,
    places: BTreeMap<ObjectKey, String>,
    byte_count: usize,
}

impl Loaded {
    fn take(&mut self, mut document: YamlDocument<'_>) -> Result<(), LoadError> {
        let value = document.value.take();
        refuse_foreign(&value).map_err(|field| document.error(field))?;
        match list_items(value) {
            Ok(items) => items
                .into_iter()
                .enumerate()
                .try_for_each(|(index, item)| self.add(item, &document, Some(format!("items[{index}]")))),
            Err(value) => self.add(value, &document, None),
        }
    }

    fn add(
        &mut self,
        object: Value,
        document: &YamlDocument<'_>,
        item: Option<String>,
    ) -> Result<(), LoadError> {
        let manifest = Manifest::new(object).map_err(|error| {
            let field = match error {
                manifest::Error::Field(field) => field,
                other @ manifest::Error::TooLarge(_) => FieldError::new("", other),
            };
            document.error(match &item {
                Some(item) => field.under(item),
                None => field,
            })
        })?;
        let place = match &item {
            Some(item) => format!("{}:{} ({item})", document.file(), document.line),
            None => format!("{}:{}", document.file(), document.line),
        };
        if let Some(first) = self.places.get(manifest.key()) {
            let key = Box::new(manifest.key().clone());
            // The line of an item is looked for only here: it means to read the file again.
            let second = match item {
                Some(item) => {
                    let at = document.error(FieldError::new(&item, "")).at;
                    let line = at.map_or(document.line, |(line, _)| line);
                    format!("{}:{line} ({item})", document.file())
                }
                None => place,
            };
            return Err(LoadError::Duplicate { key, first: first.clone(), second });
        }
        self.byte_count += manifest.byte_count();
        // Looked at on the way, so that what is too much is not held in memory first.
        if self.manifests.len() >= MAX_BUNDLE_OBJECTS {
            return Err(Error::TooMany(self.manifests.len() + 1).into());
        }
        if self.byte_count > MAX_BUNDLE_BYTES {
            return Err(Error::TooLarge(self.byte_count).into());
        }
        self.places.insert(manifest.key().clone(), place);
        self.manifests.push(manifest);
        Ok(())
    }
}

/// The items of a list of objects; anything else as it is. Items of a typed list, such as a ConfigMapList, may leave out
/// what the list says for all.
fn list_items(mut value: Value) -> Result<Vec<Value>, Value> {
    let kind = value.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
    let api_version = value.get("apiVersion").cloned();
    let Some(item_kind) = kind.strip_suffix("List") else { return Err(value) };
    let Some(Value::Array(items)) = value.get_mut("items").filter(|items| items.is_array()).map(Value::take)
    else {
        return Err(value);
    };
    let complete = |mut item: Value| {
        if let Value::Object(fields) = &mut item
            && !item_kind.is_empty()
        {
            fields.entry("kind").or_insert_with(|| item_kind.into());
            if let Some(version) = &api_version {
                fields.entry("apiVersion").or_insert_with(|| version.clone());
            }
        }
        item
    };
    Ok(items.into_iter().map(complete).collect())
}

/// Files by which other tools are steered. What they steer has to be rendered first.
fn refuse_tool_file(name: &str) -> Result<(), yaml::Error> {
    let problem = match name.rsplit('/').next().unwrap_or(name) {
        "kustomization.yaml" | "kustomization.yml" | "Kustomization" => KUSTOMIZE,
        "Chart.yaml" => HELM,
        _ => return Ok(()),
    };
    Err(yaml::Error::of_file(name, problem))
}

const KUSTOMIZE: &str =
    "steers Kustomize; expected Kubernetes objects: apply what `kustomize build DIRECTORY` prints";
const HELM: &str =
    "belongs to a Helm chart; expected Kubernetes objects: apply what `helm template CHART` prints";

/// Documents that are no Kubernetes objects.
fn refuse_foreign(value: &Value) -> Result<(), FieldError> {
    let version = value.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
    if version.starts_with("kustomize.config.k8s.io/") {
        return Err(FieldError::new("", KUSTOMIZE));
    }
    if version.starts_with("nave.dev/") {
        let problem = format!(
            "is {version:?}, of a document of Nave; expected Kubernetes objects (keep the document outside of the bundle's folder)"
        );
        return Err(FieldError::new("apiVersion", problem));
    }
    Ok(())
}
