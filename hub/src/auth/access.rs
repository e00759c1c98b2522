//! Who may do what. Pure.
//!
//! There is one role as yet: whoever holds a user's certificate of this hub is an administrator. Roles by project and
//! verb will be decided here, and every call already says which verb it is.

use nave_common::name::UserName;

use crate::error::Error;

/// What a call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Looks.
    Read,
    /// Changes what runs.
    Deploy,
    /// Changes clusters and lets new ones join.
    Administer,
}

/// What a user is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// May do everything.
    Administrator,
}

/// The role of a user.
#[must_use]
pub fn role(user: &UserName) -> Role {
    let _ = user;
    Role::Administrator
}

/// Checks that a user may do something.
///
/// # Errors
/// [`Error::Denied`] where he may not.
pub fn check(user: &UserName, verb: Verb) -> Result<(), Error> {
    match (role(user), verb) {
        (Role::Administrator, Verb::Read | Verb::Deploy | Verb::Administer) => Ok(()),
    }
}
