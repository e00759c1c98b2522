//! `managedFields`: who owns which paths of an object, in the form that objects carry.
//!
//! Reads and writes the entries and keeps them in the server's order. The rules of ownership are in `apply`.

use serde_json::{Map, Value, json};

use crate::fields::Set;
use crate::meta;

/// How a manager came to own paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operation {
    /// By server-side apply.
    Apply,
    /// By any other write.
    Update,
}

/// One manager's entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its name.
    pub manager: String,
    /// How it writes.
    pub operation: Operation,
    /// The version that the paths are of.
    pub api_version: String,
    /// The subresource it wrote, or nothing.
    pub subresource: String,
    /// When it last changed something.
    pub time: Option<String>,
    /// What it owns.
    pub set: Set,
}

/// Who is writing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Writer {
    /// Its name.
    pub manager: String,
    /// How.
    pub operation: Operation,
    /// In which version.
    pub api_version: String,
    /// Through which subresource.
    pub subresource: String,
}

impl Entry {
    /// Does this entry belong to this writer? An applier keeps its entry across versions.
    #[must_use]
    pub(crate) fn is_of(&self, writer: &Writer) -> bool {
        self.manager == writer.manager
            && self.operation == writer.operation
            && self.subresource == writer.subresource
            && (writer.operation == Operation::Apply || self.api_version == writer.api_version)
    }

    /// The manager as conflict messages name it.
    #[must_use]
    pub(crate) fn describe(&self) -> String {
        let mut out = format!("{:?}", self.manager);
        if !self.subresource.is_empty() {
            out.push_str(&format!(" with subresource {:?}", self.subresource));
        }
        if self.operation == Operation::Update {
            out.push_str(&format!(" using {}", self.api_version));
        }
        out
    }

    fn to_json(&self) -> Value {
        let mut out = Map::new();
        out.insert("manager".to_owned(), Value::from(self.manager.as_str()));
        let operation = if self.operation == Operation::Apply { "Apply" } else { "Update" };
        out.insert("operation".to_owned(), Value::from(operation));
        out.insert("apiVersion".to_owned(), Value::from(self.api_version.as_str()));
        if let Some(time) = &self.time {
            out.insert("time".to_owned(), Value::from(time.as_str()));
        }
        out.insert("fieldsType".to_owned(), Value::from("FieldsV1"));
        out.insert("fieldsV1".to_owned(), self.set.to_json());
        if !self.subresource.is_empty() {
            out.insert("subresource".to_owned(), Value::from(self.subresource.as_str()));
        }
        Value::Object(out)
    }

    fn from_json(value: &Value) -> Option<Entry> {
        let operation = match value["operation"].as_str()? {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            _ => return None,
        };
        let text = |field: &str| value[field].as_str().unwrap_or_default().to_owned();
        let set =
            if value["fieldsV1"].is_null() { Set::default() } else { Set::from_json(&value["fieldsV1"])? };
        Some(Entry {
            manager: text("manager"),
            operation,
            api_version: value["apiVersion"].as_str().filter(|version| !version.is_empty())?.to_owned(),
            subresource: text("subresource"),
            time: value["time"].as_str().map(str::to_owned),
            set,
        })
    }
}

/// The entries of an object; none if they cannot be read.
#[must_use]
pub(crate) fn read(object: &Value) -> Vec<Entry> {
    let Some(list) = object["metadata"]["managedFields"].as_array() else { return Vec::new() };
    list.iter().map(Entry::from_json).collect::<Option<Vec<Entry>>>().unwrap_or_default()
}

/// Writes the entries, in the server's order.
pub(crate) fn write(object: &mut Value, mut entries: Vec<Entry>) {
    entries.sort_by(|a, b| {
        (a.operation, &a.time, &a.manager, &a.api_version, &a.subresource).cmp(&(
            b.operation,
            &b.time,
            &b.manager,
            &b.api_version,
            &b.subresource,
        ))
    });
    let metadata = meta::metadata_mut(object);
    if entries.is_empty() {
        metadata.remove("managedFields");
    } else {
        let list: Vec<Value> = entries.iter().map(Entry::to_json).collect();
        metadata.insert("managedFields".to_owned(), Value::Array(list));
    }
}

/// Takes the entries off an object.
pub(crate) fn strip(object: &mut Value) {
    if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
        metadata.remove("managedFields");
    }
}

/// A client asks for the tracking to start anew by sending an empty list or one empty entry.
#[must_use]
pub(crate) fn is_reset(object: &Value) -> bool {
    match object["metadata"]["managedFields"].as_array().map(Vec::as_slice) {
        Some([]) => true,
        Some([one]) => *one == json!({}),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manager_is_described_as_the_server_does() {
        let mut entry = Entry {
            manager: "kubectl".to_owned(),
            operation: Operation::Update,
            api_version: "apps/v1".to_owned(),
            subresource: String::new(),
            time: None,
            set: Set::default(),
        };
        assert_eq!(entry.describe(), "\"kubectl\" using apps/v1");
        entry.subresource = "scale".to_owned();
        assert_eq!(entry.describe(), "\"kubectl\" with subresource \"scale\" using apps/v1");
        entry.operation = Operation::Apply;
        entry.subresource = String::new();
        assert_eq!(entry.describe(), "\"kubectl\"");
    }
}
