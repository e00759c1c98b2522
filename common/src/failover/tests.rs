//! The rules of failover as users write them, and epochs.

use super::*;
use crate::assignment::Generation;

fn read(text: &str) -> Result<Failover, String> {
    serde_saphyr::from_str(text).map_err(|error| error.to_string())
}

fn once() -> Placement {
    Placement { count: Some(1), ..Placement::default() }
}

#[test]
fn small_things_stay_small() {
    let failover =
        read("{mode: Exclusive, prefer: [{region: eu}, {cluster: us-1}], exclusive: {leaseDuration: 30s, fence: Storage}}")
            .unwrap();
    assert!(failover.check(&once()).is_ok());
    assert_eq!(failover.prefer[1], FailoverTarget::Cluster("us-1".parse().unwrap()));
    assert_eq!((failover.standbys(), failover.failback_mode()), (1, FailbackMode::Manual));
    let rules = failover.exclusive_rules().unwrap();
    assert_eq!((rules.fence, rules.lease_duration.0), (Fence::Storage, Duration::from_secs(30)));
    let plain = Failover::default();
    assert_eq!(
        (plain.standbys(), plain.failback_mode(), plain.exclusive_rules()),
        (0, FailbackMode::Auto, None)
    );
    assert!(read("{mode: Exclusiv}").is_err() && read("{lease: 3s}").is_err());
}

#[test]
fn exclusive_rules_need_an_exclusive_application() {
    let mut failover = Failover { mode: FailoverMode::Exclusive, ..Failover::default() };
    let error = failover.check(&Placement::default()).unwrap_err();
    assert_eq!(error.to_string(), "placement.count: is missing; expected 1, as failover.mode is Exclusive");
    failover.exclusive =
        Some(Exclusive { lease_duration: HumanDuration(Duration::from_millis(10)), ..Exclusive::default() });
    assert!(failover.check(&once()).unwrap_err().to_string().contains("expected 1s to 1h"));
    failover.mode = FailoverMode::Overlap;
    assert!(failover.check(&once()).unwrap_err().to_string().contains("only for mode: Exclusive"));
}

#[test]
fn an_epoch_orders_as_its_generation_and_gives_it_back() {
    let epoch = |term, counter| Epoch::of(Generation { term, counter });
    assert!(epoch(1, 9).unwrap() < epoch(1, 10).unwrap());
    assert!(epoch(1, 1 << 39).unwrap() < epoch(2, 1).unwrap());
    assert_eq!(epoch(7, 12).unwrap().generation(), Generation { term: 7, counter: 12 });
    assert!(epoch(1, 1 << 40).is_err() && epoch(1 << 24, 1).is_err());
}

#[test]
fn the_holder_always_gives_up_first() {
    for millis in [1000, 10_000, 60_000, 3_600_000] {
        let duration = Duration::from_millis(millis);
        assert!(holder_lease(duration) < duration && duration < grantor_lease(duration));
    }
}
