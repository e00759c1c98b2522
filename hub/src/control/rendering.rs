//! Renderings that plans need: made once for each distinct set of changes, and remembered by what they depend on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nave_common::assignment::Run;
use nave_common::bundle::Bundle;
use nave_common::digest::Digest;
use nave_common::name::ApplicationKey;
use nave_common::render::render;

use super::draft::Drafted;
use super::{BundleSource, Error};
use crate::cache;
use crate::plan::assign::{Draft, RenderKey, Renderings};

/// Memory for remembered digests.
const CACHE_BYTES: usize = 8 << 20;
/// About what one entry takes, its keys twice among it.
const ENTRY_BYTES: usize = 512;

/// Renderings that were asked for.
#[derive(Debug, Default)]
pub(super) struct Rendered {
    pub(super) digests: Renderings,
    /// Those whose bundle could not be read, which may change by itself.
    unavailable: BTreeSet<RenderKey>,
}

impl Rendered {
    /// The applications that want what may be there later.
    pub(super) fn unavailable<'a>(
        &'a self,
        drafts: &'a [Drafted],
    ) -> impl Iterator<Item = ApplicationKey> + 'a {
        let waits = |draft: &Draft| draft.wanted().any(|(key, _)| self.unavailable.contains(key));
        drafts.iter().filter(move |it| waits(&it.draft)).map(|it| it.job.key.clone())
    }
}

/// The digests of renderings that were made. A rendering depends on nothing but its key, so none ever goes stale;
/// failures are not kept, since a bundle may come back.
#[derive(Debug)]
pub(super) struct Cache(cache::Cache<RenderKey, Digest>);

impl Cache {
    pub(super) fn new() -> Self {
        Self(cache::Cache::new(CACHE_BYTES))
    }

    /// The renderings that `wanted` names; what cannot be rendered is in it with why.
    pub(super) async fn get(
        &mut self,
        wanted: BTreeMap<RenderKey, Run>,
        bundles: &dyn BundleSource,
    ) -> Result<Rendered, Error> {
        let mut rendered = Rendered::default();
        let renderings = &mut rendered.digests;
        let mut missing: BTreeMap<Digest, Vec<(RenderKey, Run)>> = BTreeMap::new();
        for (key, run) in wanted {
            match self.0.get(&key) {
                Some(digest) => {
                    renderings.insert(key, Ok(digest));
                }
                None => missing.entry(key.bundle).or_default().push((key, run)),
            }
        }
        for (digest, wanted) in missing {
            match bundles.bundle(&digest).await {
                Ok(bundle) => renderings.extend(render_all(bundle, wanted).await?),
                Err(error) => {
                    let why = format!("its bundle {} cannot be read: {error}", digest.short());
                    rendered.unavailable.extend(wanted.iter().map(|(key, _)| key.clone()));
                    renderings.extend(wanted.into_iter().map(|(key, _)| (key, Err(why.clone()))));
                }
            }
        }
        for (key, rendering) in &rendered.digests {
            if let Ok(digest) = rendering {
                self.0.put(key.clone(), *digest, ENTRY_BYTES);
            }
        }
        Ok(rendered)
    }
}

/// Renders on a thread that may be busy for long: a bundle may hold thousands of objects.
async fn render_all(bundle: Arc<Bundle>, wanted: Vec<(RenderKey, Run)>) -> Result<Renderings, Error> {
    let work = move || {
        let one = |(key, run): (RenderKey, Run)| {
            let digest = render(&bundle, key.inputs(&run)).map(|rendering| rendering.digest);
            (key, digest.map_err(|error| error.to_string()))
        };
        wanted.into_iter().map(one).collect()
    };
    Ok(tokio::task::spawn_blocking(work).await?)
}

/// The renderings that drafts want, each once.
pub(super) fn distinct<'a>(
    wanted: impl Iterator<Item = (&'a RenderKey, &'a Run)>,
) -> BTreeMap<RenderKey, Run> {
    let mut seen = BTreeSet::new();
    wanted.filter(|(key, _)| seen.insert(*key)).map(|(key, run)| (key.clone(), run.clone())).collect()
}
