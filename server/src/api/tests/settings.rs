//! Settings of the cluster, over HTTP and gRPC.

use proto::model::EventKind;
use serde_json::{Value, json};

use super::rig::Rig;
use crate::core::state::Setting;

async fn set(rig: &Rig, settings: Value) -> (u16, Value) {
    let answer = rig.post("/v1/settings", &json!({ "settings": settings })).await;
    (answer.status, answer.json())
}

async fn shown(rig: &Rig, name: &str) -> Value {
    rig.ask(&format!("GET /v1/settings/{name}")).await.json()["value"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_are_shown_set_and_set_back_and_events_say_by_whom() {
    let rig = Rig::leading().await;
    let list = rig.ask("GET /v1/settings").await.json();
    let names: Vec<&str> =
        list["items"].as_array().expect("items").iter().filter_map(|item| item["name"].as_str()).collect();
    assert_eq!(names[..2], ["heartbeat", "node_timeout"]);
    assert_eq!(names.len(), Setting::ALL.len());
    let before = shown(&rig, "versions").await;
    let (status, written) =
        set(&rig, json!({ "versions": 3, "preemption": true, "ended_allocs_for": "2h" })).await;
    assert_eq!((status, &written["changed"], &written["version"]), (200, &json!(true), &json!(0)));
    assert_eq!(shown(&rig, "versions").await, "3");
    assert_eq!(shown(&rig, "preemption").await, "true");
    let kept = rig.ask("GET /v1/settings/ended_allocs_for").await.json();
    assert_eq!(
        (&kept["value"], &kept["value_ms"], &kept["default"]),
        (&json!("2h"), &json!(7_200_000), &json!("1d"))
    );
    assert!(rig.cluster.snapshot().settings.preemption);
    assert_eq!(set(&rig, json!({ "versions": "3" })).await.1["changed"], false);
    assert_eq!(set(&rig, json!({ "versions": "default" })).await.1["changed"], true);
    assert_eq!(shown(&rig, "versions").await, before);
    let state = rig.cluster.snapshot();
    let said: Vec<String> = state
        .events
        .all()
        .filter(|event| event.kind == EventKind::SettingChanged)
        .map(|event| event.message.clone())
        .collect();
    assert_eq!(said.len(), 4, "{said:?}");
    assert_eq!(said[3], "setting versions was changed from 3 to 10 by operator");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_is_refused_with_what_would_be_right_and_changes_nothing() {
    let rig = Rig::leading().await;
    let (status, error) = set(&rig, json!({ "node_timeot": "1s" })).await;
    assert_eq!((status, &error["hint"]), (404, &json!("did you mean `node_timeout`?")));
    let (status, error) = set(&rig, json!({ "versions": 5, "node_timeout": "11m" })).await;
    assert_eq!((status, &error["kind"]), (400, &json!("invalid")));
    assert_eq!(
        error["message"],
        "node_timeout cannot be 11m: possible is 1s to 10m, and 3 heartbeats at least"
    );
    assert_eq!(shown(&rig, "versions").await, "10");
    assert_eq!(set(&rig, json!({ "node_timeout": "1m" })).await.0, 200);
    let (status, error) = set(&rig, json!({ "heartbeat": "59s" })).await;
    assert_eq!(
        (status, &error["hint"]),
        (400, &json!("heartbeat=59s node_timeout=177s together would be right"))
    );
    assert_eq!(set(&rig, json!({})).await.0, 400);
    assert_eq!(set(&rig, json!({ "versions": [1] })).await.0, 400);
    assert_eq!(rig.ask("GET /v1/settings/none").await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_request_id_sets_once() {
    let rig = Rig::leading().await;
    let id = "4f1c0e0d9d9c4ce7a1f6a2b3c4d5e6f7";
    let first = json!({ "settings": { "versions": 3 }, "request_id": id });
    assert_eq!(rig.post("/v1/settings", &first).await.json()["changed"], true);
    assert_eq!(set(&rig, json!({ "versions": 4 })).await.1["changed"], true);
    assert_eq!(rig.post("/v1/settings", &first).await.json()["changed"], true, "answered as the first time");
    assert_eq!(shown(&rig, "versions").await, "4");
    let other = json!({ "settings": { "versions": 5 }, "request_id": id });
    assert_eq!(rig.post("/v1/settings", &other).await.status, 409);
}
