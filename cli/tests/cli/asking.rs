//! What people ask for beside submitting and stopping: what is sent, what is shown, how it ends.

use std::collections::{BTreeMap, VecDeque};

use proto::error::{Error, Kind};
use proto::ids::{JobVersion, NodeId, Revision, ServerId};
use proto::model::{AllocState, Eligibility, Liveness, Resources, Severity};
use proto::time::Timestamp;
use proto::view::{
    Candidate, Change, Choice, Export, GroupLossView, GroupPlacement, GroupPlan, Health, History, JobLoss,
    LossView, Move, NodeStatus, NodeView, Placement, Plan, Sentence, ServerView, Story, Version, VersionView,
    Waiting,
};
use proto::wire::v1;
use serde_json::{Value, json};

use crate::server::{Script, Server, Trouble};
use crate::views::{alloc, event, healthy, job, three_minutes_ago};
use crate::world::World;

fn with(method: &'static str, document: &impl serde::Serialize) -> Server {
    let value = serde_json::to_value(document).expect("serialises");
    Server::start(Script { documents: BTreeMap::from([(method, value)]), ..Script::default() })
}

fn answering(write: v1::WriteReply) -> Server {
    Server::start(Script { write: Some(write), ..Script::default() })
}

fn unchanged() -> Server {
    answering(v1::WriteReply { changed: false, version: 2, revision: 11, ..Default::default() })
}

pub fn list(items: Value) -> Value {
    json!({ "items": items, "next": null, "revision": 10 })
}

#[track_caller]
pub fn shows(server: &Server, args: &[&str], expected: &str) {
    World::new().ask(&server.url(), args).expect(0, expected, "");
}

#[track_caller]
pub fn asked(server: &Server, expected: &str) {
    let asked = server.script().asked.join("\n");
    assert!(asked.contains(expected), "{asked}");
}

#[test]
fn history_shows_versions_with_what_changed_and_passes_the_document_on() {
    let version = |version: u64, changes: &[&str], message: &str| VersionView {
        version: JobVersion(version),
        current: version == 2,
        at: three_minutes_ago(),
        actor: "ann".into(),
        message: message.into(),
        changes: changes.iter().map(|key| (*key).to_owned()).collect(),
        changes_left_out: 0,
    };
    let items = vec![
        version(2, &["groups.web.count", "priority"], "more for the sale"),
        VersionView { changes_left_out: 0, ..version(1, &[], "") },
    ];
    let server =
        with("job_history", &History { items, next: None, revision: Revision(10), warnings: Vec::new() });
    shows(
        &server,
        &["history", "web"],
        "VERSION  WHEN    WHO  CHANGED                     MESSAGE\n\
         2        3m ago  ann  groups.web.count, priority  more for the sale\n\
         1        3m ago  ann\n",
    );
    asked(&server, "job_history JobHistoryRequest { namespace: \"default\", name: \"web\" }");
    let json = World::new().ask(&server.url(), &["history", "web", "--json"]).json();
    assert_eq!((&json["items"][0]["version"], &json["items"][0]["current"]), (&json!(2), &json!(true)));
}

#[test]
fn export_prints_the_file_without_its_defaults_and_nothing_else() {
    let file = "name: web\nnamespace: default\ngroups:\n  web:\n    count: 2\n    tasks:\n      web:\n        command: b\n";
    let export = Export {
        namespace: "default".into(),
        name: "web".into(),
        version: JobVersion(3),
        job_file: file.into(),
    };
    let server = with("export_job", &export);
    shows(&server, &["export", "web", "--version", "3"], "name: web\ncount: 2\ncommand: b\n");
    asked(&server, "version: Some(3)");
    let json = World::new().ask(&server.url(), &["export", "web", "--json"]).json();
    assert_eq!(json["job_file"], file);
}

#[test]
fn scale_says_what_is_wanted_now_and_where_it_went() {
    let placed = BTreeMap::from([("n1".to_owned(), 2), ("n2".to_owned(), 1)]);
    let group = GroupPlacement { wanted: 3, placed, stays: 1, ..GroupPlacement::default() };
    let placement = Placement { groups: BTreeMap::from([("web".to_owned(), group)]) };
    let placement_json = serde_json::to_vec(&placement).expect("serialises").into();
    let server = answering(v1::WriteReply { changed: true, version: 4, revision: 12, placement_json });
    shows(
        &server,
        &["scale", "web", "3"],
        "web: wants 3 now, version 4\nweb: 3 placed on n1 (2), n2 (1), 2 of them new\n",
    );
    asked(&server, "name: \"web\", group: \"\", count: 3");
    let json = World::new().ask(&server.url(), &["scale", "shop/api", "3", "--json"]).json();
    assert_eq!((&json["changed"], &json["version"]), (&json!(true), &json!(4)));
    asked(&server, "name: \"shop\", group: \"api\"");
    shows(&unchanged(), &["scale", "web", "3"], "web: nothing changed, it wants 3 already\n");
    assert_eq!(World::new().ask(&server.url(), &["scale", "web", "many"]).code, Some(2));
}

