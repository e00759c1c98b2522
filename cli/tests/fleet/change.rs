//! Delete, suspend, resume, history, undo.

use super::harness::{Fleet, application, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};

const SPOKES: [(&str, &str); 2] = [("eu-1", "eu"), ("us-1", "us")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_deleted_is_gone_once_every_cluster_has_let_go() {
    let (fleet, _spokes) = Fleet::start(&SPOKES).await;
    let file = fleet.write("shop.yaml", &application("shop", "a"));
    let file = file.to_str().expect("a path");
    assert_eq!(fleet.nave(&["apply", "-f", file, "--wait"]).await.code, 0);
    let dry = fleet.nave(&["delete", "-f", file, "--dry-run"]).await;
    assert_eq!(
        dry.out, "application/shop deleted (being removed from eu-1, us-1) (dry run)\n",
        "{}",
        dry.err
    );
    let cluster = "apiVersion: nave.dev/v1alpha1\nkind: Cluster\nmetadata: {name: eu-1}\n";
    let cluster = fleet.write("cluster.yaml", cluster);
    let cluster = cluster.to_str().expect("a path");
    let ran = fleet.nave(&["delete", "-f", file, "-f", cluster, "--wait", "--timeout", "30s"]).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.starts_with("warning: cluster/eu-1 is left alone\n"), "{}", ran.err);
    let expected = "application/shop deleted (being removed from eu-1, us-1)\napplication/shop deleted\n";
    assert_eq!(ran.out, expected);
    assert_eq!(fleet.nave(&["get", "app", "shop"]).await.code, 1);
    assert_eq!(fleet.nave(&["delete", "app", "shop"]).await.code, 1);
    assert_eq!(fleet.nave(&["delete", "app", "shop", "--ignore-not-found"]).await.code, 0);
    fleet.hub.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_application_is_said_to_be_everywhere() {
    let (fleet, _spokes) = Fleet::start(&SPOKES).await;
    fleet.write("shop.yaml", &application("shop", "a"));
    assert_eq!(fleet.nave(&["apply", "-f", "shop.yaml", "--wait"]).await.code, 0);
    let ran = fleet.nave(&["suspend", "application", "shop", "--cluster", "eu-1"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (0, "application/shop suspended in eu-1\n"), "{}", ran.err);
    let page = fleet.nave(&["describe", "app", "shop"]).await.out;
    assert!(page.lines().any(|line| line.starts_with("Suspended:") && line.ends_with("in eu-1")), "{page}");
    let ran = fleet.nave(&["resume", "app", "shop", "--cluster", "eu-1"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (0, "application/shop resumed in eu-1\n"), "{}", ran.err);
    for arguments in [&["resume", "app", "shop", "--cluster", "eu-1"][..], &["resume", "shop"]] {
        let ran = fleet.nave(arguments).await;
        assert_eq!((ran.code, ran.out.as_str()), (0, "application/shop not suspended\n"), "{}", ran.err);
    }
    assert_eq!(fleet.nave(&["suspend", "shop", "-q"]).await.out, "");
    let application = json(&fleet.nave(&["get", "app", "shop", "-o", "json"]).await);
    assert_eq!(application["spec"]["sync"]["suspended"], true);
    fleet.hub.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_tells_the_revisions_and_undo_goes_back() {
    let (fleet, _spokes) = Fleet::start(&SPOKES).await;
    for value in ["a", "b"] {
        fleet.write("shop.yaml", &application("shop", value));
        assert_eq!(fleet.nave(&["apply", "-f", "shop.yaml"]).await.code, 0);
    }
    let history = json(&fleet.nave(&["history", "application", "shop", "-o", "json"]).await);
    let numbers: Vec<u64> = history["items"]
        .as_array()
        .expect("items")
        .iter()
        .filter_map(|item| item["number"].as_u64())
        .collect();
    assert_eq!(numbers, [2, 1]);
    let dry = fleet.nave(&["undo", "application", "shop", "--dry-run"]).await;
    assert!(dry.code == 0 && dry.out.ends_with("(dry run)\n"), "{dry:?}");
    let undo = fleet.nave(&["undo", "application", "shop", "--wait", "--timeout", "30s"]).await;
    assert_eq!(undo.code, 0, "{}", undo.err);
    assert!(undo.out.starts_with("application/shop revision 3 ("), "{}", undo.out);
    let rendered = fleet.nave(&["render", "shop", "--cluster", "eu-1"]).await;
    assert!(rendered.out.contains("value: a"), "{}", rendered.out);
    let back = fleet.nave(&["undo", "shop", "--to-revision", "2"]).await;
    assert!(back.out.starts_with("application/shop revision 4 ("), "{back:?}");
    assert_eq!(fleet.nave(&["undo", "shop", "--to-revision", "77"]).await.code, 1);
    fleet.hub.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_goes_on_over_a_restart_of_the_hub() {
    let (fleet, _spokes) = Fleet::start(&[]).await;
    fleet.write("shop.yaml", &application("shop", "a"));
    assert_eq!(fleet.nave(&["apply", "-f", "shop.yaml"]).await.code, 0);
    let wait = ["wait", "application", "shop", "--for=deleted", "--timeout", "50s"];
    let mut waiting = fleet.command(&wait).spawn().expect("nave starts");
    let mut progress = BufReader::new(waiting.stderr.take().expect("its progress")).lines();
    let mut until = async |expected: &str| loop {
        let line = progress.next_line().await.expect("a line").expect("not the end");
        if line.contains(expected) {
            return;
        }
    };
    until("nobody has deleted it").await;
    let fleet = fleet.restart().await;
    until("trying again").await;
    until("nobody has deleted it").await;
    assert_eq!(fleet.nave(&["delete", "application", "shop"]).await.code, 0);
    let output = waiting.wait_with_output().await.expect("nave ends");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    fleet.hub.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_holds_up_a_deletion_is_named() {
    let (fleet, mut spokes) = Fleet::start(&SPOKES).await;
    fleet.write("shop.yaml", &application("shop", "a"));
    assert_eq!(fleet.nave(&["apply", "-f", "shop.yaml", "--wait"]).await.code, 0);
    drop(spokes.pop());
    fleet.until(&["get", "cluster", "us-1"], "Suspect").await;
    let ran = fleet.nave(&["delete", "app", "shop", "--wait", "--timeout", "1s"]).await;
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.err.contains("1 cluster has not let go of it yet: us-1: Suspect"), "{}", ran.err);
    fleet.hub.shutdown().await;
}
