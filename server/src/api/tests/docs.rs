//! What `docs/api.md` says is what the port answers: its examples are documents of a small world, byte for byte the same JSON.
//!
//! With `MINIJOB_WRITE_DOCS=1` the examples are written anew instead; look at the difference before committing it.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use proto::error::{Error, Kind};
use proto::ids::{AllocId, JobKey, Revision};
use proto::model::{AllocState, EndReason, TaskPhase, TaskStatus};
use proto::view::{EventList, List, ServerView, Written};
use serde_json::{Value, json};

use super::rig::Rig;
use crate::core::state::Outcome;
use crate::ops::testing::{World, end, job, running};
use crate::ops::{self, views};

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/api.md");

/// Two nodes, a service of which one half is healthy and the other crashes, and a job that has no place.
fn world() -> (World, AllocId) {
    let mut world = World::new(2);
    world.put(&job("web", 2));
    let (first, second) = (world.place("web", 0, 1), world.place("web", 1, 2));
    world.healthy(first);
    world.healthy(second);
    world.pass(3600);
    let down = TaskStatus {
        phase: TaskPhase::Backoff(world.now.plus(Duration::from_secs(1))),
        pid: 0,
        last_end: Some(end(EndReason::Exit(7), world.now, Duration::from_secs(3600))),
        ..running("web", world.now)
    };
    world.report(second, AllocState::Running, vec![down]);
    world.put(&job("big", 1));
    world.wait("big", 1, "2 of 2 nodes lack memory (16GiB asked, at most 8GiB free)");
    (world, first)
}

fn value(document: &impl serde::Serialize) -> Value {
    serde_json::to_value(document).expect("a document")
}

fn examples() -> BTreeMap<&'static str, Value> {
    let (mut world, alloc) = world();
    let state = &world.state;
    let web = state.jobs.get(&JobKey::new("default", "web")).expect("the job");
    let mut events: Vec<_> = state.events.of_job(&web.key).map(|event| views::event(state, event)).collect();
    events.drain(1..events.len() - 1);
    let error = Error::new(Kind::NotFound, "there is no job `wbe`").hint("did you mean `web`?");
    let put = json!({
        "job_file": "name: web\ncount: 2\ncommand: /usr/bin/server\n", "file": "web.yml",
        "message": "two of them", "expected_version": 0, "request_id": "4f1c0e0d9d9c4ce7a1f6a2b3c4d5e6f7"
    });
    let revision = web.current().revision;
    let placement = Some(views::placement(state, web, Revision(0)));
    let written = Written { changed: true, version: web.current().version, revision, placement };
    let mut item = json!({ "namespace": "default", "name": "web" });
    let fields = value(&written);
    item.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
    let mut examples = BTreeMap::from([
        ("error", value(&error)),
        ("job-list", value(&views::job_list(state, |_| true, state.now))),
        ("job-status", value(&views::job_status(state, web, state.now))),
        ("alloc", value(&views::alloc(state, state.allocs.get(alloc).expect("it")))),
        ("node-list", value(&views::node_list(state))),
        (
            "event-list",
            value(&EventList { items: events, next: None, revision: state.revision, warnings: Vec::new() }),
        ),
        ("put", put),
        ("put-answer", value(&List { items: vec![item], next: None, revision, warnings: Vec::new() })),
        ("version", value(&ops::version())),
        ("health", json!({ "status": "ok", "leader": true })),
    ]);
    examples.extend(more(&world, alloc));
    let stop = crate::core::state::Kind::StopJob { key: JobKey::new("default", "web"), purge: false };
    if let Outcome::Written { changed, version, revision } = world.apply(stop) {
        examples.insert("stop-answer", value(&Written { changed, version, revision, placement: None }));
    }
    examples
}

