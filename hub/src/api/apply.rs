//! Creating and changing applications.

use nave_common::application::{Application, Sync};
use nave_common::field::FieldError;
use nave_proto::v1;

use super::call::Call;
use super::change::{self, Attempts, Change, Current};
use super::source::{self, Resolved};
use super::{exclusive, preview, view};
use crate::error::Error;
use crate::metrics::Applied;
use crate::parts::Parts;
use crate::world::State;

/// Annotations of one resource, in bytes of keys and values; as Kubernetes has it.
pub(super) const MAX_ANNOTATION_BYTES: usize = 256 << 10;

/// Creates or changes an application.
///
/// # Errors
/// Where anything of it is refused; then nothing is changed.
pub(super) async fn apply(
    parts: &Parts,
    call: &Call,
    request: v1::ApplyApplicationRequest,
) -> Result<v1::ApplyApplicationResponse, Error> {
    let applied = try_apply(parts, call, request).await;
    let counted = match &applied {
        Ok((_, counted)) => *counted,
        Err(_) => Applied::Refused,
    };
    parts.metrics.applied(counted);
    applied.map(|(answer, _)| answer)
}

async fn try_apply(
    parts: &Parts,
    call: &Call,
    request: v1::ApplyApplicationRequest,
) -> Result<(v1::ApplyApplicationResponse, Applied), Error> {
    let _place = parts.heavy_place().await?;
    let application = read(request.application)?;
    let key = application.key();
    let resolved = source::resolve(parts, &application.spec.source).await?;
    if !request.dry_run {
        // Before the commit that names it; one that nothing names is collected later.
        source::keep(parts, &resolved).await?;
    }
    let attempt = Attempt { parts, call, application: &application, resolved: &resolved };
    let mut attempts = Attempts::of(parts, format!("application {key}"));
    loop {
        match attempt.run(request.dry_run).await {
            Err(error) => attempts.after(error).await?,
            applied => return applied,
        }
    }
}

/// Reads and checks what was sent.
///
/// # Errors
/// The first problem, with its path.
pub(super) fn read(wire: Option<v1::Application>) -> Result<Application, Error> {
    let wire = wire.ok_or_else(|| Error::field("application", "is missing"))?;
    let mut application = Application::try_from(wire)?;
    application.status = None;
    application.check()?;
    check_annotations(&application.metadata.annotations)?;
    Ok(application)
}

/// Checks the size of annotations.
///
/// # Errors
/// Where they are too large.
pub(super) fn check_annotations(
    annotations: &std::collections::BTreeMap<String, String>,
) -> Result<(), FieldError> {
    let size_bytes: usize = annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    if size_bytes > MAX_ANNOTATION_BYTES {
        let problem = format!("take {size_bytes} bytes; at most {MAX_ANNOTATION_BYTES} are allowed");
        return Err(FieldError::new("metadata.annotations", problem));
    }
    Ok(())
}

/// One attempt, on what the store has now.
struct Attempt<'a> {
    parts: &'a Parts,
    call: &'a Call,
    application: &'a Application,
    resolved: &'a Resolved,
}

impl Attempt<'_> {
    async fn run(&self, dry_run: bool) -> Result<(v1::ApplyApplicationResponse, Applied), Error> {
        let key = self.application.key();
        let current = change::current(self.parts, &key).await?;
        change::check_sequence(&key, self.application.metadata.sequence, current.as_ref())?;
        if let Some(current) = &current {
            change::check_alive(&current.application)?;
        }
        let wanted = self.wanted(current.as_ref());
        let mut preview = preview::preview(self.parts, &wanted, self.resolved).await?;
        let mut planned = None;
        if let Some(current) = &current {
            let change = |state: &State| exclusive::check_change(state, &current.application, &wanted);
            let checked = self.parts.world.read(change)?;
            preview.warnings.extend(checked.warnings);
            planned = checked.planned;
        }
        let revision = change::new_revision(self.parts, self.call, &key, self.resolved);
        // After a restore what runs may be something else: an apply of the same is news there.
        let is_same = current.as_ref().is_some_and(|current| is_same(&current.application, &wanted))
            && !self.parts.world.read(|state| state.is_held(&key));
        let (outcome, counted) = match &current {
            None => (v1::Outcome::Created, Applied::Created),
            Some(_) if is_same && revision.is_none() => (v1::Outcome::Unchanged, Applied::Unchanged),
            Some(_) => (v1::Outcome::Configured, Applied::Configured),
        };
        let mut answer = v1::ApplyApplicationResponse {
            application: None,
            outcome: outcome.into(),
            change_id: self.call.change_id.clone(),
            warnings: preview.warnings,
            placement: Some(preview.placement.into()),
        };
        if dry_run {
            answer.application = Some(view::application(wanted));
            return Ok((answer, Applied::DryRun));
        }
        if outcome != v1::Outcome::Unchanged {
            let what = if current.is_none() { "created" } else { "changed" };
            let change = Change {
                base: current.as_ref(),
                message: match &revision {
                    Some(revision) => {
                        format!(
                            "{what} by {}: revision {} from {}",
                            self.call.user, revision.number, revision.origin
                        )
                    }
                    None => format!("{what} by {}", self.call.user),
                },
                application: wanted.clone(),
                revision,
                reason: "Applied",
                planned,
            };
            change::write(self.parts, self.call, change).await?;
        }
        let now = self.parts.now();
        // Gone already where somebody deleted it in between: what was written is still the answer.
        let shown = self.parts.world.read(|state| state.application_view(&key, now)).unwrap_or(wanted);
        answer.application = Some(view::application(shown));
        Ok((answer, counted))
    }

    /// What was sent, with what the hub fills in.
    fn wanted(&self, current: Option<&Current>) -> Application {
        let mut wanted = self.application.clone();
        let metadata = &mut wanted.metadata;
        metadata.sequence = current.map_or(0, |current| current.sequence.0);
        metadata.created_at =
            current.map_or_else(|| Some(self.parts.now()), |current| current.application.metadata.created_at);
        metadata.deleted_at = None;
        if let Some(current) = current {
            keep_suspension(&mut wanted.spec.sync, &current.application.spec.sync);
        }
        wanted
    }
}

/// A suspension outlives an apply: what a person stopped by hand at night is not let go on by the next pipeline. Only
/// a resume ends it.
fn keep_suspension(wanted: &mut Sync, current: &Sync) {
    wanted.suspended |= current.suspended;
    for cluster in &current.suspended_clusters {
        if !wanted.suspended_clusters.contains(cluster) {
            wanted.suspended_clusters.push(cluster.clone());
        }
    }
}

/// Whether nothing that a user sets differs.
fn is_same(current: &Application, wanted: &Application) -> bool {
    current.spec == wanted.spec
        && current.metadata.labels == wanted.metadata.labels
        && current.metadata.annotations == wanted.metadata.annotations
}