#[test]
fn start_and_revert_say_what_became_of_them() {
    shows(&Server::start(Script::default()), &["start", "web"], "web: starts again, version 2\n");
    shows(&unchanged(), &["start", "web"], "web: nothing changed, it was not stopped\n");
    let server = Server::start(Script::default());
    shows(&server, &["revert", "web", "1"], "web: reverted to version 1, as version 2\n");
    asked(&server, "revert_job RevertJobRequest");
    let stopped = Server::with_job(vec![job("web", Health::Stopped, 10, vec![])]);
    let said = "web: reverted to version 1, as version 2; the job was stopped, it is started\n";
    shows(&stopped, &["revert", "web", "1"], said);
    let json = World::new().ask(&unchanged().url(), &["revert", "web", "2", "--json"]).json();
    assert_eq!(json, json!({ "changed": false, "version": 2, "revision": 11 }));
}

#[test]
fn a_refusal_is_said_with_its_next_step_and_its_exit_code() {
    let stopped = || {
        Error::new(Kind::Refused, "job `web` is stopped, so there is nothing to restart")
            .hint("`minijob start web` starts it again")
    };
    let server = Server::start(Script {
        statuses: BTreeMap::from([("web".into(), VecDeque::from([job("web", Health::Stopped, 10, vec![])]))]),
        trouble: VecDeque::from([Trouble::Refuse(stopped())]),
        ..Script::default()
    });
    World::new().ask(&server.url(), &["restart", "web"]).expect(
        1,
        "",
        "error: job `web` is stopped, so there is nothing to restart\nhint: `minijob start web` starts it again\n",
    );
}

#[test]
fn restart_means_a_job_or_one_allocation_by_its_id() {
    let script = || Script {
        statuses: BTreeMap::from([(
            "web".into(),
            VecDeque::from([job("web", Health::Healthy, 10, vec![healthy("web", 0)])]),
        )]),
        allocs: BTreeMap::from([("web.web.0".into(), healthy("web", 0))]),
        ..Script::default()
    };
    let server = Server::start(script());
    let shown = "web: restarts one by one, version 2; `minijob status web` shows how far it is\n";
    shows(&server, &["restart", "web"], shown);
    asked(&server, "at_once: false");
    let shown = "web: restarts all at once, version 2; `minijob status web` shows how far it is\n";
    shows(&server, &["restart", "web", "--at-once"], shown);
    asked(&server, "at_once: true");
    let server = Server::start(script());
    shows(&server, &["restart", "web.web.0"], "web.web.0: restarts on n1\n");
    asked(&server, &format!("alloc: \"{}\"", healthy("web", 0).id));
}

fn plan(changed: bool) -> Plan {
    let change = |key: &str, before: Option<&str>, after: Option<&str>| Change {
        key: key.into(),
        before: before.map(str::to_owned),
        after: after.map(str::to_owned),
    };
    let waiting = Waiting {
        count: 1,
        why: "2 of 2 nodes lack memory (8GiB asked)".into(),
        advice: "add a node".into(),
    };
    let candidate = |node: &str, copies, behind: &str| Candidate {
        node: node.into(),
        in_domain: copies,
        copies,
        cpu_percent: 25,
        memory_percent: 12,
        behind: behind.into(),
        ..Candidate::default()
    };
    let liked = Candidate { liking: 50, in_domain: 1, ..candidate("n1", 0, "") };
    let candidates = vec![liked, candidate("n2", 1, "more of the group are on it")];
    let choice = Choice { name: "web.web.0".into(), feasible: 2, candidates };
    let group = GroupPlan {
        wanted: 4,
        replaced: 2,
        placed: BTreeMap::from([("n1".to_owned(), 2), ("n2".to_owned(), 1)]),
        waiting: Some(waiting),
        choices: vec![choice],
        ..GroupPlan::default()
    };
    Plan {
        namespace: "default".into(),
        name: "web".into(),
        present: Some(JobVersion(1)),
        version: JobVersion(if changed { 2 } else { 1 }),
        changed,
        starts: false,
        changes: vec![
            change("groups.web.count", Some("2"), Some("4")),
            change("groups.web.tasks.web.env.COLOR", None, Some("blue")),
            change("meta.team", Some("shop"), None),
        ],
        changes_left_out: 0,
        groups: BTreeMap::from([("web".to_owned(), group)]),
        preempted: BTreeMap::new(),
        revision: Revision(10),
    }
}

