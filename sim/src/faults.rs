//! Faults that a test asks for: slow answers, errors, an API server that is down.
//!
//! They act on requests before the core sees them, so that data are never harmed.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::random::Random;
use crate::request::{Request, Verb};

/// Chooses requests.
#[derive(Debug, Clone, Default)]
pub struct Matcher {
    /// This verb only, such as `apply` or `list`.
    pub verb: Option<String>,
    /// Paths that contain this text only.
    pub path: Option<String>,
}

impl Matcher {
    /// Every request.
    #[must_use]
    pub fn any() -> Matcher {
        Matcher::default()
    }

    /// Requests of this verb whose path contains this text.
    #[must_use]
    pub fn of(verb: &str, path: &str) -> Matcher {
        Matcher { verb: Some(verb.to_owned()), path: Some(path.to_owned()) }
    }

    fn matches(&self, verb: Verb, path: &str) -> bool {
        self.verb.as_deref().is_none_or(|wanted| wanted == verb.name())
            && self.path.as_deref().is_none_or(|part| path.contains(part))
    }
}

/// An answer in place of the real one.
#[derive(Debug, Clone)]
pub struct Failing {
    /// The HTTP status code.
    pub code: u16,
    /// `Retry-After`, in seconds.
    pub retry_after_seconds: Option<u64>,
}

impl Failing {
    /// Only a status code.
    #[must_use]
    pub fn code(code: u16) -> Failing {
        Failing { code, retry_after_seconds: None }
    }
}

#[derive(Debug)]
struct Plan {
    random: Random,
    latency: Duration,
    jitter: Duration,
    error_rate: f64,
    error: Failing,
    once: VecDeque<(Matcher, Failing)>,
    always: Vec<(Matcher, Failing)>,
}

/// The faults of one cluster.
#[derive(Debug)]
pub struct Faults {
    plan: Mutex<Plan>,
    up: watch::Sender<bool>,
    cuts: watch::Sender<u64>,
}

impl Faults {
    pub(crate) fn new(seed: u64) -> Faults {
        let plan = Plan {
            random: Random::new(seed ^ 0xfa17),
            latency: Duration::ZERO,
            jitter: Duration::ZERO,
            error_rate: 0.0,
            error: Failing::code(500),
            once: VecDeque::new(),
            always: Vec::new(),
        };
        Faults { plan: Mutex::new(plan), up: watch::channel(true).0, cuts: watch::channel(0).0 }
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every answer waits this long, and up to `jitter` longer.
    pub fn set_latency(&self, latency: Duration, jitter: Duration) {
        let mut plan = self.plan();
        (plan.latency, plan.jitter) = (latency, jitter);
    }

    /// This share of all requests, between 0 and 1, is answered with that error.
    pub fn set_error_rate(&self, rate: f64, error: Failing) {
        let mut plan = self.plan();
        (plan.error_rate, plan.error) = (rate, error);
    }

    /// The next request that matches is answered with that error. Several are used up in their order.
    pub fn fail_once(&self, matcher: Matcher, error: Failing) {
        self.plan().once.push_back((matcher, error));
    }

    /// Every request that matches is answered with that error, until [`Faults::clear`].
    pub fn fail_always(&self, matcher: Matcher, error: Failing) {
        self.plan().always.push((matcher, error));
    }

    /// How many errors of [`Faults::fail_once`] nobody has met yet.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.plan().once.len()
    }

    /// No latency and no errors any more. It does not bring the API server up.
    pub fn clear(&self) {
        let mut plan = self.plan();
        plan.latency = Duration::ZERO;
        plan.jitter = Duration::ZERO;
        plan.error_rate = 0.0;
        plan.once.clear();
        plan.always.clear();
    }

    /// Drops all connections and refuses new ones. Data stay, controllers go on.
    pub fn take_down(&self) {
        self.up.send_replace(false);
    }

    /// Serves again, at the same address.
    pub fn bring_up(&self) {
        self.up.send_replace(true);
    }

    /// Drops all connections, running watches too, and goes on serving.
    pub fn cut_connections(&self) {
        self.cuts.send_modify(|count| *count += 1);
    }

    pub(crate) fn watch_cuts(&self) -> watch::Receiver<u64> {
        self.cuts.subscribe()
    }

    /// Is the API server meant to be up?
    #[must_use]
    pub fn is_up(&self) -> bool {
        *self.up.borrow()
    }

    pub(crate) fn watch_up(&self) -> watch::Receiver<bool> {
        self.up.subscribe()
    }

    /// What happens to this request: how long it waits and whether it fails.
    pub(crate) fn decide(&self, request: &Request, verb: Verb) -> (Duration, Option<Failing>) {
        let mut plan = self.plan();
        let wait = plan.latency + plan.jitter.mul_f64(plan.random.fraction());
        let path = request.path.as_str();
        if let Some(place) = plan.once.iter().position(|(matcher, _)| matcher.matches(verb, path)) {
            return (wait, plan.once.remove(place).map(|(_, error)| error));
        }
        let always = plan.always.iter().find(|(matcher, _)| matcher.matches(verb, path));
        if let Some((_, error)) = always {
            return (wait, Some(error.clone()));
        }
        let rate = plan.error_rate;
        let hit = rate > 0.0 && plan.random.fraction() < rate;
        (wait, hit.then(|| plan.error.clone()))
    }
}
