//! The hub's doubts of itself: when what it sees may be its own fault, it moves nothing that nobody ordered.
//!
//! It cannot tell a fleet that died from a cable of its own that was pulled, or a pause of its own from everybody
//! else's silence. So it holds still after a start and after a pause, until agents have had time to be heard; and while
//! so much is silent at once that it is likelier that the hub is cut off. Regions that went silent long before count for
//! nothing in that: the loss of one region after another is not the loss of all.

use std::collections::BTreeMap;
use std::time::Duration;

use nave_common::failover::Frozen;
use nave_common::name::ClusterName;
use nave_common::time::{BootTime, HumanDuration, Timestamp};

use super::Now;

/// Regions that went silent within so long of each other did so at once.
const AT_ONCE: Duration = Duration::from_secs(600);
/// The most regions that a reason names.
const MAX_NAMES: usize = 5;

/// All that the hub's doubts depend on.
#[derive(Debug, Clone, Copy)]
pub struct Doubts<'a> {
    /// When this process started.
    pub started_at: Now,
    /// How long it holds still after a start or a pause. For Exclusive work at least the longest lease ever promised.
    pub freeze: Duration,
    /// When it found that it had been paused, if it was.
    pub paused_at: Option<Now>,
    /// Who has frozen it and since when, if somebody has.
    pub frozen_by: Option<(&'a str, Timestamp)>,
    /// When a person last said that its doubts are unfounded: those that are older no longer freeze.
    pub thawed_at: Option<Timestamp>,
    /// Since when it runs on a backup of which not every agent has reported yet; `None` where it does not.
    pub restored_at: Option<Timestamp>,
    /// Every cluster of the fleet.
    pub clusters: &'a [Heard<'a>],
    /// More than so many percent of the regions silent at once freeze.
    pub freeze_above_percent: u8,
}

/// One cluster, as far as it is heard.
#[derive(Debug, Clone, Copy)]
pub struct Heard<'a> {
    /// The cluster.
    pub cluster: &'a ClusterName,
    /// Its region; where it has none it counts as a region of its own.
    pub region: Option<&'a str>,
    /// Since when it is not heard: the end of its lease, or the hub's start; `None` while it is heard.
    pub silent_since: Option<Timestamp>,
}

/// Whether the hub doubts itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Doubt {
    /// Why nothing moves that nobody ordered, where nothing does.
    pub frozen: Option<Frozen>,
    /// When to look again though nothing changes.
    pub look_at: Option<BootTime>,
}

/// Whether the hub doubts itself now. Where there are several reasons, the one that lasts longest is named.
#[must_use]
pub fn doubt(doubts: &Doubts<'_>, now: Now) -> Doubt {
    let timed = timed(doubts, now);
    let look_at = timed.iter().map(|(ends_at, _)| *ends_at).min();
    let lasting = by_person(doubts).or_else(|| restored(doubts)).or_else(|| silence(doubts));
    let longest = timed.into_iter().max_by_key(|(ends_at, _)| *ends_at).map(|(_, frozen)| frozen);
    Doubt { frozen: lasting.or(longest), look_at }
}

fn by_person(doubts: &Doubts<'_>) -> Option<Frozen> {
    let (by, since) = doubts.frozen_by?;
    let reason = format!("{by} froze failover; `nave failover thaw` ends it");
    Some(Frozen { reason, since, until: None })
}

fn restored(doubts: &Doubts<'_>) -> Option<Frozen> {
    let since = doubts.restored_at.filter(|at| is_news(doubts, *at))?;
    let reason = "the hub runs on a backup and not every agent has reported yet; connect or remove the missing \
                  clusters, or `nave failover thaw`";
    Some(Frozen { reason: reason.to_owned(), since, until: None })
}

/// What ends with time: a start, a pause.
fn timed(doubts: &Doubts<'_>, now: Now) -> Vec<(BootTime, Frozen)> {
    let started = Some((doubts.started_at, "the hub started"));
    let paused = doubts.paused_at.map(|at| (at, "the hub found that it had been paused"));
    let running = |(at, what): (Now, &str)| {
        let ends_at = at.boot.plus(doubts.freeze);
        (now.boot < ends_at && is_news(doubts, at.wall)).then(|| {
            let freeze = HumanDuration(doubts.freeze);
            let reason = format!(
                "{what}, and waits {freeze} for its agents to be heard; `nave failover thaw` ends it at once"
            );
            (ends_at, Frozen { reason, since: at.wall, until: Some(at.wall.plus(doubts.freeze)) })
        })
    };
    [started, paused].into_iter().flatten().filter_map(running).collect()
}

