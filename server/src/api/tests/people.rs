//! What people ask for beside submitting and stopping, over HTTP and gRPC.

use serde_json::{Value, json};

use super::rig::Rig;

const WEB: &str = "name: web\ncount: 2\ncommand: /bin/sleep\nargs: [\"60\"]\n";

/// A server with two nodes and a job `web` that runs.
async fn running() -> Rig {
    let rig = Rig::leading().await;
    rig.node(1).await;
    rig.node(2).await;
    let put = rig.post("/v1/jobs", &json!({ "job_file": WEB, "message": "first" })).await;
    assert_eq!(put.status, 200, "{put:?}");
    rig.all_run(1).await;
    rig.all_run(2).await;
    rig
}

async fn written(rig: &Rig, path: &str, body: Value) -> (bool, u64) {
    let answer = rig.post(path, &body).await;
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    let json = answer.json();
    (json["changed"].as_bool().expect("changed"), json["version"].as_u64().expect("version"))
}

async fn refused(rig: &Rig, path: &str, body: Value) -> (u16, String, String) {
    let answer = rig.post(path, &body).await;
    let json = answer.json();
    let text = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
    (answer.status, text("message"), text("hint"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_scaled_reverted_restarted_and_its_history_tells_it() {
    let rig = running().await;
    assert_eq!(written(&rig, "/v1/jobs/web/scale", json!({ "count": 3 })).await, (true, 2));
    assert_eq!(written(&rig, "/v1/jobs/web/scale", json!({ "count": 3, "group": "web" })).await, (false, 2));
    assert_eq!(written(&rig, "/v1/jobs/web/restart", json!({ "at_once": true })).await, (true, 3));
    assert_eq!(written(&rig, "/v1/jobs/web/revert", json!({ "version": 1 })).await, (true, 4));
    let history = rig.ask("GET /v1/jobs/web/history").await.json();
    let told: Vec<(Value, Value)> = history["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|item| (item["message"].clone(), item["changes"].clone()))
        .collect();
    let expected = [
        (json!("reverted to version 1"), json!(["groups.web.count"])),
        (json!("restarted"), json!([])),
        (json!("web scaled from 2 to 3"), json!(["groups.web.count"])),
        (json!("first"), json!([])),
    ];
    assert_eq!(told, expected);
    let file = rig.ask("GET /v1/jobs/web/export?version=2").await.json();
    let text = file["job_file"].as_str().expect("a file");
    assert!(text.contains("count: 3"), "{text}");
    proto::jobfile::parse("exported", text).expect("it is a job file");
    let (status, message, _) = refused(&rig, "/v1/jobs/web/revert", json!({ "version": 9 })).await;
    assert_eq!((status, message.as_str()), (404, "version 9 of job `web` is not kept: there is 1, 2, 3, 4"));
    assert_eq!(rig.ask("GET /v1/jobs/web/export?version=9").await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_name_what_there_is_and_what_to_do() {
    let rig = running().await;
    let (status, _, hint) = refused(&rig, "/v1/jobs/wbe/scale", json!({ "count": 1 })).await;
    assert_eq!((status, hint.as_str()), (404, "did you mean `web`?"));
    let (status, _, hint) = refused(&rig, "/v1/jobs/web/scale", json!({ "count": 1, "group": "api" })).await;
    assert_eq!((status, hint.as_str()), (404, "it has web"));
    let (status, message, _) = refused(&rig, "/v1/jobs/web/scale", json!({ "count": 10_001 })).await;
    assert_eq!((status, message.as_str()), (400, "`count` is 10001, at most 10000 are allowed"));
    rig.ask("DELETE /v1/jobs/web").await;
    for path in ["/v1/jobs/web/restart", "/v1/allocs/web.web.0/restart"] {
        let (status, message, hint) = refused(&rig, path, json!({})).await;
        assert_eq!((status, hint.as_str()), (422, "`minijob start web` starts it again"), "{message}");
    }
    assert_eq!(written(&rig, "/v1/jobs/web/start", json!({})).await, (true, 1));
    assert_eq!(written(&rig, "/v1/jobs/web/start", json!({})).await, (false, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_allocation_is_restarted_in_its_slot_and_its_story_says_so() {
    let rig = running().await;
    let node = rig.ask("GET /v1/allocs/web.web.0").await.json()["node_name"].clone();
    let before = rig.ask("GET /v1/allocs/web.web.0").await.json()["id"].clone();
    assert_eq!(written(&rig, "/v1/allocs/web.web.0/restart", json!({})).await, (true, 1));
    let stopping = rig.ask("GET /v1/allocs/web.web.0").await.json();
    assert_eq!((&stopping["desired"], &stopping["stop_reason"]), (&json!("stop"), &json!("restarted")));
    let story = rig.ask("GET /v1/why/web.web.0").await.json();
    assert!(story.to_string().contains("servers want web.web.0 to end: restarted"), "{story}");
    let number = if node == "n1" { 1 } else { 2 };
    rig.all_stopped(number).await;
    let mut revision = 0;
    let after = loop {
        let shown = rig.ask(&format!("GET /v1/jobs/web?wait=5s&revision={revision}")).await.json();
        revision = shown["revision"].as_u64().expect("a revision");
        let one = rig.ask("GET /v1/allocs/web.web.0").await.json();
        if one["id"] != before {
            break one;
        }
    };
    assert_eq!((&after["node_name"], &after["replaces"]), (&node, &before));
    let story = rig.ask("GET /v1/why/web.web.0").await.json().to_string();
    assert!(story.contains("it was there before and was restarted in its place"), "{story}");
    assert!(
        rig.ask("GET /v1/why/web").await.json()["headline"]
            .as_str()
            .is_some_and(|said| said.starts_with("web is "))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_says_what_would_change_and_writes_nothing() {
    let rig = running().await;
    let revision = rig.cluster.snapshot().revision;
    let file = format!("{}env: {{COLOR: blue}}\n", WEB.replace("count: 2", "count: 4"));
    let plan = rig.post("/v1/plan", &json!({ "job_file": file })).await.json()["items"][0].clone();
    assert_eq!((&plan["changed"], &plan["present"], &plan["version"]), (&json!(true), &json!(1), &json!(2)));
    let keys: Vec<&str> =
        plan["changes"].as_array().expect("changes").iter().filter_map(|one| one["key"].as_str()).collect();
    assert_eq!(keys, ["groups.web.count", "groups.web.tasks.web.env.COLOR"]);
    let group = &plan["groups"]["web"];
    assert_eq!((&group["wanted"], &group["replaced"]), (&json!(4), &json!(2)));
    assert_eq!(group["placed"], json!({ "n1": 2, "n2": 2 }));
    let same = rig.post("/v1/plan", &json!({ "job_file": WEB })).await.json()["items"][0].clone();
    assert_eq!((&same["changed"], &same["groups"]["web"]["unchanged"]), (&json!(false), &json!(2)));
    assert_eq!(rig.cluster.snapshot().revision, revision, "nothing was written");
    let bad = rig.post("/v1/plan", &json!({ "job_file": "name: x\n" })).await;
    assert_eq!((bad.status, &bad.json()["kind"]), (400, &json!("invalid")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_are_shown_cordoned_and_forgotten_and_servers_listed() {
    let rig = running().await;
    let node = rig.ask("GET /v1/nodes/n1").await.json();
    assert_eq!((&node["name"], node["running"].as_array().map(Vec::len)), (&json!("n1"), Some(1)));
    assert_eq!(node["events"][0]["kind"], "node_registered");
    let id = node["id"].as_str().expect("an id").to_owned();
    assert_eq!(rig.ask(&format!("GET /v1/nodes/{}", &id[..6])).await.json()["name"], "n1");
    assert_eq!(rig.ask("GET /v1/nodes/n3").await.json()["hint"], "did you mean `n1`?");
    assert!(written(&rig, "/v1/nodes/n1/cordon", json!({})).await.0);
    assert!(!written(&rig, "/v1/nodes/n1/cordon", json!({})).await.0);
    assert_eq!(rig.ask("GET /v1/nodes/n1").await.json()["eligibility"], "cordoned");
    assert!(written(&rig, "/v1/nodes/n1/uncordon", json!({})).await.0);
    let up = rig.ask("DELETE /v1/nodes/n2").await;
    assert_eq!((up.status, &up.json()["kind"]), (422, &json!("refused")));
    rig.lose(2).await;
    assert_eq!(rig.ask("DELETE /v1/nodes/n2").await.json()["changed"], true);
    assert_eq!(rig.ask("GET /v1/nodes").await.json()["items"].as_array().map(Vec::len), Some(1));
    let servers = rig.ask("GET /v1/servers").await.json();
    assert_eq!((&servers["items"][0]["name"], &servers["items"][0]["leader"]), (&json!("s1"), &json!(true)));
    assert_eq!(servers["items"][0]["version"]["wire"], 1);
}
