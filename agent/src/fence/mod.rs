//! The fence: keeps Exclusive work from running here when it may run elsewhere.
//!
//! Place in the flow: `desired -> fence -> reconcile`. It takes what was told, and hands on to [`crate::reconcile`] the
//! parked rendering of what may not run now; so healing drift can never undo a fence. [`machine`] counts leases.

pub mod machine;