/// Too much of the fleet is silent at once.
fn silence(doubts: &Doubts<'_>) -> Option<Frozen> {
    let mut silent: Vec<(Timestamp, String)> = Vec::new();
    let mut counted = 0_usize;
    for (region, since) in regions(doubts.clusters) {
        match since {
            Some(since) if !is_news(doubts, since) => {}
            Some(since) => {
                counted += 1;
                silent.push((since, region));
            }
            None => counted += 1,
        }
    }
    silent.sort();
    let mut rest = silent.as_slice();
    while let Some(((first, _), _)) = rest.split_first() {
        let last_of = |pair: &[(Timestamp, String)]| pair[1].0.since(pair[0].0) > AT_ONCE;
        let count = rest.windows(2).position(last_of).map_or(rest.len(), |place| place + 1);
        let (burst, later) = rest.split_at(count);
        let is_all = count == counted;
        if is_all || count * 100 > counted * usize::from(doubts.freeze_above_percent) {
            let since = burst.last().map_or(*first, |(since, _)| *since);
            return Some(Frozen { reason: silence_reason(burst, counted, doubts), since, until: None });
        }
        counted -= count;
        rest = later;
    }
    None
}

fn silence_reason(burst: &[(Timestamp, String)], counted: usize, doubts: &Doubts<'_>) -> String {
    let names: Vec<&str> = burst.iter().take(MAX_NAMES).map(|(_, region)| region.as_str()).collect();
    let more = burst.len().saturating_sub(MAX_NAMES);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let names = names.join(", ");
    let what = if burst.len() == counted {
        format!("every region is silent ({names}{more}): the hub itself may be cut off")
    } else {
        let (silent, limit) = (burst.len(), doubts.freeze_above_percent);
        format!("{silent} of {counted} regions went silent at once ({names}{more}), more than {limit} %")
    };
    format!("{what}; ends when they are heard again, or with `nave failover thaw` if they are really lost")
}