#[test]
fn plan_shows_what_would_change_and_where_it_would_go() {
    let world = World::new();
    world.file("web.yml", "name: web\ncommand: /bin/web\n");
    let server = with("plan_job", &plan(true));
    let expected = "web: version 2 instead of 1\n\
        \x20 ~ groups.web.count: 2 -> 4\n\
        \x20 + groups.web.tasks.web.env.COLOR: blue\n\
        \x20 - meta.team: shop\n\
        GROUP  WANTED  UNCHANGED  IN PLACE  REPLACED  STOPPED  NEW ON\n\
        web    4       0          0         2         0        n1 (2), n2 (1)\n\
        web: 1 of 4 would wait: 2 of 2 nodes lack memory (8GiB asked); add a node\n\
        web.web.0: 2 nodes could take it\n\
        \x20 n1: liked +50, 1 of the group in its failure domain, 0 of the group on it, then 25% cpu, 12% memory in use\n\
        \x20 n2: 1 of the group on it, then 25% cpu, 12% memory in use; not taken: more of the group are on it\n";
    world.ask(&server.url(), &["plan", "web.yml"]).expect(0, expected, "");
    world.ask(&server.url(), &["plan", "--exit-code", "web.yml"]).expect(10, expected, "");
    assert!(server.script().puts.is_empty(), "nothing is submitted");
    let json = world.ask(&server.url(), &["plan", "--json", "web.yml"]).json();
    assert_eq!(json["items"][0]["groups"]["web"]["placed"], json!({ "n1": 2, "n2": 1 }));
    let same = with("plan_job", &plan(false));
    let shown = world.ask(&same.url(), &["plan", "--exit-code", "web.yml"]);
    shown.expect(0, "web: nothing would change, version 1\n", "");
    world.file("bad.yml", "name: web\n");
    assert_eq!(world.ask(&server.url(), &["plan", "bad.yml"]).code, Some(2));
}

#[test]
fn plan_says_whether_everything_would_fit_without_a_node() {
    let moves = |to: &str, count| Move { from: "n1".into(), to: to.into(), count };
    let group = |moves, waiting| BTreeMap::from([("web".to_owned(), GroupLossView { moves, waiting })]);
    let waits = Waiting {
        count: 1,
        why: "the only node lacks memory (8GiB asked)".into(),
        advice: "add a node".into(),
    };
    let loss = |waiting: Option<Waiting>| LossView {
        nodes: vec!["n1".into()],
        fits: waiting.is_none(),
        moves: 3,
        jobs_moved: 1,
        without_place: waiting.iter().map(|waits| waits.count).sum(),
        jobs_without_place: u32::from(waiting.is_some()),
        jobs: vec![JobLoss {
            namespace: "default".into(),
            name: "web".into(),
            groups: group(vec![moves("n2", 2), moves("n3", 1)], waiting),
        }],
        revision: Revision(10),
    };
    let server = with("plan_loss", &loss(None));
    let told = "without n1:\n\
        web: 3 would move: n1 to n2 (2), n1 to n3 (1)\n\
        everything fits: 3 allocations of 1 job would move\n";
    World::new().ask(&server.url(), &["plan", "--lose", "n1"]).expect(0, told, "");
    asked(&server, "nodes: [\"n1\"]");
    let server = with("plan_loss", &loss(Some(waits)));
    let told = "without n1:\n\
        web: 3 would move: n1 to n2 (2), n1 to n3 (1)\n\
        web: 1 would have no place: the only node lacks memory (8GiB asked); add a node\n\
        1 allocation of 1 job would have no place, 3 allocations of 1 job would move\n";
    World::new().ask(&server.url(), &["plan", "--lose-domain", "sm1"]).expect(1, told, "");
    asked(&server, "failure_domains: [\"sm1\"]");
    let json = World::new().ask(&server.url(), &["plan", "--lose", "n1", "--json"]);
    assert_eq!((json.code, json.json()["without_place"].as_u64()), (Some(1), Some(1)));
    let world = World::new();
    assert_eq!(world.ask(&server.url(), &["plan"]).code, Some(2), "nothing is asked");
}

