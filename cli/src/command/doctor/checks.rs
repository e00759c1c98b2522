//! What `nave doctor` makes of what it saw. Pure: no file, no hub and no clock is asked here.

use std::time::Duration;

use nave_common::cluster::Cluster;
use nave_common::status::Liveness;
use nave_common::time::{HumanDuration, Timestamp};
use serde::Serialize;

use crate::client::HubInfo;

/// A certificate with less than so long to live is worth a warning.
const SHORT_VALIDITY: Duration = Duration::from_secs(14 * 86_400);
/// Clocks that differ by more than so much make times hard to read, and by more than that certificates invalid.
const CLOCK_WARN: Duration = Duration::from_secs(5);
const CLOCK_FAIL: Duration = Duration::from_secs(60);
/// A cluster that was last heard longer ago has stale reports, whatever else is said of it.
const STALE: Duration = Duration::from_secs(60);
/// So many names are told; of more only the number.
const NAMES: usize = 5;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Result {
    Ok,
    Warn,
    Fail,
}

/// One check: what was looked at, how it came out, what was found and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Check {
    pub(super) check: String,
    pub(super) result: Result,
    pub(super) found: String,
    /// Empty where there is nothing to do, or where what was found says it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) todo: String,
}

impl Check {
    pub(super) fn ok(check: &str, found: impl Into<String>) -> Self {
        Self { check: check.to_owned(), result: Result::Ok, found: found.into(), todo: String::new() }
    }

    pub(super) fn warn(check: &str, found: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { check: check.to_owned(), result: Result::Warn, found: found.into(), todo: todo.into() }
    }

    pub(super) fn fail(check: &str, found: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { check: check.to_owned(), result: Result::Fail, found: found.into(), todo: todo.into() }
    }
}

/// Whether others than its owner may read the file of contexts, which holds keys.
pub(super) fn permissions(mode: u32) -> Check {
    let name = "context file permissions";
    let mode = mode & 0o777;
    if mode & 0o077 == 0 {
        Check::ok(name, format!("{mode:04o}"))
    } else {
        Check::warn(
            name,
            format!("{mode:04o}: others than you may read your key"),
            "chmod 600 the file of contexts",
        )
    }
}

/// How long the person's certificate is valid.
pub(super) fn certificate(not_before: Timestamp, not_after: Timestamp, now: Timestamp) -> Check {
    let name = "certificate";
    let renew =
        "make a new one on the hub's machine with `nave-hub init`, and take it with `nave context import`";
    let days = not_after.since(now).as_secs() / 86_400;
    if now > not_after {
        Check::fail(name, format!("it ran out at {not_after}"), renew)
    } else if now < not_before {
        Check::fail(name, format!("it is valid only from {not_before}"), "set this machine's clock")
    } else if not_after.since(now) < SHORT_VALIDITY {
        Check::warn(name, format!("{days} days left, until {not_after}"), renew)
    } else {
        Check::ok(name, format!("{days} days left, until {not_after}"))
    }
}

/// How far the hub's clock is from this machine's, whose answer came between `asked` and `answered`.
pub(super) fn clock(hub: Option<Timestamp>, asked: Timestamp, answered: Timestamp) -> Check {
    let name = "clock";
    let Some(hub) = hub else {
        return Check::warn(name, "the hub does not tell the time", "upgrade the hub");
    };
    // Any time between asking and the answer is right.
    let off = asked.since(hub).max(hub.since(answered));
    let found = format!("{} apart from the hub's", HumanDuration(off));
    let todo = "set the clocks of this machine and of the hub's by NTP";
    match off {
        off if off > CLOCK_FAIL => Check::fail(name, found, todo),
        off if off > CLOCK_WARN => Check::warn(name, found, todo),
        _ => Check::ok(name, found),
    }
}

/// Whether this program and the hub are of one version.
pub(super) fn versions(own: &str, hub: &str) -> Check {
    if own == hub {
        Check::ok("versions", format!("nave and hub are {own}"))
    } else {
        Check::warn("versions", format!("nave is {own}, the hub is {hub}"), "upgrade the older of the two")
    }
}

