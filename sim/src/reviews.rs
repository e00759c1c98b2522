//! Access reviews: everybody may do everything.
//!
//! They are answered and never stored.

use serde_json::{Value, json};

use crate::request::{Request, ResourcePath};
use crate::state::Reply;
use crate::status::{Failure, Result};

/// The answer, if the path is that of a review.
pub(crate) fn answer(request: &Request, path: &ResourcePath) -> Option<Result<Reply>> {
    let status = match (path.group.as_str(), path.plural.as_str()) {
        (
            "authorization.k8s.io",
            "selfsubjectaccessreviews" | "subjectaccessreviews" | "localsubjectaccessreviews",
        ) => json!({"allowed": true}),
        ("authorization.k8s.io", "selfsubjectrulesreviews") => json!({"incomplete": false,
            "nonResourceRules": [{"nonResourceURLs": ["*"], "verbs": ["*"]}],
            "resourceRules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]}),
        ("authentication.k8s.io", "selfsubjectreviews") => json!({"userInfo": {"username": "system:admin",
            "groups": ["system:masters", "system:authenticated"]}}),
        _ => return None,
    };
    if request.method != "POST" {
        return Some(Err(Failure::method_not_allowed()));
    }
    let mut review: Value = match serde_json::from_slice(&request.body) {
        Ok(review @ Value::Object(_)) => review,
        _ => return Some(Err(Failure::bad_request("the body is no review"))),
    };
    review["status"] = status;
    Some(Ok(Reply::json(201, &review)))
}
