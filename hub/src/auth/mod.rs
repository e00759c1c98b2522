//! Who speaks and what he may: identities from certificates, enrolment by join tokens, access.

pub mod access;
pub mod enroll;
pub mod enrolment;
pub mod peer;
pub mod renew;