/// Whether the hub moves what is lost, and nothing waits after a restore.
pub(super) fn hub(info: &HubInfo) -> Vec<Check> {
    let name = "failover";
    let failover = match (&info.failover.frozen, info.failover.maintenance_until) {
        (Some(frozen), _) => Check::warn(
            name,
            format!("frozen since {}: {}", frozen.since, frozen.reason),
            "see `nave hub status`; nothing moves by itself until it ends (`nave failover thaw` ends it)",
        ),
        (None, Some(until)) => Check::warn(
            name,
            format!("in maintenance until {until}: no Exclusive work moves by itself"),
            "`nave hub maintenance --end` ends it",
        ),
        (None, None) => Check::ok(name, "ready: what is lost moves by itself"),
    };
    let held = if info.held_count == 0 {
        Check::ok("restore", "nothing waits after a restore")
    } else {
        Check::warn(
            "restore",
            format!("{} applications wait after a restore", info.held_count),
            "see `nave get applications`, and decide with `nave hub release`",
        )
    };
    vec![failover, held]
}

/// Whether clusters are heard, report, and can be worked with.
pub(super) fn clusters(clusters: &[Cluster], hub_version: &str, now: Timestamp) -> Vec<Check> {
    let named = |is_meant: &dyn Fn(&Cluster) -> bool| -> Vec<&str> {
        let meant = clusters.iter().filter(|cluster| is_meant(cluster));
        meant.map(|cluster| cluster.metadata.name.as_str()).collect()
    };
    let liveness = |cluster: &Cluster| cluster.status.as_ref().map(|status| status.liveness);
    let is_lost = |cluster: &Cluster| liveness(cluster) == Some(Liveness::Lost);
    let is_stale = |cluster: &Cluster| {
        let heard = cluster.status.as_ref().and_then(|status| status.last_heard_at);
        !is_lost(cluster) && heard.is_none_or(|heard| now.since(heard) > STALE)
    };
    let observed = |cluster: &Cluster| cluster.status.as_ref().and_then(|status| status.observed.clone());
    let is_broken = |cluster: &Cluster| observed(cluster).is_some_and(|it| it.problem.is_some());
    let is_other = |cluster: &Cluster| observed(cluster).is_some_and(|it| it.agent_version != hub_version);
    let mut checks = Vec::new();
    let mut tell = |names: &[&str], result, what: &str, todo: &str| {
        if !names.is_empty() {
            let found = format!("{} {what}: {}", names.len(), some(names));
            checks.push(Check { check: "clusters".to_owned(), result, found, todo: todo.to_owned() });
        }
    };
    tell(
        &named(&is_lost),
        Result::Fail,
        "lost",
        "run `nave-agent` there again and look at its log; `nave describe cluster NAME` says more",
    );
    tell(
        &named(&is_stale),
        Result::Warn,
        "with stale reports",
        "see that its agent runs and reaches the hub",
    );
    tell(
        &named(&is_broken),
        Result::Fail,
        "whose API server cannot be used",
        "`nave describe cluster NAME` says why",
    );
    tell(
        &named(&is_other),
        Result::Warn,
        "with an agent of another version than the hub",
        "upgrade its agent",
    );
    if checks.is_empty() {
        checks.push(Check::ok("clusters", format!("all {} are heard and report", clusters.len())));
    }
    checks
}

fn some(names: &[&str]) -> String {
    let told = names.iter().take(NAMES).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMES) {
        0 => told,
        more => format!("{told} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::EPOCH.plus(Duration::from_secs(seconds))
    }

    #[test]
    fn a_certificate_is_warned_of_before_it_runs_out() {
        let day = 86_400;
        let result = |now: u64| certificate(at(day), at(100 * day), at(now)).result;
        assert_eq!(result(2 * day), Result::Ok);
        assert_eq!(result(90 * day), Result::Warn);
        assert_eq!(result(101 * day), Result::Fail);
        assert_eq!(result(0), Result::Fail);
    }

    #[test]
    fn clocks_may_differ_by_what_the_answer_took_and_a_little() {
        let result = |hub: u64| clock(Some(at(hub)), at(1000), at(1002)).result;
        assert_eq!([1001, 996, 1006].map(result), [Result::Ok; 3]);
        assert_eq!([990, 1010].map(result), [Result::Warn; 2]);
        assert_eq!([900, 1100].map(result), [Result::Fail; 2]);
        assert_eq!(clock(None, at(0), at(0)).result, Result::Warn);
    }

    #[test]
    fn keys_that_others_may_read_are_warned_of() {
        assert_eq!(permissions(0o100_600).result, Result::Ok);
        assert_eq!(permissions(0o100_640).result, Result::Warn);
    }

    #[test]
    fn many_names_are_counted() {
        assert_eq!(some(&["a", "b"]), "a, b");
        assert_eq!(some(&["a", "b", "c", "d", "e", "f", "g"]), "a, b, c, d, e and 2 more");
    }
}
