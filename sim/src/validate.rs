//! The checks of the real server that people run into: names, required fields, selectors, what is immutable.
//!
//! Far from all of its checks. It never changes an object.

use base64::Engine as _;
use serde_json::Value;

use crate::kinds::Resource;
use crate::meta;
use crate::selector::label_selector_matches;
use crate::status::Cause;

const LABEL_RULE: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and \
    must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN_RULE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' \
    or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

fn is_label(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty()
        && text.len() <= 63
        && text.chars().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn is_subdomain(text: &str) -> bool {
    text.len() <= 253
        && text.split('.').all(|part| is_label(part) || (part.len() > 63 && is_label(&part[..63])))
}

/// What is wrong with a new object.
#[must_use]
pub(crate) fn create(resource: &Resource, object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    name(resource, object, &mut causes);
    labels(object, &mut causes);
    common(resource, object, &mut causes);
    causes
}

/// What is wrong with a changed object.
#[must_use]
pub(crate) fn update(resource: &Resource, live: &Value, object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    labels(object, &mut causes);
    finalizers(live, object, &mut causes);
    common(resource, object, &mut causes);
    immutable(resource, live, object, &mut causes);
    causes
}

fn name(resource: &Resource, object: &Value, causes: &mut Vec<Cause>) {
    let name = meta::name(object);
    let (fine, rule) = match (resource.group.as_str(), resource.plural.as_str()) {
        ("rbac.authorization.k8s.io", _) => (!name.contains(['/', '%']) && name != "." && name != "..", ""),
        ("", "namespaces" | "services") => (is_label(name), LABEL_RULE),
        _ => (is_subdomain(name), SUBDOMAIN_RULE),
    };
    let dotted = rule == LABEL_RULE && name.contains('.') && is_subdomain(name);
    if !fine {
        let rule = if dotted { "must not contain dots" } else { rule };
        causes.push(Cause::invalid("metadata.name", &Value::from(name), rule));
    }
    if resource.is("apiextensions.k8s.io", "customresourcedefinitions") {
        let spec = &object["spec"];
        let plural = spec["names"]["plural"].as_str().unwrap_or_default();
        let expected = format!("{plural}.{}", spec["group"].as_str().unwrap_or_default());
        if name != expected {
            let why = "must be spec.names.plural+\".\"+spec.group";
            causes.push(Cause::invalid("metadata.name", &Value::from(name), why));
        }
    }
}

/// What is on its way out gets no new finalizers.
fn finalizers(live: &Value, object: &Value, causes: &mut Vec<Cause>) {
    let old = meta::finalizers(live);
    let new: Vec<String> = meta::finalizers(object).into_iter().filter(|one| !old.contains(one)).collect();
    if meta::is_deleting(live) && !new.is_empty() {
        let list: Vec<String> = new.iter().map(|one| format!("{one:?}")).collect();
        let why = format!(
            "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
            list.join(", ")
        );
        causes.push(Cause::forbidden("metadata.finalizers", &why));
    }
}

fn labels(object: &Value, causes: &mut Vec<Cause>) {
    for (key, value) in object["metadata"]["labels"].as_object().into_iter().flatten() {
        let text = value.as_str().unwrap_or_default();
        let inner = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let edge = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
        let fine = text.len() <= 63
            && text.chars().all(inner)
            && edge(text.chars().next())
            && edge(text.chars().last());
        if !fine || key.is_empty() {
            let why = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or \
                       '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or \
                       'my_value',  or '12345', regex used for validation is \
                       '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
            causes.push(Cause::invalid("metadata.labels", value, why));
        }
    }
}

fn common(resource: &Resource, object: &Value, causes: &mut Vec<Cause>) {
    let spec = &object["spec"];
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("apps", "deployments" | "replicasets" | "statefulsets" | "daemonsets") => {
            replicas(spec, causes);
            selector(spec, causes);
            pod_spec(&spec["template"]["spec"], &spec["volumeClaimTemplates"], "spec.template.spec", causes);
        }
        ("batch", "jobs") => {
            let policy = &spec["template"]["spec"]["restartPolicy"];
            if policy == "Always" {
                causes.push(Cause::unsupported(
                    "spec.template.spec.restartPolicy",
                    policy,
                    &["OnFailure", "Never"],
                ));
            }
            pod_spec(&spec["template"]["spec"], &spec["volumeClaimTemplates"], "spec.template.spec", causes);
        }
        ("batch", "cronjobs") if spec["schedule"].as_str().unwrap_or_default().is_empty() => {
            causes.push(Cause::required("spec.schedule", ""));
        }
        ("", "pods") => pod_spec(spec, &Value::Null, "spec", causes),
        ("", "services") => service(spec, causes),
        ("", "configmaps") => keys(object, causes),
        ("", "secrets") => {
            keys(object, causes);
            docker_config(object, causes);
        }
        ("", "persistentvolumeclaims") => {
            if spec["accessModes"].as_array().is_none_or(Vec::is_empty) {
                causes.push(Cause::required("spec.accessModes", "at least 1 access mode is required"));
            }
            if spec["resources"]["requests"]["storage"].is_null() {
                causes.push(Cause::required("spec.resources[storage]", ""));
            }
        }
        _ => {}
    }
}

