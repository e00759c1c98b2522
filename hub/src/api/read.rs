//! What requests name, read into domain values with the path of what is wrong.

use nave_common::field::FieldError;
use nave_common::name::{ApplicationKey, ClusterName, ProjectName};
use nave_common::selector::Selector;
use nave_proto::v1;

use crate::error::Error;

/// The application that a request names.
///
/// # Errors
/// Where none is named, or the name is none.
pub(super) fn key(wire: Option<v1::ApplicationKey>) -> Result<ApplicationKey, Error> {
    key_or_none(wire)?.ok_or_else(|| Error::field("application", "is missing; expected a project and a name"))
}

/// The application that a request names, if it names one.
///
/// # Errors
/// Where the name is none.
pub(super) fn key_or_none(wire: Option<v1::ApplicationKey>) -> Result<Option<ApplicationKey>, Error> {
    let key = wire.map(ApplicationKey::try_from).transpose();
    key.map_err(|error| Error::Field(error.under("application")))
}

/// The cluster that a field names.
///
/// # Errors
/// Where the name is none.
pub(super) fn cluster(path: &str, text: &str) -> Result<ClusterName, Error> {
    text.parse().map_err(|error| Error::field(path, error))
}

/// The cluster that a field names, if it names one.
///
/// # Errors
/// Where the name is none.
pub(super) fn cluster_or_none(path: &str, text: &str) -> Result<Option<ClusterName>, Error> {
    if text.is_empty() { Ok(None) } else { cluster(path, text).map(Some) }
}

/// The clusters that a field names.
///
/// # Errors
/// Where a name is none.
pub(super) fn clusters(path: &str, names: &[String]) -> Result<Vec<ClusterName>, Error> {
    names.iter().enumerate().map(|(index, name)| cluster(&format!("{path}[{index}]"), name)).collect()
}

/// The project that a request names, if it names one.
///
/// # Errors
/// Where the name is none.
pub(super) fn project_or_none(text: &str) -> Result<Option<ProjectName>, Error> {
    if text.is_empty() {
        Ok(None)
    } else {
        text.parse().map(Some).map_err(|error| Error::field("project", error))
    }
}

/// A checked selector; one that is left out matches everything.
///
/// # Errors
/// Where it is no legal selector.
pub(super) fn selector(wire: Option<v1::Selector>) -> Result<Selector, Error> {
    let at = |error: FieldError| Error::Field(error.under("selector"));
    let selector = wire.map(Selector::try_from).transpose().map_err(at)?.unwrap_or_default();
    selector.check().map_err(at)?;
    Ok(selector)
}
