//! Answers that are not objects: the `Status` of the API machinery, worded as the real server words it.

use serde_json::{Map, Value, json};

/// A failed request.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    /// The HTTP status code.
    pub code: u16,
    /// A word for programs.
    pub reason: &'static str,
    /// A sentence for people.
    pub message: String,
    /// `details` of the Status, if any.
    pub details: Option<Value>,
}

/// The result of a request.
pub(crate) type Result<T> = std::result::Result<T, Box<Failure>>;

/// Names the resource that a failure is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    /// The API group; empty for core.
    pub group: &'a str,
    /// The plural.
    pub plural: &'a str,
    /// The kind.
    pub kind: &'a str,
    /// The object.
    pub name: &'a str,
}

impl Subject<'_> {
    fn resource(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }

    fn kind(&self) -> String {
        if self.group.is_empty() { self.kind.to_owned() } else { format!("{}.{}", self.kind, self.group) }
    }

    fn details(&self, kind: &str) -> Map<String, Value> {
        let mut details = Map::new();
        if !self.name.is_empty() {
            details.insert("name".to_owned(), Value::from(self.name));
        }
        if !self.group.is_empty() {
            details.insert("group".to_owned(), Value::from(self.group));
        }
        details.insert("kind".to_owned(), Value::from(kind));
        details
    }
}

/// One field of an invalid object.
#[derive(Debug, Clone)]
pub(crate) struct Cause {
    /// `FieldValueInvalid` and the like.
    pub reason: &'static str,
    /// What is wrong.
    pub message: String,
    /// The path, such as `spec.selector`.
    pub field: String,
}

impl Cause {
    /// A value that is not allowed.
    #[must_use]
    pub(crate) fn invalid(field: &str, value: &Value, why: &str) -> Cause {
        let shown = if value.is_null() { "null".to_owned() } else { value.to_string() };
        Cause {
            reason: "FieldValueInvalid",
            message: format!("Invalid value: {shown}: {why}"),
            field: field.to_owned(),
        }
    }

    /// A value that has to be there.
    #[must_use]
    pub(crate) fn required(field: &str, why: &str) -> Cause {
        let colon = if why.is_empty() { "" } else { ": " };
        Cause {
            reason: "FieldValueRequired",
            message: format!("Required value{colon}{why}"),
            field: field.to_owned(),
        }
    }

    /// A value that may not be there.
    #[must_use]
    pub(crate) fn forbidden(field: &str, why: &str) -> Cause {
        Cause { reason: "FieldValueForbidden", message: format!("Forbidden: {why}"), field: field.to_owned() }
    }

    /// A word that is none of the allowed ones.
    #[must_use]
    pub(crate) fn unsupported(field: &str, value: &Value, allowed: &[&str]) -> Cause {
        let allowed: Vec<String> = allowed.iter().map(|word| format!("{word:?}")).collect();
        Cause {
            reason: "FieldValueNotSupported",
            message: format!("Unsupported value: {value}: supported values: {}", allowed.join(", ")),
            field: field.to_owned(),
        }
    }
}

impl Failure {
    fn new(code: u16, reason: &'static str, message: String, details: Option<Value>) -> Box<Failure> {
        Box::new(Failure { code, reason, message, details })
    }

    /// 404 for an object.
    #[must_use]
    pub(crate) fn not_found(subject: Subject<'_>) -> Box<Failure> {
        let message = format!("{} {:?} not found", subject.resource(), subject.name);
        let details = subject.details(subject.plural);
        Failure::new(404, "NotFound", message, Some(Value::Object(details)))
    }

    /// 404 for a path that nothing serves; its body is plain text.
    #[must_use]
    pub(crate) fn no_such_path() -> Box<Failure> {
        Failure::new(404, "", "404 page not found".to_owned(), None)
    }

    /// 404 for a subresource that an object does not have.
    #[must_use]
    pub(crate) fn no_such_subresource() -> Box<Failure> {
        let message = "the server could not find the requested resource".to_owned();
        Failure::new(404, "NotFound", message, Some(json!({})))
    }

    /// 422 for a parameter of a request.
    #[must_use]
    pub(crate) fn bad_option(options: &str, cause: Cause) -> Box<Failure> {
        Failure::invalid(Subject { group: "meta.k8s.io", plural: "", kind: options, name: "" }, &[cause])
    }

    /// 409: there is one of that name.
    #[must_use]
    pub(crate) fn already_exists(subject: Subject<'_>) -> Box<Failure> {
        let message = format!("{} {:?} already exists", subject.resource(), subject.name);
        let details = subject.details(subject.plural);
        Failure::new(409, "AlreadyExists", message, Some(Value::Object(details)))
    }

