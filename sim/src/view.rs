//! How objects are shown: whole, their metadata alone, or as rows of a table.
//!
//! Whole objects are stored bytes with their type put in front; only the other forms parse them.

use std::sync::Arc;

use hyper::body::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::kinds::Resource;
use crate::state::Call;
use crate::store::Object;
use crate::table;

/// The form that a client asked for.
#[derive(Debug, Clone)]
enum Form {
    Whole,
    Metadata,
    /// As of this time: tables show ages.
    Table(Timestamp),
}

/// How objects are shown to one client.
#[derive(Debug, Clone)]
pub(crate) struct View {
    resource: Arc<Resource>,
    form: Form,
    api_version: String,
    kind: String,
}

impl View {
    /// The view that the call asks for.
    pub(crate) fn new(call: &Call<'_>) -> View {
        let accept = &call.request.accept;
        let resource = call.resource.clone();
        let (form, api_version, kind) = if accept.contains("as=PartialObjectMetadata") {
            (Form::Metadata, "meta.k8s.io/v1".to_owned(), "PartialObjectMetadata".to_owned())
        } else if accept.contains("as=Table;v=v1;") || accept.ends_with("as=Table;v=v1") {
            (Form::Table(call.now), "meta.k8s.io/v1".to_owned(), "Table".to_owned())
        } else {
            (Form::Whole, call.api_version(), resource.kind.clone())
        };
        View { resource, form, api_version, kind }
    }

    /// The bytes of an object.
    pub(crate) fn bytes(&self, object: &Object) -> Bytes {
        match self.form {
            Form::Whole => self.with_type(&object.bytes),
            Form::Metadata | Form::Table(_) => self.show(object.value()),
        }
    }

    /// The bytes of an object that is parsed already.
    pub(crate) fn show(&self, mut value: Value) -> Bytes {
        match self.form {
            Form::Whole => {}
            Form::Metadata => value = json!({"metadata": value["metadata"]}),
            Form::Table(now) => {
                value = json!({"metadata": {"resourceVersion": value["metadata"]["resourceVersion"]},
                    "columnDefinitions": table::definitions(&self.resource),
                    "rows": [table::row(&self.resource, &value, now)]});
            }
        }
        value["kind"] = Value::from(self.kind.as_str());
        value["apiVersion"] = Value::from(self.api_version.as_str());
        Bytes::from(value.to_string())
    }

    /// Puts the type in front of an object that has none.
    fn with_type(&self, bytes: &[u8]) -> Bytes {
        let head = format!("{{\"kind\":{:?},\"apiVersion\":{:?},", self.kind, self.api_version);
        let rest = bytes.strip_prefix(b"{").unwrap_or_default();
        Bytes::from([head.as_bytes(), rest].concat())
    }

    /// Items of lists of custom kinds and of metadata carry their type, others do not.
    fn item(&self, object: &Object) -> Bytes {
        match self.form {
            Form::Whole if !self.resource.custom => object.bytes.clone(),
            Form::Table(now) => Bytes::from(table::row(&self.resource, &object.value(), now).to_string()),
            _ => self.bytes(object),
        }
    }

    /// The bytes of a list.
    pub(crate) fn list(&self, metadata: &Value, objects: &[Arc<Object>]) -> Bytes {
        let version = &self.api_version;
        let head = match self.form {
            Form::Table(_) => {
                let columns = table::definitions(&self.resource);
                format!(
                    "{{\"kind\":\"Table\",\"apiVersion\":{version:?},\"metadata\":{metadata},\"columnDefinitions\":\
                     {columns},\"rows\":["
                )
            }
            _ => {
                let kind = &self.kind;
                format!(
                    "{{\"kind\":\"{kind}List\",\"apiVersion\":{version:?},\"metadata\":{metadata},\"items\":["
                )
            }
        };
        let size = objects.iter().map(|object| object.bytes.len() + 1).sum::<usize>();
        let mut body = Vec::with_capacity(head.len() + size + 2);
        body.extend_from_slice(head.as_bytes());
        for (index, object) in objects.iter().enumerate() {
            if index > 0 {
                body.push(b',');
            }
            body.extend_from_slice(&self.item(object));
        }
        body.extend_from_slice(b"]}");
        Bytes::from(body)
    }

    /// What a bookmark carries.
    pub(crate) fn bookmark(&self, revision: u64, initial_end: bool) -> Value {
        let mut metadata = json!({"resourceVersion": revision.to_string()});
        if initial_end {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        json!({"kind": self.kind, "apiVersion": self.api_version, "metadata": metadata})
    }
}
