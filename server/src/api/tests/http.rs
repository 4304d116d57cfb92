//! HTTP with JSON.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::rig::{Rig, SOON};

const WEB: &str = "name: web\ncount: 2\ncommand: /bin/sleep\nargs: [\"60\"]\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_submitted_placed_shown_and_stopped() {
    let rig = Rig::leading().await;
    rig.node(1).await;
    let put = rig.post("/v1/jobs", &json!({ "job_file": WEB, "message": "first" })).await;
    assert_eq!(put.status, 200, "{put:?}");
    let item = put.json()["items"][0].clone();
    assert_eq!((&item["name"], &item["changed"], &item["version"]), (&json!("web"), &json!(true), &json!(1)));
    assert_eq!(
        item["placement"]["groups"]["web"],
        json!({ "wanted": 2, "placed": { "n1": 2 }, "stays": 0, "stops": 0 })
    );

    let again = rig.post("/v1/jobs", &json!({ "job_file": WEB })).await.json();
    assert_eq!(again["items"][0]["changed"], false, "the same file twice changes nothing");

    rig.all_run(1).await;
    let shown = rig.ask("GET /v1/jobs/web").await.json();
    assert_eq!((&shown["running"], &shown["groups"]["web"]["wanted"]), (&json!(2), &json!(2)));
    let id = shown["allocs"][0]["id"].as_str().unwrap().to_owned();
    for name in [&id, &id[..8], "web.web.0"] {
        let alloc = rig.ask(&format!("GET /v1/allocs/{name}")).await.json();
        assert_eq!((&alloc["id"], &alloc["node_name"]), (&json!(id), &json!("n1")), "{name}");
    }
    let several = rig.ask("GET /v1/allocs/web").await;
    assert_eq!((several.status, several.json()["details"].as_array().map(Vec::len)), (400, Some(2)));

    let list = rig.ask("GET /v1/jobs").await.json();
    assert_eq!(list["items"][0]["name"], "web");
    assert_eq!(rig.ask("GET /v1/nodes").await.json()["items"][0]["allocs"], 2);
    let events = rig.ask("GET /v1/events?subject=web").await.json();
    let kinds: Vec<&str> =
        events["items"].as_array().unwrap().iter().filter_map(|e| e["kind"].as_str()).collect();
    assert_eq!(kinds[..3], ["job_submitted", "alloc_placed", "alloc_placed"]);
    let recent = rig.ask("GET /v1/events?limit=1").await.json();
    assert_eq!(recent["items"].as_array().map(Vec::len), Some(1));

    let stopped = rig.ask("DELETE /v1/jobs/web").await.json();
    assert_eq!((&stopped["changed"], &stopped["version"]), (&json!(true), &json!(1)));
    assert_eq!(rig.ask("GET /v1/jobs/web").await.json()["health"], "stopped");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_json_with_a_kind_and_a_next_step() {
    let rig = Rig::leading().await;
    rig.post("/v1/jobs", &json!({ "job_file": WEB })).await;
    let refused = async |request: &str| {
        let answer = rig.ask(request).await;
        let json = answer.json();
        let text = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
        (answer.status, text("kind"), text("message"), text("hint"))
    };
    let (status, kind, message, hint) = refused("GET /v1/jobs/wbe").await;
    assert_eq!((status, kind.as_str()), (404, "not_found"));
    assert_eq!((message.as_str(), hint.as_str()), ("there is no job `wbe`", "did you mean `web`?"));
    assert_eq!(refused("DELETE /v1/jobs/wbe").await.3, "did you mean `web`?");
    assert_eq!(refused("GET /v1/allocs/wbe").await.0, 404);
    assert_eq!(refused("GET /v1/events?subject=wbe").await.3, "did you mean `web`?");
    assert_eq!(refused("GET /v1/jobs/web/logs?task=wbe").await.3, "it has web");
    assert_eq!(refused("GET /nothing").await.2, "there is nothing at `/nothing`");
    assert_eq!(refused("PUT /v1/jobs").await.1, "invalid");
    let (status, _, message, _) = refused("GET /v1/jobs?wait=5").await;
    assert_eq!(status, 400);
    assert!(message.contains("`5` has no unit"), "{message}");
    assert!(refused("GET /v1/jobs?wiat=5s").await.2.contains("unknown field `wiat`"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_with_one_fault_submits_nothing_and_names_all_of_them() {
    let rig = Rig::leading().await;
    let file = "name: good\ncommand: /bin/true\n---\nname: bad\ncomand: /bin/true\n";
    let answer = rig.post("/v1/jobs", &json!({ "job_file": file, "file": "two.yml" })).await;
    assert_eq!((answer.status, &answer.json()["kind"]), (400, &json!("invalid")), "{answer:?}");
    let details = answer.json()["details"].to_string();
    assert!(details.contains("two.yml:5:1"), "{details}");
    assert_eq!(rig.ask("GET /v1/jobs").await.json()["items"], json!([]));

    for (body, expected) in [
        (json!({ "job_file": WEB, "expected_version": 7 }), (409, "conflict")),
        (json!({ "job_file": WEB, "expected_verison": 7 }), (400, "invalid")),
        (json!({ "job_file": WEB, "request_id": "12" }), (400, "invalid")),
        (json!({ "job_file": WEB, "message": "x".repeat(5000) }), (413, "too_large")),
        (json!([1]), (400, "invalid")),
    ] {
        let answer = rig.post("/v1/jobs", &body).await;
        assert_eq!(
            (answer.status, answer.json()["kind"].as_str()),
            (expected.0, Some(expected.1)),
            "{answer:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_request_id_is_one_write_and_with_another_body_a_conflict() {
    let rig = Rig::leading().await;
    let id = "000000000000000000000000000000ff";
    let first = rig.post("/v1/jobs", &json!({ "job_file": WEB, "request_id": id })).await.json();
    let second = rig.post("/v1/jobs", &json!({ "job_file": WEB, "request_id": id })).await.json();
    assert_eq!(first["items"][0]["changed"], true);
    assert_eq!(second["items"][0]["changed"], true, "the first answer again");
    assert_eq!(first["items"][0]["revision"], second["items"][0]["revision"]);
    let other = WEB.replace("count: 2", "count: 3");
    let answer = rig.post("/v1/jobs", &json!({ "job_file": other, "request_id": id })).await;
    assert_eq!((answer.status, answer.json()["kind"].as_str()), (409, Some("conflict")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_waits_for_news_and_no_longer_than_asked() {
    let rig = Rig::leading().await;
    let revision = rig.cluster.snapshot().revision.0;
    let since = Instant::now();
    let none = rig.ask(&format!("GET /v1/jobs?wait=300ms&revision={revision}")).await;
    assert!(since.elapsed() >= Duration::from_millis(300), "{:?}", since.elapsed());
    assert_eq!((none.status, &none.json()["items"]), (200, &json!([])));

    let (since, path) = (Instant::now(), format!("GET /v1/jobs?wait=60s&revision={revision}"));
    let (waited, put) = tokio::join!(rig.ask(&path), async {
        // The order of the two does not matter: what was put before the wait began is news as well.
        rig.post("/v1/jobs", &json!({ "job_file": WEB })).await
    });
    assert_eq!(put.status, 200);
    assert_eq!(waited.json()["items"][0]["name"], "web");
    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());

    let since = Instant::now();
    let old = rig.ask("GET /v1/jobs/web?wait=60s&revision=1").await;
    assert_eq!(old.status, 200);
    assert!(since.elapsed() < SOON, "what the reader has not seen is answered at once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_followed_line_by_line_from_where_the_reader_was() {
    let rig = Rig::leading().await;
    rig.post("/v1/jobs", &json!({ "job_file": WEB })).await;
    let mut stream = TcpStream::connect(rig.addr).await.unwrap();
    let head =
        format!("GET /v1/events?follow&subject=web HTTP/1.1\r\nHost: localhost\r\n{}\r\n\r\n", rig.bearer());
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut lines = BufReader::new(stream).lines();
    let mut next = async |kind: &str| loop {
        let line = timeout(SOON, lines.next_line()).await.expect(kind).unwrap().expect("a line");
        let event: Option<Value> = serde_json::from_str(&line).ok().filter(Value::is_object);
        if let Some(event) = event {
            assert_eq!(event["subject"]["job"], "web", "{event}");
            if event["kind"] == kind {
                return event;
            }
        }
    };
    let first = next("job_submitted").await;
    rig.ask("DELETE /v1/jobs/web").await;
    let second = next("job_stopped").await;
    assert!(second["revision"].as_u64() > first["revision"].as_u64());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_of_a_node_that_nobody_answers_for_say_so_and_end() {
    let rig = Rig::leading().await;
    rig.node(1).await;
    rig.post("/v1/jobs", &json!({ "job_file": WEB })).await;
    let nothing = rig.ask("GET /v1/jobs/web/logs").await;
    assert_eq!((nothing.status, nothing.body.as_str()), (200, ""), "nothing has started");
    rig.all_run(1).await;
    let answer = rig.ask("GET /v1/jobs/web/logs?stdout&tail=5").await;
    assert!(answer.head.to_ascii_lowercase().contains("text/plain"), "{answer:?}");
    let expected = "minijob: node n1 is not connected: \
        the output of web.web.0, web.web.1 there cannot be read until it is back\n";
    assert_eq!(answer.body, expected, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_are_text_that_counts_jobs_nodes_and_requests() {
    let rig = Rig::leading().await;
    rig.node(1).await;
    rig.post("/v1/jobs", &json!({ "job_file": WEB })).await;
    let text = rig.ask("GET /metrics").await.body;
    for line in [
        "minijob_server_is_leader 1",
        "minijob_server_jobs{health=\"pending\"} 1",
        "minijob_server_jobs{health=\"failing\"} 0",
        "minijob_server_nodes{liveness=\"up\",eligibility=\"eligible\"} 1",
        "minijob_server_allocations{state=\"pending\"} 2",
        "minijob_server_requests_total{transport=\"http\",status=\"200\"} 1",
    ] {
        assert!(text.lines().any(|have| have == line), "{line} is missing in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
    assert!(
        text.contains("\nprocess_resident_memory_bytes ") && text.contains("minijob_server_raft_log_bytes ")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_version_is_what_this_binary_speaks() {
    let rig = Rig::leading().await;
    let version = rig.ask("GET /v1/version").await.json();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(version["wire"], 1);
}