#[test]
fn why_tells_the_story_with_times_and_the_last_lines() {
    let said = |at: Option<Timestamp>, text: &str| Sentence::new(at, text);
    let soon = Timestamp(proto::time::now().0 + 3_600_000 * 2 + 30_000);
    const AFTER: std::time::Duration = std::time::Duration::from_secs(4);
    let ended = three_minutes_ago();
    let story = Story {
        name: "web".into(),
        headline: format!("web is failing: web.web.0 on n1: task web: exit code 7; try 2 of 4 at {soon}"),
        past: vec![said(
            Some(ended),
            &format!("task web ended: exit code 7; try 2 of 4 at {}", ended.plus(AFTER)),
        )],
        present: vec![
            said(None, "version 1 was made by ann"),
            Sentence {
                tail: "boom\n".into(),
                ..said(Some(three_minutes_ago()), "task web of web.web.0 waits for try 2 of 4")
            },
        ],
        next: vec![said(Some(soon), "try 2 of 4 of task web of web.web.0")],
        revision: Revision(10),
    };
    let server = with("why", &story);
    shows(
        &server,
        &["why", "web"],
        "web is failing: web.web.0 on n1: task web: exit code 7; try 2 of 4 in 2h\n\
         what happened\n\
         \x20     3m ago  task web ended: exit code 7; try 2 of 4 in 4s\n\
         how it is\n\
         \x20             version 1 was made by ann\n\
         \x20     3m ago  task web of web.web.0 waits for try 2 of 4\n\
         \x20             | boom\n\
         what comes next\n\
         \x20      in 2h  try 2 of 4 of task web of web.web.0\n",
    );
    let json = World::new().ask(&server.url(), &["why", "web", "--json"]).json();
    assert_eq!(json["present"][1]["tail"], "boom\n");
}

pub fn node(name: &str, liveness: Liveness) -> NodeView {
    NodeView {
        id: NodeId(1),
        name: name.into(),
        address: "10.0.0.1".into(),
        liveness,
        eligibility: Eligibility::Eligible,
        version: "0.1.0".into(),
        capacity: Resources { cpu_millis: 4000, memory_bytes: 8 << 30 },
        used: Resources { cpu_millis: 250, memory_bytes: 64 << 20 },
        allocs: 2,
        since: three_minutes_ago(),
        failure_domain: None,
        drain: None,
        attributes: BTreeMap::from([("os".to_owned(), "linux".to_owned())]),
    }
}

#[test]
fn node_status_shows_all_nodes_or_one_with_what_runs_there() {
    let cordoned = NodeView { eligibility: Eligibility::Cordoned, ..node("n2", Liveness::Up) };
    let nodes = json!([node("n1", Liveness::Up), cordoned, node("n3", Liveness::Down)]);
    let server = with("list_nodes", &list(nodes));
    let short = World::new().ask(&server.url(), &["node"]);
    assert_eq!(short.stdout, World::new().ask(&server.url(), &["node", "status"]).stdout);
    shows(
        &server,
        &["node"],
        "NODE  STATE     SINCE   ADDRESS   VERSION  CPU        MEMORY           ALLOCATIONS\n\
         n1    up        3m ago  10.0.0.1  0.1.0    250m of 4  64MiB of 8.0GiB  2\n\
         n2    cordoned  3m ago  10.0.0.1  0.1.0    250m of 4  64MiB of 8.0GiB  2\n\
         n3    down      3m ago  10.0.0.1  0.1.0    250m of 4  64MiB of 8.0GiB  2\n",
    );
    let mut registered = event(3, 0, Severity::Info, "node n1 registered");
    registered.time = three_minutes_ago();
    let status = NodeStatus {
        node: node("n1", Liveness::Up),
        running: vec![healthy("web", 0), alloc("web", 1, AllocState::Running)],
        events: vec![registered],
        revision: Revision(10),
    };
    let server = with("node_status", &status);
    let id = NodeId(1).to_string();
    let ids = [0, 1].map(|index| healthy("web", index).id.to_string()[..8].to_owned());
    shows(
        &server,
        &["node", "status", "n1"],
        &format!(
            "n1  up\n\
             id       {id}\n\
             address  10.0.0.1\n\
             version  0.1.0\n\
             since    3m ago\n\
             cpu      250m of 4\n\
             memory   64MiB of 8.0GiB\n\
             os       linux\n\
             \n\
             ALLOCATION  ID        VERSION  STATE    SINCE\n\
             web.web.0   {}  1        healthy  3m ago\n\
             web.web.1   {}  1        running  3m ago\n\
             \n\
             \x20   3m ago  node n1 registered\n",
            ids[0], ids[1]
        ),
    );
    let json = World::new().ask(&server.url(), &["node", "status", "n1", "--json"]).json();
    assert_eq!((&json["name"], &json["running"][0]["name"]), (&json!("n1"), &json!("web.web.0")));
}