fn replicas(spec: &Value, causes: &mut Vec<Cause>) {
    if spec["replicas"].as_i64().is_some_and(|count| count < 0) {
        let why = "must be greater than or equal to 0";
        causes.push(Cause::invalid("spec.replicas", &spec["replicas"], why));
    }
}

fn selector(spec: &Value, causes: &mut Vec<Cause>) {
    let selector = &spec["selector"];
    if selector.is_null() {
        causes.push(Cause::required("spec.selector", ""));
    }
    let empty = selector.as_object().is_some_and(serde_json::Map::is_empty);
    if empty {
        let why = "empty selector is invalid for deployment";
        causes.push(Cause::invalid("spec.selector", selector, why));
    }
    let labels = meta::labels(&spec["template"]);
    if !label_selector_matches(selector, &labels) {
        let given = &spec["template"]["metadata"]["labels"];
        let why = "`selector` does not match template `labels`";
        causes.push(Cause::invalid("spec.template.metadata.labels", given, why));
    }
}

/// `claims` are the claim templates of a StatefulSet, whose names its pods may mount as well.
fn pod_spec(spec: &Value, claims: &Value, path: &str, causes: &mut Vec<Cause>) {
    let containers = spec["containers"].as_array().map_or(&[][..], Vec::as_slice);
    if containers.is_empty() {
        causes.push(Cause::required(&format!("{path}.containers"), ""));
    }
    let volumes: Vec<&str> = spec["volumes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|volume| volume["name"].as_str())
        .chain(claims.as_array().into_iter().flatten().filter_map(|claim| claim["metadata"]["name"].as_str()))
        .collect();
    for (field, list) in [
        ("initContainers", spec["initContainers"].as_array().map_or(&[][..], Vec::as_slice)),
        ("containers", containers),
    ] {
        for (index, container) in list.iter().enumerate() {
            let at = format!("{path}.{field}[{index}]");
            let name = container["name"].as_str().unwrap_or_default();
            if name.is_empty() {
                causes.push(Cause::required(&format!("{at}.name"), ""));
            } else if !is_label(name) {
                causes.push(Cause::invalid(&format!("{at}.name"), &Value::from(name), LABEL_RULE));
            }
            if list.iter().take(index).any(|other| other["name"] == name) && !name.is_empty() {
                causes.push(Cause {
                    reason: "FieldValueDuplicate",
                    message: format!("Duplicate value: {name:?}"),
                    field: format!("{at}.name"),
                });
            }
            if container["image"].as_str().unwrap_or_default().is_empty() {
                causes.push(Cause::required(&format!("{at}.image"), ""));
            }
            for (number, mount) in container["volumeMounts"].as_array().into_iter().flatten().enumerate() {
                let volume = mount["name"].as_str().unwrap_or_default();
                if !volumes.contains(&volume) {
                    causes.push(Cause {
                        reason: "FieldValueNotFound",
                        message: format!("Not found: {volume:?}"),
                        field: format!("{at}.volumeMounts[{number}].name"),
                    });
                }
            }
        }
    }
}

fn service(spec: &Value, causes: &mut Vec<Cause>) {
    let ports = spec["ports"].as_array().map_or(&[][..], Vec::as_slice);
    let headless = spec["clusterIP"] == "None" || spec["type"] == "ExternalName";
    if ports.is_empty() && !headless {
        causes.push(Cause::required("spec.ports", ""));
    }
    for (index, port) in ports.iter().enumerate() {
        if ports.len() > 1 && port["name"].as_str().unwrap_or_default().is_empty() {
            causes.push(Cause::required(&format!("spec.ports[{index}].name"), ""));
        }
        for field in ["port", "targetPort"] {
            let number = &port[field];
            if number.as_i64().is_some_and(|number| !(1..=65_535).contains(&number)) {
                let path = format!("spec.ports[{index}].{field}");
                causes.push(Cause::invalid(&path, number, "must be between 1 and 65535, inclusive"));
            }
        }
    }
}

fn keys(object: &Value, causes: &mut Vec<Cause>) {
    for key in object["data"].as_object().into_iter().flatten().map(|(key, _)| key) {
        let fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if key.is_empty() || key.len() > 253 || !key.chars().all(fine) {
            let why = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  \
                       or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
            causes.push(Cause::invalid(&format!("data[{key}]"), &Value::from(key.as_str()), why));
        }
    }
}

/// A Secret for pulling images holds JSON under a fixed key. The server says what is wrong and not what is there.
fn docker_config(object: &Value, causes: &mut Vec<Cause>) {
    if object["type"] != "kubernetes.io/dockerconfigjson" {
        return;
    }
    let Some(encoded) = object["data"][".dockerconfigjson"].as_str() else {
        causes.push(Cause::required("data[.dockerconfigjson]", ""));
        return;
    };
    let decoded = base64::engine::general_purpose::STANDARD.decode(encoded).unwrap_or_default();
    if let Err(error) = serde_json::from_slice::<Value>(&decoded) {
        let hidden = Value::from("<secret contents redacted>");
        let why = format!("invalid JSON at line {}", error.line());
        causes.push(Cause::invalid("data[.dockerconfigjson]", &hidden, &why));
    }
}

fn immutable(resource: &Resource, live: &Value, object: &Value, causes: &mut Vec<Cause>) {
    let mut fixed = |path: &str| {
        let (old, new) = (meta::at_path(live, path), meta::at_path(object, path));
        if old != new {
            causes.push(Cause::invalid(path, new, "field is immutable"));
        }
    };
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("apps", "deployments" | "replicasets" | "daemonsets") => fixed("spec.selector"),
        ("batch", "jobs") => {
            ["spec.selector", "spec.template", "spec.completionMode"].into_iter().for_each(fixed);
        }
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") => fixed("roleRef"),
        ("", "secrets") => {
            fixed("type");
            sealed(live, object, causes);
        }
        ("", "configmaps") => sealed(live, object, causes),
        ("storage.k8s.io", "storageclasses") => {
            ["provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"].into_iter().for_each(fixed);
        }
        ("scheduling.k8s.io", "priorityclasses") => fixed("value"),
        ("apiextensions.k8s.io", _) => {
            ["spec.group", "spec.names.plural", "spec.scope"].into_iter().for_each(fixed)
        }
        ("", "services") => {
            let (old, new) = (&live["spec"]["clusterIP"], &object["spec"]["clusterIP"]);
            if old != new
                && live["spec"]["type"] != "ExternalName"
                && object["spec"]["type"] != "ExternalName"
            {
                let shown = Value::Array(vec![new.clone()]);
                causes.push(Cause::invalid("spec.clusterIPs[0]", &shown, "may not change once set"));
            }
        }
        ("", "persistentvolumeclaims") => claim(live, object, causes),
        ("", "pods") => pod(live, object, causes),
        ("apps", "statefulsets") => stateful_set(live, object, causes),
        _ => {}
    }
}

