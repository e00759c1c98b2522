//! The audit log: who asked for what, from where, and what came of it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use nave_common::digest::Digest;
use nave_hub::config::StoreConfig;
use nave_proto::v1;
use serde_json::{Value, json};
use tokio_stream::StreamExt as _;
use tonic::{Code, Request};

use crate::harness::{TestHub, application, apply, config_map, eventually, get, key, try_apply};
use crate::web::fetch;

fn path(hub: &TestHub) -> PathBuf {
    hub.config.data_dir.join("audit.log")
}

fn lines(hub: &TestHub) -> Vec<Value> {
    let text = std::fs::read_to_string(path(hub)).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn lines_once(hub: &TestHub, count: usize) -> Vec<Value> {
    eventually("the lines of the audit log", async || lines(hub).len() >= count).await;
    lines(hub)
}

#[tokio::test]
async fn each_change_asked_for_has_its_line_and_no_look_has_one() {
    let hub = TestHub::start().await;
    let mut admin = hub.admin().await;
    let mut request = Request::new(v1::ApplyApplicationRequest {
        application: Some(application("shop", &[config_map("a", "planted-value")])),
        dry_run: false,
    });
    request.metadata_mut().insert("nave-change-id", "ticket-7".parse().unwrap());
    let applied = admin.apply_application(request).await.unwrap().into_inner();
    let sequence = applied.application.unwrap().metadata.unwrap().sequence;
    get(&mut admin, "shop").await.unwrap();
    let undone = v1::UndoApplicationRequest { application: key("shop"), to_revision: 0, dry_run: true };
    admin.undo_application(undone).await.unwrap_err();
    let token = admin.create_token(v1::CreateTokenRequest::default()).await.unwrap().into_inner();
    let delete = |id: &str| v1::DeleteTokenRequest { id: id.to_owned() };
    admin.delete_token(delete(&token.text)).await.unwrap_err();
    admin.delete_token(delete(&token.token.as_ref().unwrap().id)).await.unwrap();
    let lines = lines_once(&hub, 5).await;
    assert_eq!(lines.len(), 5, "{lines:?}");
    let [first, undo, made, refused, taken] = lines.as_slice() else { panic!("{lines:?}") };
    for (field, value) in [
        ("who", json!("spiffe://nave/user/admin")),
        ("requestId", json!("ticket-7")),
        ("verb", json!("apply")),
        ("object", json!("application/default/shop")),
        ("outcome", json!("ok")),
        ("sequence", json!(sequence)),
        ("revision", json!(1)),
    ] {
        assert_eq!(first[field], value, "{field} of {first}");
    }
    assert!(first["from"].as_str().unwrap().starts_with("127.0.0.1:"), "{first}");
    first["time"].as_str().unwrap().parse::<nave_common::time::Timestamp>().unwrap();
    assert_eq!((&undo["outcome"], &undo["code"]), (&json!("refused"), &json!("FailedPrecondition")));
    assert!(undo["why"].as_str().unwrap().contains("only one revision"), "{undo}");
    assert_eq!(undo["dryRun"], json!(true));
    assert_eq!(made["object"], taken["object"]);
    assert_eq!((&refused["object"], &refused["code"]), (&json!(""), &json!("NotFound")));
    let text = std::fs::read_to_string(path(&hub)).unwrap();
    assert!(!text.contains("planted-value") && !text.contains(&token.text), "{text}");
    assert_eq!(std::fs::metadata(path(&hub)).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn what_is_not_valid_is_written_down_by_its_place_and_not_by_its_value() {
    let hub = TestHub::start().await;
    let mut shop = application("shop", &[config_map("a", "1")]);
    shop.spec.as_mut().unwrap().namespace = "Planted Value".into();
    try_apply(&mut hub.admin().await, shop).await.unwrap_err();
    let lines = lines_once(&hub, 1).await;
    assert_eq!(lines[0]["code"], json!("InvalidArgument"));
    assert_eq!(lines[0]["why"], json!("spec.namespace is not valid"));
}

/// An agent's certificate is no person's; who tries it anyway is written down by name.
#[tokio::test]
async fn who_may_not_ask_is_written_down_and_strangers_leave_nothing() {
    let hub = TestHub::start().await;
    let agent = hub.enroll("eu-1", &[]).await;
    let before = lines_once(&hub, 1).await.len();
    let freeze = v1::SetFreezeRequest { frozen: true };
    for (own, code) in [(None, Code::Unauthenticated), (Some(&agent), Code::PermissionDenied)] {
        let mut fleet = crate::harness::Fleet::new(hub.channel(own).await);
        assert_eq!(fleet.set_freeze(freeze).await.unwrap_err().code(), code);
    }
    let lines = lines_once(&hub, before + 1).await;
    assert_eq!(lines.len(), before + 1, "{lines:?}");
    let last = lines.last().unwrap();
    assert_eq!(last["who"], json!("spiffe://nave/cluster/eu-1"));
    assert_eq!((&last["verb"], &last["code"]), (&json!("freeze-or-thaw"), &json!("PermissionDenied")));
}

#[tokio::test]
async fn the_log_is_bounded_by_its_settings_and_whole_after_a_stop() {
    let mut hub = TestHub::start_with(|config| {
        config.audit.file_bytes = 4096;
        config.audit.kept_files = 2;
    })
    .await;
    let mut admin = hub.admin().await;
    for number in 0..60 {
        apply(&mut admin, application("shop", &[config_map("a", &number.to_string())])).await;
    }
    hub = hub.restart().await;
    let names = ["audit.log", "audit.log.1", "audit.log.2", "audit.log.3"];
    let sizes = names.map(|name| std::fs::metadata(hub.config.data_dir.join(name)).map(|it| it.len()).ok());
    assert!(sizes[..3].iter().all(|size| size.is_some_and(|bytes| (1..=4096).contains(&bytes))), "{sizes:?}");
    assert_eq!(sizes[3], None);
    assert_eq!(lines(&hub).last().unwrap()["revision"], json!(60));
}

#[tokio::test]
async fn a_disk_that_refuses_the_log_stops_no_change() {
    let hub = TestHub::start().await;
    std::fs::create_dir(path(&hub)).unwrap();
    let mut admin = hub.admin().await;
    apply(&mut admin, application("shop", &[config_map("a", "1")])).await;
    let counted = async || fetch(&hub, "/metrics").await.contains("nave_hub_refused_audit_lines_total 1");
    eventually("the refused line in the metrics", counted).await;
    std::fs::remove_dir(path(&hub)).unwrap();
    apply(&mut admin, application("shop", &[config_map("a", "2")])).await;
    assert_eq!(lines_once(&hub, 1).await[0]["revision"], json!(2));
}

/// Who goes away before the answer could otherwise change things without a line.
#[tokio::test]
async fn a_call_that_is_broken_off_is_written_down_as_not_known() {
    let hub = TestHub::start_with(|config| {
        config.store = StoreConfig::Memory;
        config.limits.heavy_calls = 1;
    })
    .await;
    // An upload that sends nothing more holds the only place for heavy calls.
    let open = v1::UploadBundleOpen { digest: Digest::of(b"").to_string(), size_bytes: 1 };
    let part = Some(v1::upload_bundle_request::Part::Open(open));
    let stalled = tokio_stream::once(v1::UploadBundleRequest { part }).chain(tokio_stream::pending());
    let mut uploader = hub.admin().await;
    let upload = tokio::spawn(async move { uploader.upload_bundle(stalled).await });
    let admin = hub.admin().await;
    let is_unknown = |line: &Value| line["outcome"] == json!("unknown") && line["verb"] == json!("apply");
    let (hub, admin) = (&hub, &admin);
    eventually("a line of the apply that was broken off", || {
        let mut admin = admin.clone();
        async move {
            let apply = try_apply(&mut admin, application("shop", &[config_map("a", "1")]));
            let _ = tokio::time::timeout(std::time::Duration::from_millis(100), apply).await;
            lines(hub).iter().any(is_unknown)
        }
    })
    .await;
    upload.abort();
}