#[test]
fn nodes_are_cordoned_uncordoned_and_forgotten() {
    let node = || v1::WriteReply { changed: true, version: 0, revision: 11, ..Default::default() };
    let server = answering(node());
    shows(&server, &["node", "cordon", "n1"], "n1: cordoned; what runs there stays, nothing new comes\n");
    asked(&server, "node: \"n1\", eligible: false");
    shows(&server, &["node", "uncordon", "n1"], "n1: takes work again\n");
    shows(&server, &["node", "purge", "n1"], "n1: forgotten\n");
    shows(&unchanged(), &["node", "cordon", "n1"], "n1: was cordoned already\n");
    shows(&unchanged(), &["node", "uncordon", "n1"], "n1: was not cordoned\n");
    let json = World::new().ask(&server.url(), &["node", "purge", "n1", "--json"]).json();
    assert_eq!(json["changed"], true);
}

#[test]
fn server_members_shows_who_leads_and_alloc_status_what_status_shows() {
    let version = Some(Version { version: "0.1.0".into(), wire: 1, state: 1, disk: 1 });
    let member = ServerView {
        id: ServerId(7),
        name: "s1".into(),
        address: "10.0.0.1:4650".into(),
        leader: true,
        voter: true,
        reachable: true,
        lag: Some(0),
        version,
    };
    let server = with("list_servers", &list(json!([member.clone()])));
    let id = ServerId(7).to_string();
    shows(
        &server,
        &["server", "members"],
        &format!(
            "SERVER  ID             ADDRESS        ROLE    LAG  VERSION\ns1      {id}  10.0.0.1:4650  leader  0    0.1.0\n"
        ),
    );
    let gone = v1::WriteReply { changed: true, revision: 11, ..Default::default() };
    shows(&answering(gone), &["operator", "raft", "remove", "s3"], "s3: removed; stop it if it still runs\n");
    shows(
        &unchanged(),
        &["operator", "raft", "remove", "s3"],
        "s3: nothing changed, it is no server of this cluster\n",
    );
    shows(&unchanged(), &["operator", "member", "deny", "s3"], "s3: nothing changed, it is out already\n");
    let forming = ServerView { voter: false, leader: false, ..member.clone() };
    let shown =
        World::new().ask(&with("list_servers", &list(json!([forming]))).url(), &["server", "members"]);
    assert!(shown.code == Some(0) && shown.stdout.contains("forming"), "{shown:?}");
    let away =
        |name: &str| ServerView { name: name.into(), reachable: false, leader: false, ..member.clone() };
    let lost = with("list_servers", &list(json!([member.clone(), away("s2"), away("s3")])));
    let shown = World::new().ask(&lost.url(), &["server", "members", "--json"]);
    assert_eq!(shown.code, Some(1), "{shown:?}");
    let server = Server::start(Script {
        allocs: BTreeMap::from([("web".into(), healthy("web", 0))]),
        ..Script::default()
    });
    let world = World::new();
    let alone = world.ask(&server.url(), &["alloc", "status", "web"]);
    assert!(alone.code == Some(0) && alone.stdout.starts_with("web.web.0  healthy\n"), "{alone:?}");
    assert_eq!(world.ask(&server.url(), &["alloc", "status", "web", "--json"]).json()["name"], "web.web.0");
}

#[test]
fn prune_is_about_directories() {
    let world = World::new();
    let server = Server::start(Script::default());
    let mut command = world.command(&["run", "--prune", "--detach", "-"]);
    command.env("MINIJOB_ADDR", server.url()).env("MINIJOB_TOKEN", crate::server::TOKEN);
    command.stdin(std::process::Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let file = b"name: web\ncommand: /bin/web\n";
    std::io::Write::write_all(&mut child.stdin.take().expect("piped"), file).expect("written");
    let ended = crate::world::outcome(child);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.starts_with("error: --prune is about directories, and none was named"), "{ended:?}");
    assert!(server.script().puts.is_empty(), "nothing was submitted");
}