    /// 409: a stale resource version or another failed precondition.
    #[must_use]
    pub(crate) fn conflict(subject: Subject<'_>, why: &str) -> Box<Failure> {
        let message =
            format!("Operation cannot be fulfilled on {} {:?}: {why}", subject.resource(), subject.name);
        let details = subject.details(subject.plural);
        Failure::new(409, "Conflict", message, Some(Value::Object(details)))
    }

    /// 409 of server-side apply. Each cause is a manager's description and a path.
    #[must_use]
    pub(crate) fn apply_conflict(message: String, causes: &[(String, String)]) -> Box<Failure> {
        let causes: Vec<Value> = causes
            .iter()
            .map(|(manager, field)| {
                json!({"reason": "FieldManagerConflict", "message": format!("conflict with {manager}"),
                    "field": field})
            })
            .collect();
        Failure::new(409, "Conflict", message, Some(json!({"causes": causes})))
    }

    /// 422 with the fields at fault.
    #[must_use]
    pub(crate) fn invalid(subject: Subject<'_>, causes: &[Cause]) -> Box<Failure> {
        let texts: Vec<String> =
            causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
        let list = match texts.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let message = format!("{} {:?} is invalid: {list}", subject.kind(), subject.name);
        let kind = subject.kind;
        let mut details = subject.details(kind);
        let causes: Vec<Value> = causes
            .iter()
            .map(|cause| json!({"reason": cause.reason, "message": cause.message, "field": cause.field}))
            .collect();
        details.insert("causes".to_owned(), Value::Array(causes));
        Failure::new(422, "Invalid", message, Some(Value::Object(details)))
    }

    /// 400.
    #[must_use]
    pub(crate) fn bad_request(message: impl Into<String>) -> Box<Failure> {
        Failure::new(400, "BadRequest", message.into(), None)
    }

    /// 403 for an object.
    #[must_use]
    pub(crate) fn forbidden(subject: Subject<'_>, why: &str) -> Box<Failure> {
        let message = format!("{} {:?} is forbidden: {why}", subject.resource(), subject.name);
        let details = subject.details(subject.plural);
        Failure::new(403, "Forbidden", message, Some(Value::Object(details)))
    }

    /// 403: nothing is created in a namespace on its way out.
    #[must_use]
    pub(crate) fn terminating(subject: Subject<'_>, namespace: &str) -> Box<Failure> {
        let why =
            format!("unable to create new content in namespace {namespace} because it is being terminated");
        let mut failure = Failure::forbidden(subject, &why);
        if let Some(Value::Object(details)) = &mut failure.details {
            let message = format!("namespace {namespace} is being terminated");
            let cause =
                json!({"reason": "NamespaceTerminating", "message": message, "field": "metadata.namespace"});
            details.insert("causes".to_owned(), json!([cause]));
        }
        failure
    }

    /// 405.
    #[must_use]
    pub(crate) fn method_not_allowed() -> Box<Failure> {
        let message = "the server does not allow this method on the requested resource".to_owned();
        Failure::new(405, "MethodNotAllowed", message, Some(json!({})))
    }

    /// 410: the history does not go back that far.
    #[must_use]
    pub(crate) fn expired(message: impl Into<String>) -> Box<Failure> {
        Failure::new(410, "Expired", message.into(), None)
    }

    /// 415.
    #[must_use]
    pub(crate) fn unsupported_media() -> Box<Failure> {
        Failure::new(415, "UnsupportedMediaType", "415: Unsupported Media Type".to_owned(), Some(json!({})))
    }

    /// 500 with a plain error, such as a patch of a wrong type.
    #[must_use]
    pub(crate) fn internal(message: impl Into<String>) -> Box<Failure> {
        Failure::new(500, "", message.into(), None)
    }

    /// Any other, as injected faults need.
    #[must_use]
    pub(crate) fn other(code: u16, reason: &'static str, message: impl Into<String>) -> Box<Failure> {
        Failure::new(code, reason, message.into(), None)
    }

    /// The Status object.
    #[must_use]
    pub(crate) fn to_json(&self) -> Value {
        let mut status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message});
        if let Value::Object(map) = &mut status {
            if !self.reason.is_empty() {
                map.insert("reason".to_owned(), Value::from(self.reason));
            }
            if let Some(details) = &self.details {
                map.insert("details".to_owned(), details.clone());
            }
            map.insert("code".to_owned(), Value::from(self.code));
        }
        status
    }
}

/// The Status of a delete that took the object away at once.
#[must_use]
pub(crate) fn success(subject: Subject<'_>, uid: &str) -> Value {
    let mut details = subject.details(subject.plural);
    details.insert("uid".to_owned(), Value::from(uid));
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}
