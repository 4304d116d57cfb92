//! `operator settings`: what people see, what is sent.

use std::collections::{BTreeMap, VecDeque};

use proto::error::{Error, Kind};
use proto::ids::Revision;
use proto::view::{SettingList, SettingView};
use proto::wire::v1;

use crate::server::{Script, Server, Trouble};
use crate::world::World;

fn setting(name: &str, value: &str, default: &str, about: &str) -> SettingView {
    SettingView {
        name: name.into(),
        value: value.into(),
        value_ms: None,
        default: default.into(),
        allowed: "1s to 10m".into(),
        about: about.into(),
    }
}

fn with(method: &'static str, document: &impl serde::Serialize) -> Server {
    let value = serde_json::to_value(document).expect("serialises");
    Server::start(Script { documents: BTreeMap::from([(method, value)]), ..Script::default() })
}

#[test]
fn all_settings_are_shown_in_columns_and_passed_on_as_a_document() {
    let items = vec![
        setting("node_timeout", "30s", "4s", "the silence after which a node counts as lost"),
        setting("versions", "10", "10", "versions kept of each job"),
    ];
    let server = with(
        "list_settings",
        &SettingList { items, next: None, revision: Revision(7), warnings: Vec::new() },
    );
    let world = World::new();
    world.ask(&server.url(), &["operator", "settings"]).expect(
        0,
        "SETTING       VALUE  DEFAULT  WHAT IT IS\n\
         node_timeout  30s    4s       the silence after which a node counts as lost\n\
         versions      10     10       versions kept of each job\n",
        "",
    );
    let json = world.ask(&server.url(), &["operator", "settings", "--json"]).json();
    assert_eq!((&json["items"][0]["value"], &json["revision"]), (&"30s".into(), &7.into()));
}

#[test]
fn one_setting_is_shown_with_what_it_may_be() {
    let one = setting("node_timeout", "30s", "4s", "the silence after which a node counts as lost");
    let server = with("get_setting", &one);
    let world = World::new();
    world.ask(&server.url(), &["operator", "settings", "get", "node_timeout"]).expect(
        0,
        "node_timeout  30s\n\
         default     4s\n\
         allowed     1s to 10m\n\
         what it is  the silence after which a node counts as lost\n",
        "",
    );
    assert!(server.script().asked.join("").contains("name: \"node_timeout\""));
    let json = world.ask(&server.url(), &["operator", "settings", "get", "node_timeout", "--json"]).json();
    assert_eq!(json["allowed"], "1s to 10m");
}

#[test]
fn what_is_set_is_sent_in_one_write_and_said_setting_by_setting() {
    let server = Server::start(Script::default());
    let world = World::new();
    let set = ["operator", "settings", "set", "heartbeat=300ms", "node_timeout=default"];
    world.ask(&server.url(), &set).expect(0, "heartbeat: 300ms now\nnode_timeout: its default now\n", "");
    assert_eq!(
        server.script().asked,
        ["set_settings [\"heartbeat=300ms\", \"node_timeout=default\"]"],
        "both in one write"
    );
    let same = v1::WriteReply { changed: false, version: 0, revision: 11, ..Default::default() };
    let server = Server::start(Script { write: Some(same), ..Script::default() });
    world.ask(&server.url(), &["operator", "settings", "set", "versions=10"]).expect(
        0,
        "versions: nothing changed, it was 10 already\n",
        "",
    );
    let json = world.ask(&server.url(), &["operator", "settings", "set", "versions=10", "--json"]).json();
    assert_eq!(json["changed"], false);
}

#[test]
fn a_refusal_ends_with_what_would_be_right() {
    let refusal =
        Error::new(Kind::NotFound, "there is no setting `node_timeot`").hint("did you mean `node_timeout`?");
    let trouble = VecDeque::from([Trouble::Refuse(refusal)]);
    let server = Server::start(Script { trouble, ..Script::default() });
    let world = World::new();
    let shown = world.ask(&server.url(), &["operator", "settings", "set", "node_timeot=1s"]);
    assert_eq!(shown.code, Some(3), "{shown:?}");
    assert!(shown.stderr.contains("did you mean `node_timeout`?"), "{shown:?}");
    let shown = world.ask(&server.url(), &["operator", "settings", "set", "node_timeout", "1s"]);
    assert_eq!(shown.code, Some(2), "{shown:?}");
    assert!(shown.stderr.contains("for example `node_timeout=10s`"), "{shown:?}");
    assert_eq!(world.ask(&server.url(), &["operator", "settings", "set"]).code, Some(2));
}
