//! A node is drained: what is sent, what is told meanwhile, how it ends.

use std::collections::BTreeMap;

use proto::ids::Revision;
use proto::model::Liveness;
use proto::view::{DrainView, NodeStatus, NodeView};
use proto::wire::v1;
use serde_json::json;

use crate::asking::{asked, list, node, shows};
use crate::server::{Script, Server};
use crate::views::three_minutes_ago;
use crate::world::World;

fn drain(state: &str, left: u32) -> DrainView {
    DrainView {
        state: state.into(),
        by: "ann".into(),
        message: "new kernel".into(),
        begun_at: three_minutes_ago(),
        deadline: None,
        overdue: false,
        left,
        complete_at: (state == "drained").then(three_minutes_ago),
    }
}

#[test]
fn a_drain_is_followed_until_nothing_is_left() {
    let reply = || v1::WriteReply { changed: true, version: 0, revision: 11, ..Default::default() };
    let drained = NodeView { drain: Some(drain("drained", 0)), ..node("n1", Liveness::Up) };
    let status =
        NodeStatus { node: drained.clone(), running: vec![], events: vec![], revision: Revision(10) };
    let documents = || {
        BTreeMap::from([
            ("node_status", serde_json::to_value(&status).expect("a document")),
            ("list_nodes", list(json!([drained]))),
        ])
    };
    let server =
        || Server::start(Script { documents: documents(), write: Some(reply()), ..Script::default() });
    shows(
        &server(),
        &["node", "drain", "n1", "--deadline", "10m", "-m", "new kernel"],
        "n1: its work moves to other nodes\n\
         n1: nothing is left; it takes no work until `minijob node uncordon n1`\n",
    );
    let cancelled = server();
    shows(&cancelled, &["node", "drain", "n1", "--cancel"], "n1: what has not moved stays\n");
    asked(&cancelled, "node: \"n1\", cancel: true, deadline_ms: None");
    let forced = server();
    shows(&forced, &["node", "drain", "n1", "--force", "--detach"], "n1: its work moves to other nodes\n");
    asked(&forced, "cancel: false, deadline_ms: Some(0), no_deadline: false");
    let json = World::new().ask(&server().url(), &["node", "drain", "n1", "--no-deadline", "--json"]).json();
    assert_eq!(json["changed"], true, "one document, when nothing is left");
    shows(
        &server(),
        &["node"],
        "NODE  STATE    SINCE   ADDRESS   VERSION  CPU        MEMORY           ALLOCATIONS\n\
         n1    drained  3m ago  10.0.0.1  0.1.0    250m of 4  64MiB of 8.0GiB  2\n",
    );
    let shown = World::new().ask(&server().url(), &["node", "status", "n1"]).stdout;
    let line = "drain    complete 3m ago; `minijob node uncordon` ends it; by ann, 3m ago: new kernel\n";
    assert!(shown.contains(line), "{shown}");
}

#[test]
fn a_drain_that_somebody_cancels_is_not_waited_for() {
    let reply = v1::WriteReply { changed: true, version: 0, revision: 11, ..Default::default() };
    let status = NodeStatus {
        node: node("n1", Liveness::Up),
        running: vec![],
        events: vec![],
        revision: Revision(10),
    };
    let documents = BTreeMap::from([
        ("node_status", serde_json::to_value(&status).expect("a document")),
        ("list_nodes", list(json!([node("n1", Liveness::Up)]))),
    ]);
    let server = Server::start(Script { documents, write: Some(reply), ..Script::default() });
    let answer = World::new().ask(&server.url(), &["node", "drain", "n1"]);
    assert_eq!(answer.code, Some(1), "{answer:?}");
    assert!(answer.stderr.contains("the drain of node n1 was cancelled"), "{answer:?}");
    let both = World::new().ask(&server.url(), &["node", "drain", "n1", "--force", "--deadline", "5m"]);
    assert_eq!(both.code, Some(2), "{both:?}");
}