/// Each region, and since when all of it is silent, if it is.
fn regions(clusters: &[Heard<'_>]) -> BTreeMap<String, Option<Timestamp>> {
    let mut regions: BTreeMap<String, Option<Timestamp>> = BTreeMap::new();
    for heard in clusters {
        let name = heard.region.map_or_else(|| format!("cluster {}", heard.cluster), str::to_owned);
        let since = regions.entry(name).or_insert(heard.silent_since);
        *since = since.zip(heard.silent_since).map(|(one, other)| one.max(other));
    }
    regions
}

/// Whether it came up after a person last said that all is well.
fn is_news(doubts: &Doubts<'_>, at: Timestamp) -> bool {
    doubts.thawed_at.is_none_or(|thawed| thawed < at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wall(seconds: u64) -> Timestamp {
        Timestamp::EPOCH.plus(Duration::from_secs(1_800_000_000 + seconds))
    }

    fn at(seconds: u64) -> Now {
        Now { boot: BootTime::from_duration(Duration::from_secs(seconds)), wall: wall(seconds) }
    }

    /// Three regions with two clusters each; `silent` says since when.
    fn fleet(silent: &[(&str, u64)]) -> Vec<(ClusterName, &'static str, Option<Timestamp>)> {
        let one = |(name, region): &(&str, &'static str)| {
            let since = silent.iter().find(|(silent, _)| name.starts_with(silent));
            (name.parse().unwrap(), *region, since.map(|(_, since)| wall(*since)))
        };
        [("eu-1", "eu"), ("eu-2", "eu"), ("us-1", "us"), ("us-2", "us"), ("ap-1", "ap"), ("ap-2", "ap")]
            .iter()
            .map(one)
            .collect()
    }

    fn doubt_of(silent: &[(&str, u64)], now: u64, change: impl FnOnce(&mut Doubts<'_>)) -> Doubt {
        let fleet = fleet(silent);
        let heard = |(cluster, region, since): &'_ (ClusterName, &'static str, Option<Timestamp>)| {
            (cluster.clone(), *region, *since)
        };
        let owned: Vec<_> = fleet.iter().map(heard).collect();
        let clusters: Vec<Heard<'_>> = owned
            .iter()
            .map(|(cluster, region, silent_since)| Heard {
                cluster,
                region: Some(region),
                silent_since: *silent_since,
            })
            .collect();
        let mut doubts = Doubts {
            started_at: at(0),
            freeze: Duration::from_secs(60),
            paused_at: None,
            frozen_by: None,
            thawed_at: None,
            restored_at: None,
            clusters: &clusters,
            freeze_above_percent: 50,
        };
        change(&mut doubts);
        doubt(&doubts, at(now))
    }

    fn reason(doubt: &Doubt) -> &str {
        doubt.frozen.as_ref().map_or("", |frozen| frozen.reason.as_str())
    }

    #[test]
    fn it_holds_still_after_a_start_and_says_until_when() {
        let fresh = doubt_of(&[], 59, |_| {});
        assert_eq!(fresh.frozen.as_ref().unwrap().until, Some(wall(60)));
        assert_eq!(fresh.look_at, Some(at(60).boot));
        assert_eq!(doubt_of(&[], 60, |_| {}), Doubt::default());
        assert_eq!(doubt_of(&[], 30, |it| it.thawed_at = Some(wall(20))), Doubt::default());
    }

    #[test]
    fn it_holds_still_after_a_pause_of_its_own() {
        let paused = doubt_of(&[], 300, |it| it.paused_at = Some(at(290)));
        assert!(reason(&paused).contains("paused"), "{}", reason(&paused));
        assert_eq!(paused.look_at, Some(at(350).boot));
        assert_eq!(doubt_of(&[], 350, |it| it.paused_at = Some(at(290))), Doubt::default());
    }

    #[test]
    fn one_whole_region_may_be_lost() {
        assert_eq!(doubt_of(&[("eu", 1000)], 1010, |_| {}), Doubt::default());
        // A region in which one cluster is heard is not silent.
        assert_eq!(doubt_of(&[("eu", 1000), ("us-1", 1000)], 1010, |_| {}), Doubt::default());
    }

    #[test]
    fn most_regions_at_once_freeze_until_they_are_heard_or_a_person_looks() {
        let frozen = doubt_of(&[("eu", 1000), ("us", 1003)], 1010, |_| {});
        assert!(reason(&frozen).starts_with("2 of 3 regions went silent at once (eu, us)"), "{frozen:?}");
        assert_eq!(frozen.frozen.unwrap().since, wall(1003));
        let thawed = doubt_of(&[("eu", 1000), ("us", 1003)], 1100, |it| it.thawed_at = Some(wall(1050)));
        assert_eq!(thawed, Doubt::default());
        // What goes silent after that is news.
        let again =
            doubt_of(&[("eu", 1000), ("us", 1003), ("ap", 2000)], 2000, |it| it.thawed_at = Some(wall(1050)));
        assert!(reason(&again).starts_with("every region is silent (ap)"), "{again:?}");
    }

    #[test]
    fn one_region_after_another_does_not_freeze_as_long_as_one_is_heard() {
        assert_eq!(doubt_of(&[("eu", 1000), ("us", 5000)], 5000, |_| {}), Doubt::default());
        let all = doubt_of(&[("eu", 1000), ("us", 5000), ("ap", 9000)], 9000, |it| {
            it.freeze_above_percent = 100;
        });
        assert!(reason(&all).contains("the hub itself may be cut off"), "{all:?}");
    }

    #[test]
    fn a_person_comes_first() {
        let frozen = doubt_of(&[("eu", 10), ("us", 10)], 30, |it| it.frozen_by = Some(("alice", wall(5))));
        assert_eq!(reason(&frozen), "alice froze failover; `nave failover thaw` ends it");
        let restored = doubt_of(&[], 100, |it| it.restored_at = Some(wall(0)));
        assert!(reason(&restored).contains("backup"), "{restored:?}");
    }
}