/// Objects marked as immutable.
fn sealed(live: &Value, object: &Value, causes: &mut Vec<Cause>) {
    if live["immutable"] != true {
        return;
    }
    for field in ["immutable", "data", "binaryData"] {
        if live[field] != object[field] {
            causes.push(Cause::forbidden(field, "field is immutable when `immutable` is set"));
        }
    }
}

fn without(value: &Value, fields: &[&str]) -> Value {
    let mut value = value.clone();
    if let Value::Object(map) = &mut value {
        for field in fields {
            map.remove(*field);
        }
    }
    value
}

fn claim(live: &Value, object: &Value, causes: &mut Vec<Cause>) {
    let open = ["resources", "volumeName", "volumeAttributesClassName"];
    if without(&live["spec"], &open) != without(&object["spec"], &open) {
        let why = "spec is immutable after creation except resources.requests and volumeAttributesClassName for \
                   bound claims";
        causes.push(Cause::forbidden("spec", why));
    }
}

fn stateful_set(live: &Value, object: &Value, causes: &mut Vec<Cause>) {
    let open = [
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    ];
    if without(&live["spec"], &open) != without(&object["spec"], &open) {
        let why = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
                   'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and \
                   'minReadySeconds' are forbidden";
        causes.push(Cause::forbidden("spec", why));
    }
}

fn pod(live: &Value, object: &Value, causes: &mut Vec<Cause>) {
    let masked = |pod: &Value| {
        let open = ["activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds", "nodeName"];
        let mut spec = without(&pod["spec"], &open);
        for field in ["containers", "initContainers"] {
            for container in spec[field].as_array_mut().into_iter().flatten() {
                container["image"] = Value::Null;
            }
            meta::drop_null(&mut spec, field);
        }
        spec
    };
    if masked(live) != masked(object) {
        let why = "pod updates may not change fields other than `spec.containers[*].image`,\
                   `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to \
                   existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was \
                   previously negative)";
        causes.push(Cause::forbidden("spec", why));
    }
}
