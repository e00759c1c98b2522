//! Validated names. A value of these types is known to be a legal name, so nothing inside checks one again.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The longest DNS label, in bytes (RFC 1123).
pub const MAX_LABEL_BYTES: usize = 63;

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {value:?} is not valid: {why}")]
pub struct InvalidName {
    /// What was being named, such as `cluster name`.
    pub what: &'static str,
    /// The refused text, shortened.
    pub value: String,
    /// What is wrong and what is expected.
    pub why: String,
}

/// Checks a DNS label (RFC 1123): lower-case letters, digits and `-`, not first or last, at most 63 bytes.
///
/// # Errors
/// Says what is wrong in words that follow "is not valid:".
pub fn check_dns_label(value: &str) -> Result<(), String> {
    if value.is_empty() {
        return Err("it is empty; expected lower-case letters, digits and '-'".into());
    }
    if value.len() > MAX_LABEL_BYTES {
        return Err(format!("it is {} bytes long; at most {MAX_LABEL_BYTES} are allowed", value.len()));
    }
    if let Some(bad) = value.chars().find(|c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-')) {
        return Err(format!("{bad:?} is not allowed; expected lower-case letters, digits and '-'"));
    }
    if value.starts_with('-') || value.ends_with('-') {
        return Err("it must start and end with a letter or digit".into());
    }
    Ok(())
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks and takes a name: an RFC 1123 DNS label.
            ///
            /// # Errors
            /// [`InvalidName`] with what is wrong and what is expected.
            pub fn new(value: impl AsRef<str>) -> Result<Self, InvalidName> {
                let value = value.as_ref();
                check_dns_label(value).map_err(|why| InvalidName {
                    what: $what,
                    value: value.chars().take(80).collect(),
                    why,
                })?;
                Ok(Self(value.into()))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(value: String) -> Result<Self, InvalidName> {
                Self::new(value)
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidName;
            fn from_str(value: &str) -> Result<Self, InvalidName> {
                Self::new(value)
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0.as_ref().to_owned()
            }
        }
    };
}

name_type!(
    /// The name of a cluster in the fleet.
    ClusterName,
    "cluster name"
);
name_type!(
    /// The name of a project.
    ProjectName,
    "project name"
);
name_type!(
    /// The name of an application within its project.
    ApplicationName,
    "application name"
);
name_type!(
    /// The name of a Kubernetes namespace.
    NamespaceName,
    "namespace"
);
name_type!(
    /// The name of a person or pipeline that uses the hub.
    UserName,
    "user name"
);

impl Default for ProjectName {
    /// The project of what names none: `default`.
    fn default() -> Self {
        Self("default".into())
    }
}

/// How an application is known: by its project and its name in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplicationKey {
    /// The project; `default` where none is named.
    #[serde(default)]
    pub project: ProjectName,
    /// The name within the project.
    pub name: ApplicationName,
}

impl ApplicationKey {
    /// A key from its two names.
    #[must_use]
    pub fn new(project: ProjectName, name: ApplicationName) -> Self {
        Self { project, name }
    }
}

impl fmt::Display for ApplicationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.project, self.name)
    }
}

impl std::str::FromStr for ApplicationKey {
    type Err = InvalidName;

    /// Reads `NAME` (in project `default`) or `PROJECT/NAME`.
    fn from_str(value: &str) -> Result<Self, InvalidName> {
        match value.split_once('/') {
            Some((project, name)) => Ok(Self::new(project.parse()?, name.parse()?)),
            None => Ok(Self::new(ProjectName::default(), value.parse()?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dns_labels() {
        for good in ["a", "eu-1", "0", &"x".repeat(63)] {
            assert!(ClusterName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a.b", "a_b", "a/b", "é", &"x".repeat(64)] {
            assert!(ClusterName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_application_key_without_project_is_in_default() {
        let key: ApplicationKey = "shop".parse().unwrap();
        assert_eq!(key.to_string(), "default/shop");
        assert_eq!("retail/shop".parse::<ApplicationKey>().unwrap().project.as_str(), "retail");
    }
}
