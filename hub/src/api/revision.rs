//! Revisions: an application's history, and the way back.

use std::sync::Arc;

use nave_common::name::ApplicationKey;
use nave_common::revision::Revision;
use nave_common::source::{BundleSource, Source};
use nave_proto::v1;

use super::call::Call;
use super::change::{self, Attempts, Change};
use super::source::Resolved;
use super::{preview, read, view};
use crate::error::Error;
use crate::parts::Parts;

/// An application's Revisions, newest first.
///
/// # Errors
/// Where there is no such application.
pub(super) fn list(
    parts: &Parts,
    request: v1::ListRevisionsRequest,
) -> Result<v1::ListRevisionsResponse, Error> {
    let key = read::key(request.application)?;
    parts.world.read(|state| {
        if !state.applications().contains_key(&key) {
            return Err(view::no_application(&key));
        }
        let revisions = state.revisions(&key).rev().map(|revision| (&**revision).into()).collect();
        Ok(v1::ListRevisionsResponse { revisions })
    })
}

/// Goes back to an earlier Revision: a new one with the older bundle.
///
/// # Errors
/// Where there is no such application or Revision, or it can no longer be rendered.
pub(super) async fn undo(
    parts: &Parts,
    call: &Call,
    request: v1::UndoApplicationRequest,
) -> Result<v1::UndoApplicationResponse, Error> {
    let key = read::key(request.application)?;
    let mut attempts = Attempts::of(parts, format!("application {key}"));
    loop {
        match try_undo(parts, call, &key, request.to_revision, request.dry_run).await {
            Err(error) => attempts.after(error).await?,
            undone => return undone,
        }
    }
}

async fn try_undo(
    parts: &Parts,
    call: &Call,
    key: &ApplicationKey,
    number: u64,
    dry_run: bool,
) -> Result<v1::UndoApplicationResponse, Error> {
    let current = change::current(parts, key).await?.ok_or_else(|| view::no_application(key))?;
    change::check_alive(&current.application)?;
    let target = target(parts, key, number)?;
    let resolved = Resolved {
        bundle: parts.bundles.get(&target.bundle).await?,
        digest: target.bundle,
        unkept: None,
        origin: format!("undo to {}", target.number),
        _pin: parts.bundles.pin(target.bundle)?,
    };
    let mut application = current.application.clone();
    application.spec.source = Source::Bundle(BundleSource { path: None, digest: Some(target.bundle) });
    preview::preview(parts, &application, &resolved).await?;
    let revision = change::new_revision(parts, call, key, &resolved).ok_or_else(|| {
        Error::Refused(format!("application {key} already has the manifests of revision {}", target.number))
    })?;
    if !dry_run {
        let change = Change {
            base: Some(&current),
            application: application.clone(),
            revision: Some(revision.clone()),
            planned: None,
            reason: "Undone",
            message: format!(
                "{} went back to revision {}, as revision {}",
                call.user, target.number, revision.number
            ),
        };
        change::write(parts, call, change).await?;
    }
    let now = parts.now();
    let shown = parts.world.read(|state| state.application_view(key, now)).filter(|_| !dry_run);
    Ok(v1::UndoApplicationResponse {
        application: Some(view::application(shown.unwrap_or(application))),
        revision: Some(revision.into()),
        change_id: call.change_id.clone(),
    })
}

/// The Revision that is gone back to.
fn target(parts: &Parts, key: &ApplicationKey, number: u64) -> Result<Arc<Revision>, Error> {
    parts.world.read(|state| {
        if number == 0 {
            let before = state.revisions(key).rev().nth(1).cloned();
            return before.ok_or_else(|| {
                Error::Refused(format!(
                    "application {key} has only one revision: there is nothing to go back to"
                ))
            });
        }
        state.revision(key, number).cloned().ok_or_else(|| {
            Error::NotFound(format!(
                "application {key} has no revision {number}; nave history lists those that are kept"
            ))
        })
    })
}
