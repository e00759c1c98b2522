//! Apply, dry run, diff, render, wait.

use super::harness::{Fleet, Says, application, json};

const SPOKES: [(&str, &str); 2] = [("eu-1", "eu"), ("us-1", "us")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_is_created_then_unchanged_then_configured() {
    let (fleet, _spokes) = Fleet::start(&SPOKES).await;
    fleet.write("shop.yaml", &application("shop", "a"));
    let dry = fleet.nave(&["apply", "-f", "shop.yaml", "--dry-run"]).await;
    assert_eq!(
        (dry.code, dry.out.as_str()),
        (0, "application/shop created (dry run)\n  would run in eu-1, us-1\n"),
        "{}",
        dry.err
    );
    assert_eq!(fleet.nave(&["get", "app", "shop"]).await.code, 1, "a dry run changes nothing");
    for (text, expected) in [("a", "created"), ("a", "unchanged"), ("b", "configured")] {
        fleet.write("shop.yaml", &application("shop", text));
        let ran = fleet.nave(&["apply", "-f", "shop.yaml"]).await;
        assert_eq!((ran.code, ran.out), (0, format!("application/shop {expected}\n")), "{}", ran.err);
    }
    fleet.hub.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wait_ends_when_it_is_healthy_everywhere_and_says_how_it_goes() {
    let (fleet, spokes) = Fleet::start(&SPOKES).await;
    spokes[0].say(Says::progressing());
    fleet.write("shop.yaml", &application("shop", "a"));
    let waiting = fleet
        .command(&["apply", "-f", "shop.yaml", "--wait", "--timeout", "50s"])
        .spawn()
        .expect("nave starts");
    fleet.until(&["get", "asg", "shop"], "Progressing").await;
    spokes[0].say(Says::healthy());
    let output = waiting.wait_with_output().await.expect("nave ends");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{out} {err}");
    assert_eq!(out, "application/shop created\napplication/shop healthy (2 clusters)\n");
    assert!(err.contains("application/shop: "), "{err}");
    fleet.hub.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_degraded_ends_with_4_and_what_takes_too_long_with_3() {
    let (fleet, spokes) = Fleet::start(&SPOKES).await;
    spokes[1].say(Says::degraded("image cart:9 not found"));
    fleet.write("shop.yaml", &application("shop", "a"));
    let ran = fleet
        .nave(&["apply", "-f", "shop.yaml", "--wait", "--give-up-after", "300ms", "--timeout", "50s"])
        .await;
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.err.contains("us-1: image cart:9 not found"), "{}", ran.err);
    let short = fleet.nave(&["wait", "app", "shop", "--timeout", "300ms"]).await;
    assert_eq!(short.code, 3, "{short:?}");
    assert!(short.err.contains("is not healthy after 300ms"), "{}", short.err);
    assert_eq!(fleet.nave(&["wait", "app", "shop", "--for=synced", "--timeout", "20s"]).await.code, 0);
    spokes[1].say(Says::progressing());
    fleet.until(&["get", "asg", "shop"], "Progressing").await;
    let ran = fleet
        .nave(&["wait", "application", "shop", "--for=healthy", "--timeout", "300ms", "-o", "json"])
        .await;
    assert_eq!(ran.code, 3, "{ran:?}");
    let result = json(&ran);
    assert_eq!(result["wait"]["met"], false, "{result}");
    let nowhere = fleet.nave(&["wait", "application", "nowhere", "--timeout", "20s"]).await;
    let expected = "error: application nowhere is not there; see `nave get applications`\n";
    assert!(nowhere.code == 1 && nowhere.err.ends_with(expected), "{nowhere:?}");
    fleet.hub.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bundle_beside_the_document_is_uploaded_and_diffed() {
    let (fleet, _spokes) = Fleet::start(&SPOKES).await;
    let shop = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/examples/shop");
    let shop = shop.to_str().expect("a path");
    let new = fleet.nave(&["diff", "-f", shop, "--exit-code", "--color=never"]).await;
    assert_eq!(new.code, 1, "{}", new.err);
    assert!(new.out.contains("+++ Deployment frontend") && new.out.contains("--- nothing"), "{}", new.out);
    assert!(!new.out.contains("cmVwbGFjZS1tZQ"), "values of Secrets are masked");
    let applied = fleet.nave(&["apply", "-f", shop, "--wait", "--timeout", "50s"]).await;
    assert_eq!(applied.code, 0, "{}", applied.err);
    let same = fleet.nave(&["diff", "-f", shop, "--exit-code"]).await;
    assert_eq!((same.code, same.out.as_str()), (0, ""), "{}", same.err);
    let rendered = fleet.nave(&["render", "shop", "--cluster", "eu-1", "-o", "json"]).await;
    let here = fleet.nave(&["render", "-f", shop, "--labels", "env=demo,region=eu", "-o", "json"]).await;
    assert_eq!(json(&rendered), json(&here), "hub and command line render the same");
    let file = fleet.nave(&["render", "-f", shop, "--cluster", "eu-1", "-o", "json"]).await;
    assert_eq!(json(&file), json(&here));
    fleet.hub.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_diff_groups_the_clusters_in_which_the_same_changes() {
    let (fleet, _spokes) = Fleet::start(&SPOKES).await;
    fleet.write("shop.yaml", &application("shop", "a"));
    assert_eq!(fleet.nave(&["apply", "-f", "shop.yaml", "--wait"]).await.code, 0);
    fleet.write("shop.yaml", &application("shop", "b"));
    let diff = fleet.nave(&["diff", "-f", "shop.yaml", "--context-lines", "0"]).await;
    assert_eq!(diff.code, 0, "{}", diff.err);
    let expected = "application/shop in eu-1, us-1\n--- ConfigMap settings\n+++ ConfigMap settings\n@@ -3 +3 @@\n-  value: a\n+  value: b\n\n";
    assert_eq!(diff.out, expected);
    fleet.hub.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_documents_none_is_applied_where_the_hub_refuses_one() {
    let (fleet, _spokes) = Fleet::start(&SPOKES).await;
    let stale = application("second", "a").replace("  name: second\n", "  name: second\n  sequence: 99999\n");
    fleet.write("all.yaml", &format!("{}---\n{stale}", application("first", "a")));
    let ran = fleet.nave(&["apply", "-f", "all.yaml"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{ran:?}");
    assert!(ran.err.contains("application/second"), "{}", ran.err);
    assert_eq!(fleet.nave(&["get", "app", "first"]).await.code, 1);
    fleet.hub.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_manifests_become_an_application() {
    let (fleet, _spokes) = Fleet::start(&SPOKES).await;
    let manifests = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\n";
    let arguments = [
        "apply",
        "--app",
        "plain",
        "-n",
        "plain",
        "--create-namespace",
        "-l",
        "region=eu",
        "--project",
        "retail",
        "-f",
        "-",
        "-o",
        "json",
    ];
    let ran = fleet.nave_reading(&arguments, manifests).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    let result = json(&ran);
    assert_eq!(result["name"], "application/retail/plain", "{result}");
    assert_eq!(result["result"], "created", "{result}");
    assert_eq!(result["clusters"], serde_json::json!(["eu-1"]), "{result}");
    let shown = fleet.nave(&["get", "app", "retail/plain", "-o", "wide"]).await;
    assert!(shown.out.contains("bundle stdin"), "{}", shown.out);
    fleet.hub.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn labels_of_a_cluster_are_applied() {
    let (fleet, _spokes) = Fleet::start(&SPOKES).await;
    let cluster = "apiVersion: nave.dev/v1alpha1\nkind: Cluster\nmetadata: {name: eu-1, labels: {region: eu, env: prod}}\n";
    fleet.write("cluster.yaml", cluster);
    let diff = fleet.nave(&["diff", "-f", "cluster.yaml"]).await;
    assert!(diff.out.contains("-  env: demo") && diff.out.contains("+  env: prod"), "{}", diff.out);
    let ran = fleet.nave(&["apply", "-f", "cluster.yaml"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (0, "cluster/eu-1 configured\n"), "{}", ran.err);
    let listed = fleet.nave(&["get", "clusters", "-l", "env=prod", "-o", "name"]).await;
    assert_eq!(listed.out, "cluster/eu-1\n");
    fleet.hub.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_where_a_change_takes_an_application_away_is_said() {
    let (fleet, _spokes) = Fleet::start(&SPOKES).await;
    fleet.write("shop.yaml", &application("shop", "a"));
    assert_eq!(fleet.nave(&["apply", "-f", "shop.yaml", "--wait"]).await.code, 0);
    let only_eu = application("shop", "a")
        .replace("spec:\n", "spec:\n  placement: {clusters: {matchLabels: {region: eu}}}\n");
    fleet.write("shop.yaml", &only_eu);
    let dry = fleet.nave(&["apply", "-f", "shop.yaml", "--dry-run"]).await;
    let expected =
        "application/shop configured (dry run)\n  would run in eu-1\n  would be removed from us-1\n";
    assert_eq!((dry.code, dry.out.as_str()), (0, expected), "{}", dry.err);
    let ran = fleet.nave(&["apply", "-f", "shop.yaml"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (0, "application/shop configured\n"), "{}", ran.err);
    assert_eq!(ran.err, "warning: application/shop is being removed from us-1\n");
    fleet.hub.shutdown().await;
}