/// The documents of what people ask for beside submitting and stopping.
fn more(world: &World, alloc: AllocId) -> BTreeMap<&'static str, Value> {
    let state = &world.state;
    let web = state.jobs.get(&JobKey::new("default", "web")).expect("the job");
    let mut larger = job("web", 3);
    for task in larger.groups.values_mut().flat_map(|group| group.tasks.values_mut()) {
        task.env.insert("COLOR".into(), "blue".into());
    }
    let forecast = crate::core::scheduler::forecast(state, larger.clone(), world.now).expect("a forecast");
    let plan = views::plan(state, &larger, &forecast);
    let lost = [proto::ids::NodeId(1)].into();
    let told = crate::core::scheduler::loss(state, vec![], &lost, world.now).expect("it is told");
    let node = state.nodes.iter().next().expect("a node").1;
    let server = ServerView {
        id: proto::ids::ServerId(1),
        name: "s1".into(),
        address: "10.0.0.1:4650".into(),
        leader: true,
        voter: true,
        reachable: true,
        lag: Some(0),
        version: Some(ops::version()),
    };
    let story = views::of_alloc(state, state.allocs.get(alloc).expect("it"));
    let version = web.current();
    BTreeMap::from([
        ("history", value(&views::history(state, web))),
        ("export", value(&views::export(web, version))),
        ("loss", value(&views::loss(state, &lost, &told, |_| true))),
        (
            "plan",
            value(&List { items: vec![plan], next: None, revision: state.revision, warnings: Vec::new() }),
        ),
        ("story", value(&story)),
        ("node-status", value(&views::node_status(state, node))),
        ("setting-list", value(&ops::settings::all(&state.settings, state.revision))),
        (
            "server-list",
            value(&List { items: vec![server], next: None, revision: state.revision, warnings: Vec::new() }),
        ),
    ])
}

/// Returns the examples of the text by name, with where their JSON begins and ends.
fn documented(text: &str) -> BTreeMap<String, std::ops::Range<usize>> {
    let mut found = BTreeMap::new();
    let mut from = 0;
    while let Some(at) = text[from..].find("<!-- example: ").map(|at| from + at + 14) {
        let name = text[at..].split(" -->").next().expect("a name").to_owned();
        let begin = at + text[at..].find("```json\n").expect("a block") + 8;
        let end = begin + text[begin..].find("```").expect("its end");
        found.insert(name, begin..end);
        from = end;
    }
    found
}

#[test]
fn every_example_of_the_documentation_is_what_the_port_answers() {
    let mut text = fs::read_to_string(DOCS).expect("the documentation");
    let examples = examples();
    let names: Vec<String> = documented(&text).into_keys().collect();
    assert_eq!(
        names,
        Vec::from_iter(examples.keys().copied()),
        "the documentation has one example of each document"
    );
    for (name, expected) in &examples {
        let place = documented(&text)[*name].clone();
        if std::env::var_os("MINIJOB_WRITE_DOCS").is_some() {
            let shown = serde_json::to_string_pretty(expected).expect("JSON");
            text.replace_range(place, &format!("{shown}\n"));
            continue;
        }
        let shown: Value =
            serde_json::from_str(&text[place]).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(shown, *expected, "{name}: run this test with MINIJOB_WRITE_DOCS=1");
    }
    if std::env::var_os("MINIJOB_WRITE_DOCS").is_some() {
        fs::write(DOCS, text).expect("written");
    }
}

#[test]
fn the_table_of_kinds_is_the_one_of_the_code() {
    let text = fs::read_to_string(DOCS).expect("the documentation");
    let mut seen = 0;
    for line in text.lines() {
        let cells: Vec<&str> = line.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let Some(kind) = cells.get(1).copied().and_then(Kind::from_word) else { continue };
        seen += 1;
        let grpc = format!("{:?}", kind.grpc_code());
        let real = [kind.http_status().to_string(), grpc, kind.exit_code().to_string()];
        assert_eq!(cells[2..5], real, "{line}");
    }
    assert_eq!(seen, 9, "every kind has its line");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_endpoint_of_the_documentation_is_there() {
    let rig = Rig::leading().await;
    let text = fs::read_to_string(DOCS).expect("the documentation");
    let requests = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let requests = requests.map(|(request, _)| request).filter(|request| request.contains(" /"));
    let mut seen = 0;
    for request in requests {
        let answer = rig
            .ask(&request.replace("{name}", "none").replace("{id}", "none").replace("{target}", "none"))
            .await;
        assert!(!answer.body.contains("there is nothing at"), "{request}: {answer:?}");
        assert!(!answer.body.contains("is not possible at"), "{request}: {answer:?}");
        seen += 1;
    }
    assert_eq!(seen, crate::api::http::endpoints().len(), "all of them, and nothing else");
}
