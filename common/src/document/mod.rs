//! Documents: the resources that `nave apply` takes, told apart by their `kind`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::API_VERSION;
use crate::application::Application;
use crate::cluster::Cluster;
use crate::field::FieldError;
use crate::manifest::{self, Manifest};
use crate::source::Source;
use crate::suggest::did_you_mean;
use crate::yaml::{self, Located};

/// A document that `nave apply` takes and `nave get -o yaml` prints.
#[derive(Debug, Clone, PartialEq)]
pub enum Document {
    /// `kind: Application`.
    Application(Box<Application>),
    /// `kind: Cluster`.
    Cluster(Box<Cluster>),
}

/// The two fields that say what a document is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TypeMeta {
    /// [`crate::API_VERSION`] in documents of Nave; it may be left out of those after the first of a file.
    #[serde(default)]
    pub api_version: Option<String>,
    /// `Application` or `Cluster`.
    #[serde(default)]
    pub kind: Option<String>,
}

/// The kinds of documents.
pub const KINDS: [&str; 2] = ["Application", "Cluster"];

/// What to do with Kubernetes objects, which are no documents.
const OBJECT_HINT: &str = "Kubernetes objects become an application with `nave apply --app NAME -f FILE`";

impl Document {
    /// `Application` or `Cluster`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Application(_) => "Application",
            Self::Cluster(_) => "Cluster",
        }
    }

    /// Reads and checks one document from its JSON form.
    ///
    /// # Errors
    /// The first field that is unknown, missing, of the wrong type or not legal.
    pub fn from_value(value: Value) -> Result<Self, FieldError> {
        let fields = into_map(value)?;
        Self::from_fields(fields, false)
    }

    /// `version_known`: whether a document before this one of the same file has said the API version.
    fn from_fields(mut fields: Map<String, Value>, version_known: bool) -> Result<Self, FieldError> {
        check_version(fields.remove("apiVersion").as_ref(), version_known)?;
        let kind = fields.remove("kind");
        let known = format!("expected {}", KINDS.join(" or "));
        let kind = match &kind {
            None => return Err(FieldError::new("kind", format!("is missing; {known}"))),
            Some(Value::String(kind)) => kind.as_str(),
            Some(other) => {
                return Err(FieldError::new("kind", format!("is {}; {known}", manifest::shape(other))));
            }
        };
        let content = Value::Object(fields);
        match kind {
            "Application" => {
                let application: Application = yaml::from_value(content)?;
                application.check()?;
                check_inline(&application.spec.source).map_err(|error| error.under("spec.source.inline"))?;
                Ok(Self::Application(Box::new(application)))
            }
            "Cluster" => {
                let cluster: Cluster = yaml::from_value(content)?;
                cluster.check()?;
                Ok(Self::Cluster(Box::new(cluster)))
            }
            other => {
                let hint = did_you_mean(other, KINDS);
                let hint = if hint.is_empty() { format!(" ({OBJECT_HINT})") } else { hint };
                Err(FieldError::new("kind", format!("is {other:?}; {known}{hint}")))
            }
        }
    }
}

fn into_map(value: Value) -> Result<Map<String, Value>, FieldError> {
    match value {
        Value::Object(fields) => Ok(fields),
        other => Err(FieldError::new(
            "",
            format!(
                "is {}; expected a map with apiVersion, kind, metadata and spec",
                manifest::shape(&other)
            ),
        )),
    }
}

fn check_version(version: Option<&Value>, version_known: bool) -> Result<(), FieldError> {
    let refused = |problem: String| Err(FieldError::new("apiVersion", problem));
    match version {
        None if version_known => Ok(()),
        None => refused(format!("is missing; expected {API_VERSION}")),
        Some(Value::String(version)) if version == API_VERSION => Ok(()),
        Some(Value::String(other)) if other.is_empty() || other.starts_with("nave") => {
            refused(format!("is {other:?}; expected {API_VERSION}"))
        }
        Some(other) if !other.is_string() => {
            refused(format!("is {}; expected {API_VERSION}", manifest::shape(other)))
        }
        Some(other) => refused(format!("is {other}; expected {API_VERSION} ({OBJECT_HINT})")),
    }
}

/// Checks inline manifests where their place in the file is still known.
fn check_inline(source: &Source) -> Result<(), FieldError> {
    let Source::Inline(inline) = source else { return Ok(()) };
    let mut seen = BTreeMap::new();
    for (index, object) in inline.manifests.iter().enumerate() {
        let at = format!("manifests[{index}]");
        let manifest = Manifest::new(object.clone()).map_err(|error| match error {
            manifest::Error::Field(error) => error.under(&at),
            other @ manifest::Error::TooLarge(_) => FieldError::new(&at, other),
        })?;
        if let Some(first) = seen.insert(manifest.key().clone(), index) {
            let problem = format!("is {} again, like manifests[{first}]; expected it once", manifest.key());
            return Err(FieldError::new(at, problem));
        }
    }
    Ok(())
}

impl Serialize for Document {
    /// The form that users write: apiVersion and kind first.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Typed<'a, T> {
            api_version: &'static str,
            kind: &'static str,
            #[serde(flatten)]
            content: &'a T,
        }
        let (api_version, kind) = (API_VERSION, self.kind());
        match self {
            Self::Application(content) => Typed { api_version, kind, content }.serialize(serializer),
            Self::Cluster(content) => Typed { api_version, kind, content }.serialize(serializer),
        }
    }
}

/// Reads and checks the documents of a file.
///
/// # Errors
/// The first problem, with its line, its field and what was expected.
pub fn load(text: &str, name: &str) -> Result<Vec<Located<Document>>, yaml::Error> {
    let mut loaded = Vec::new();
    for mut document in yaml::documents(text, name)? {
        let value = document.value.take();
        let read = into_map(value).and_then(|fields| Document::from_fields(fields, !loaded.is_empty()));
        let value = read.map_err(|field| document.error(field))?;
        loaded.push(Located { value, file: name.to_owned(), line: document.line });
    }
    Ok(loaded)
}

#[cfg(test)]
mod tests;
