//! `status`, `logs`, `events`: what people see, and the documents that scripts get.

use std::collections::{BTreeMap, VecDeque};

use proto::ids::{AllocId, JobVersion, Revision};
use proto::model::{AllocState, EndReason, Severity, TaskEnd};
use proto::time::{Timestamp, now};
use proto::view::{AllocView, EventList, Health, JobSummary, TaskUsage, TaskView, Waiting};
use proto::wire::v1::LogChunk;

use crate::server::{End, Script, Server};
use crate::views::{alloc, event, failed, healthy, job, summary, task, three_minutes_ago};
use crate::world::{World, outcome};

#[test]
fn status_lists_jobs_as_the_server_orders_them_with_how_long_they_are_down() {
    let failing = JobSummary {
        down_since: Some(three_minutes_ago()),
        why: "web.web.0: exit code 7".into(),
        version: JobVersion(12),
        ..summary("web", Health::Failing)
    };
    let jobs = vec![failing, summary("database", Health::Healthy)];
    let server = Server::start(Script { jobs, ..Script::default() });
    let world = World::new();
    world.ask(&server.url(), &["status"]).expect(
        0,
        "JOB       TYPE     VERSION  HEALTH   WANTED  RUNNING  HEALTHY  DOWN FOR  WHY\n\
         web       service  12       failing  1       1        0        3m        web.web.0: exit code 7\n\
         database  service  1        healthy  1       1        1\n",
        "",
    );
    let json = world.ask(&server.url(), &["status", "--json"]).json();
    assert_eq!(json["items"][0]["name"], "web");
    assert_eq!(json["items"][0]["health"], "failing");
    assert!(json["items"][0]["down_since"].as_str().expect("text").ends_with('Z'), "{json}");
    assert_eq!(json["revision"], 10);
}

#[test]
fn status_shows_only_what_fails_where_that_is_asked() {
    let jobs = vec![
        summary("web", Health::Failing),
        summary("queue", Health::Waiting),
        summary("new", Health::Pending),
        summary("database", Health::Healthy),
    ];
    let server = Server::start(Script { jobs, ..Script::default() });
    let world = World::new();
    let shown = world.ask(&server.url(), &["status", "--failing"]).stdout;
    let names: Vec<&str> = shown.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(names, ["JOB", "web", "queue"], "{shown}");
    let json = world.ask(&server.url(), &["status", "--failing", "--json"]).json();
    let names: Vec<&str> =
        json["items"].as_array().expect("a list").iter().flat_map(|job| job["name"].as_str()).collect();
    assert_eq!((names, json["revision"].as_u64()), (vec!["web", "queue"], Some(10)));
    let well = Server::start(Script { jobs: vec![summary("web", Health::Healthy)], ..Script::default() });
    world.ask(&well.url(), &["status", "--failing"]).expect(0, "nothing fails: 1 job\n", "");
    assert_eq!(world.ask(&well.url(), &["status", "--failing", "web"]).code, Some(2));
}

#[test]
fn alloc_alone_lists_what_is_not_over_of_all_jobs() {
    let web = job("web", Health::Healthy, 10, vec![healthy("web", 0), failed("web", 1)]);
    let api = job("api", Health::Healthy, 10, vec![healthy("api", 0)]);
    let statuses = [("web", web), ("api", api)].map(|(name, job)| (name.to_owned(), VecDeque::from([job])));
    let jobs = ["web", "api", "gone"].map(|name| summary(name, Health::Healthy)).into();
    let server = Server::start(Script { jobs, statuses: statuses.into(), ..Script::default() });
    let world = World::new();
    let ids = [healthy("web", 0), healthy("api", 0)].map(|alloc| alloc.id.to_string()[..8].to_owned());
    world.ask(&server.url(), &["alloc"]).expect(
        0,
        &format!(
            "ALLOCATION  ID        NODE  VERSION  STATE    SINCE\n\
             web.web.0   {}  n1    1        healthy  3m ago\n\
             api.api.0   {}  n1    1        healthy  3m ago\n",
            ids[0], ids[1]
        ),
        "",
    );
    let json = world.ask(&server.url(), &["alloc", "--json"]).json();
    assert_eq!(json["items"][1]["name"], "api.api.0");
    assert_eq!(json["items"].as_array().map(Vec::len), Some(2), "{json}");
    let none = Server::start(Script::default());
    let empty = "no allocations; `minijob status` shows the jobs\n";
    world.ask(&none.url(), &["alloc"]).expect(0, empty, "");
}

#[test]
fn status_of_an_allocation_shows_what_its_tasks_use() {
    let usage = TaskUsage {
        memory_bytes: Some(12 << 20),
        memory_peak_bytes: Some(15 << 20),
        cpu_ms: Some(4_200),
        processes: 3,
    };
    let task = TaskView { usage: Some(usage), ..task("web", "running") };
    let found = AllocView { tasks: vec![task], ..healthy("web", 0) };
    let server =
        Server::start(Script { allocs: BTreeMap::from([("web.web.0".into(), found)]), ..Script::default() });
    let shown = World::new().ask(&server.url(), &["status", "web.web.0"]);
    let expected = "\nTASK  MEMORY  AT MOST  CPU TIME  PROCESSES\nweb   12MiB   15MiB    4.2s      3\n";
    assert!(shown.stdout.ends_with(expected), "{shown:?}");
}

#[test]
fn on_a_narrow_terminal_no_word_of_a_table_is_broken() {
    let failing = JobSummary {
        down_since: Some(three_minutes_ago()),
        why: "web.web.0: exit code 7 (try 4 of 4)".into(),
        ..summary("web", Health::Failing)
    };
    let server = Server::start(Script { jobs: vec![failing], ..Script::default() });
    let world = World::new();
    assert_eq!(
        world.show(&server.url(), 80, &["status"]),
        "JOB  TYPE     VERSION  HEALTH   WANTED  RUNNING  HEALTHY  DOWN FOR\n\
         web  service  1        failing  1       1        0        3m\n\
         \x20   why: web.web.0: exit code 7 (try 4 of 4)\n"
    );
    let mut piped = world.command(&["status"]);
    piped.env("MINIJOB_ADDR", server.url()).env("MINIJOB_TOKEN", crate::server::TOKEN).env("COLUMNS", "80");
    let piped = outcome(piped.spawn().expect("it starts"));
    assert_eq!(piped.stdout, world.show(&server.url(), 80, &["status"]), "COLUMNS is honoured in a pipe");
    assert_eq!(
        world.show(&server.url(), 60, &["status"]),
        "JOB  TYPE     VERSION  HEALTH   WANTED  RUNNING  HEALTHY\n\
         web  service  1        failing  1       1        0\n\
         \x20   down for: 3m; why: web.web.0: exit code 7 (try 4 of 4)\n"
    );
    let wide = world.show(&server.url(), 120, &["status"]);
    assert!(wide.contains("3m        web.web.0: exit code 7 (try 4 of 4)\n"), "{wide}");
}

#[test]
fn jobs_of_other_namespaces_are_shown_with_theirs() {
    let foreign = JobSummary { namespace: "dmz".into(), ..summary("proxy", Health::Healthy) };
    let jobs = vec![summary("web", Health::Healthy), foreign];
    let server = Server::start(Script { jobs, ..Script::default() });
    let world = World::new();
    let shown = world.ask(&server.url(), &["status"]).stdout;
    assert!(shown.starts_with("NAMESPACE  JOB "), "{shown}");
    world.ask(&server.url(), &["status", "--namespace", "dmz"]);
    let asked: Vec<String> =
        server.script().list_requests.iter().map(|list| list.namespace.clone()).collect();
    assert_eq!(asked, ["", "dmz"]);
}

#[test]
fn a_cluster_without_jobs_says_how_to_submit_one() {
    let server = Server::start(Script::default());
    World::new().ask(&server.url(), &["status"]).expect(0, "no jobs; `minijob run FILE` submits one\n", "");
}

#[test]
fn status_of_a_job_tells_where_it_runs_what_failed_and_why_the_rest_waits() {
    let end = TaskEnd {
        reason: EndReason::Oom,
        at: three_minutes_ago(),
        ran: std::time::Duration::from_secs(9),
        tail: "loading\n".into(),
    };
    let dying = TaskView {
        attempt: 2,
        window_try: 2,
        next_start_at: Some(Timestamp(now().0 + 3_600_000 * 2 + 30_000)),
        last_end: Some(end),
        pid: None,
        ..task("web", "backoff")
    };
    let backoff = AllocView { tasks: vec![dying], ..alloc("web", 1, AllocState::Running) };
    let mut status = job("web", Health::Failing, 10, vec![healthy("web", 0), backoff, failed("web", 2)]);
    status.summary.down_since = Some(three_minutes_ago());
    let group = status.groups.get_mut("web").expect("there");
    (group.wanted, group.healthy) = (4, 1);
    group.waiting = Some(Waiting { count: 1, why: "2 of 2 nodes lack memory".into(), advice: String::new() });
    let server = Server::with_job(vec![status]);
    let ids: Vec<String> =
        (1..=3).map(|id| proto::ids::AllocId(id).to_string().chars().take(8).collect()).collect();
    let expected = format!(
        "web  failing, down for 3m\n\
         service, version 1, submitted 3m ago\n\
         \n\
         GROUP  WANTED  RUNNING  HEALTHY  NEXT\n\
         web    4       2        1\n\
         web: 1 of 4 without a place: 2 of 2 nodes lack memory\n\
         \n\
         ALLOCATION  ID        NODE  VERSION  STATE    TRY     SINCE   LAST END\n\
         web.web.0   {}  n1    1        healthy  1 of 4  3m ago\n\
         web.web.1   {}  n1    1        backoff  2 of 4  3m ago  killed by the kernel: out of memory, 3m ago; starts again in 2h\n\
         web.web.2   {}  n1    1        failed   4 of 4  3m ago  exit code 7, 3m ago\n\
         \n\
         last output of web.web.2 (exit code 7, 3m ago):\n\
         \x20 | starting\n\
         \x20 | no database\n",
        ids[0], ids[1], ids[2]
    );
    let world = World::new();
    world.ask(&server.url(), &["status", "web"]).expect(0, &expected, "");
    let json = world.ask(&server.url(), &["status", "--json", "web"]).json();
    assert_eq!(json["groups"]["web"]["waiting"]["count"], 1);
    assert_eq!(json["allocs"][1]["tasks"][0]["last_end"]["reason"], "oom");
}

#[test]
fn a_time_in_a_sentence_is_told_from_now_and_a_script_gets_the_exact_one() {
    let soon = Timestamp(now().0 + 3_600_000 * 2 + 30_000);
    let mut status = job("web", Health::Failing, 10, vec![]);
    status.summary.why = format!("web.web.0 failed on n1; placed anew at {soon} on another node");
    let list = Script { jobs: vec![status.summary.clone()], ..Script::default() };
    let (server, world) = (Server::with_job(vec![status]), World::new());
    let said = "web.web.0 failed on n1; placed anew in 2h on another node";
    let shown = world.ask(&server.url(), &["status", "web"]).stdout;
    assert!(shown.starts_with(&format!("web  failing: {said}\n")), "{shown}");
    let shown = world.ask(&Server::start(list).url(), &["status"]).stdout;
    assert!(shown.contains(said), "{shown}");
    let json = world.ask(&server.url(), &["status", "web", "--json"]).json();
    assert!(json["why"].as_str().is_some_and(|why| why.contains(&soon.to_string())), "{json}");
}

#[test]
fn an_event_tells_of_what_was_to_come_as_seen_from_its_own_time() {
    let message = "task web ended: exit code 7; try 2 of 4 at 2023-11-14T22:13:24.125Z";
    let list = events(vec![event(10, 0, Severity::Warning, message)]);
    let server =
        Server::start(Script { events: VecDeque::from([(vec![list], End::Done)]), ..Script::default() });
    let shown = World::new().ask(&server.url(), &["events"]).stdout;
    assert!(shown.ends_with("task web ended: exit code 7; try 2 of 4 in 4s\n"), "{shown}");
}

#[test]
fn what_is_on_a_node_that_is_drained_says_so() {
    let leaves = AllocView { draining: true, ..healthy("web", 0) };
    let server = Server::with_job(vec![job("web", Health::Healthy, 10, vec![leaves])]);
    let shown = World::new().ask(&server.url(), &["status", "web"]).stdout;
    assert!(shown.contains("healthy, draining"), "{shown}");
}

#[test]
fn a_job_that_is_scaled_to_0_says_so_and_when_its_version_was_made() {
    let stopping = AllocView { desired: "stop".into(), ..healthy("web", 0) };
    let mut status = job("web", Health::Healthy, 10, vec![stopping]);
    (status.summary.wanted, status.summary.version) = (0, JobVersion(2));
    status.created_at = Timestamp(now().0 - 3_600_000 * 2 - 20_000);
    let list = Script { jobs: vec![status.summary.clone()], ..Script::default() };
    let (server, world) = (Server::with_job(vec![status]), World::new());
    let shown = world.ask(&server.url(), &["status", "web"]).stdout;
    let head = "web  scaled to 0\nservice, version 2 of 3m ago, first submitted 2h ago\n";
    assert!(shown.starts_with(head), "{shown}");
    assert!(shown.contains("stopping  1 of 4"), "what is told to stop is not healthy: {shown}");
    let shown = world.ask(&Server::start(list).url(), &["status"]).stdout;
    assert!(shown.contains("scaled to 0"), "{shown}");
}

#[test]
fn of_a_slot_that_failed_again_and_again_only_the_last_is_shown() {
    let ended = |id: u64| AllocView { id: AllocId(id), ended_at: Some(Timestamp(id)), ..failed("web", 0) };
    let live = AllocView { id: AllocId(9), ..healthy("web", 0) };
    let allocs = std::iter::once(live).chain((1..5).map(ended)).collect();
    let server = Server::with_job(vec![job("web", Health::Healthy, 10, allocs)]);
    let shown = World::new().ask(&server.url(), &["status", "web"]).stdout;
    assert_eq!(shown.matches("web.web.0 ").count(), 2, "{shown}");
    let last: String = AllocId(4).to_string().chars().take(8).collect();
    assert!(shown.contains(&last) && shown.contains("and 3 more that ended; --all shows them\n"), "{shown}");
}

#[test]
fn ports_are_shown_beside_the_allocations_where_any_has_some() {
    let ports = BTreeMap::from([("http".to_owned(), 23_451), ("metrics".to_owned(), 23_452)]);
    let allocs = vec![AllocView { ports, ..healthy("web", 0) }, healthy("web", 1)];
    let server = Server::with_job(vec![job("web", Health::Healthy, 10, allocs)]);
    let shown = World::new().ask(&server.url(), &["status", "web"]).stdout;
    let cells: Vec<&str> =
        shown.lines().filter_map(|line| line.split_once("SINCE   ")).map(|c| c.1).collect();
    assert_eq!(cells, ["PORTS                      LAST END"], "{shown}");
    assert!(shown.contains("1 of 4  3m ago  http 23451, metrics 23452\n"), "{shown}");
    assert!(shown.contains("1 of 4  3m ago\n"), "the other one has none: {shown}");
}

#[test]
fn of_many_ended_allocations_only_the_newest_are_shown_unless_all_are_asked_for() {
    let ended =
        |index: u32| AllocView { ended_at: Some(Timestamp(u64::from(index))), ..failed("web", index) };
    let server = Server::with_job(vec![job("web", Health::Failing, 10, (0..9).map(ended).collect())]);
    let world = World::new();
    let few = world.ask(&server.url(), &["status", "web"]).stdout;
    assert_eq!(few.matches("web.web.").count(), 6, "five and the output of one: {few}");
    assert!(few.contains("web.web.8 ") && !few.contains("web.web.3 "), "{few}");
    assert!(few.contains("and 4 more that ended; --all shows them\n"), "{few}");
    let all = world.ask(&server.url(), &["status", "web", "--all"]).stdout;
    assert!(all.contains("web.web.0 "), "{all}");
}

#[test]
fn an_allocation_is_found_by_its_name_and_by_the_beginning_of_its_id() {
    let one = AllocView { ports: BTreeMap::from([("http".into(), 20_001)]), ..healthy("web", 0) };
    let id = one.id.to_string();
    let allocs = BTreeMap::from([("web.web.0".to_owned(), one.clone()), (id[..6].to_owned(), one)]);
    let server = Server::start(Script { allocs, ..Script::default() });
    let world = World::new();
    let expected = format!(
        "web.web.0  healthy\n\
         id        {id}\n\
         job       web, version 1\n\
         node      n1 ({})\n\
         placed    3m ago\n\
         ports     http 20001\n\
         \n\
         TASK  PHASE    TRY     STARTS  PID   SINCE   LAST END\n\
         web   running  1 of 4  1       4711  3m ago\n",
        proto::ids::NodeId(1)
    );
    world.ask(&server.url(), &["status", "web.web.0"]).expect(0, &expected, "");
    world.ask(&server.url(), &["status", &id[..6]]).expect(0, &expected, "");
}

#[test]
fn what_does_not_exist_is_exit_3_with_the_servers_suggestion() {
    let server = Server::start(Script::default());
    let world = World::new();
    let expected = "error: there is no job `wbe`\nhint: did you mean `web`?\n";
    world.ask(&server.url(), &["status", "wbe"]).expect(3, "", expected);
    world.ask(&server.url(), &["logs", "wbe"]).expect(3, "", expected);
    let json = world.ask(&server.url(), &["status", "wbe", "--json"]);
    assert_eq!(json.code, Some(3));
    assert_eq!(json.error_json()["kind"], "not_found");
    assert_eq!(json.error_json()["hint"], "did you mean `web`?");
}

fn chunk(index: u32, data: &str) -> LogChunk {
    LogChunk {
        alloc_id: u64::from(index) + 1,
        group: "web".into(),
        index,
        task: "web".into(),
        data: data.to_owned().into(),
        ..LogChunk::default()
    }
}

fn log_server(allocs: u32, logs: Vec<(Vec<LogChunk>, End)>) -> Server {
    let status = job("web", Health::Healthy, 10, (0..allocs).map(|index| healthy("web", index)).collect());
    let statuses = BTreeMap::from([("web".to_owned(), VecDeque::from([status]))]);
    Server::start(Script { statuses, logs: logs.into(), ..Script::default() })
}

#[test]
fn logs_since_a_time_are_asked_for_by_how_long_ago_it_was() {
    let ago = |args: &[&str]| {
        let server = log_server(1, vec![(vec![chunk(0, "a\n")], End::Done)]);
        World::new().ask(&server.url(), &[&["logs", "web"], args].concat()).expect(0, "a\n", "");
        server.script().log_requests[0].last_ms
    };
    assert_eq!(ago(&[]), None);
    assert_eq!(ago(&["--since", "10m"]), Some(600_000));
    let asked = ago(&["--since", "2026-01-01T02:00:00+02:00"]).expect("a time");
    let begin: proto::time::Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
    let passed = proto::time::now().since(begin).as_millis() as u64;
    assert!(asked <= passed && passed < asked + 60_000, "{asked} {passed}");
}

#[test]
fn logs_of_one_task_are_passed_on_as_they_are() {
    let server = log_server(1, vec![(vec![chunk(0, "a\n\x1b[31mb\n"), chunk(0, "no end")], End::Done)]);
    let shown = World::new().ask(&server.url(), &["logs", "web", "--tail", "7", "--stderr"]);
    shown.expect(0, "a\n\x1b[31mb\nno end", "");
    let request = server.script().log_requests[0].clone();
    assert_eq!((request.target.as_str(), request.tail), ("web", Some(7)));
    assert_eq!((request.stdout, request.stderr, request.follow), (false, true, false));
}

#[test]
fn logs_of_several_allocations_are_merged_with_prefixes() {
    let chunks = [chunk(0, "a\nb\n"), chunk(1, "c\n")];
    let notice = LogChunk { notice: "web.web.2: its node does not answer".into(), ..chunk(2, "") };
    let server = log_server(2, vec![(vec![chunks[0].clone(), notice, chunks[1].clone()], End::Done)]);
    World::new().ask(&server.url(), &["logs", "web"]).expect(
        0,
        "web.web.0/web | a\nweb.web.0/web | b\nweb.web.1/web | c\n",
        "minijob: web.web.2: its node does not answer\n",
    );
}

#[test]
fn logs_as_json_are_one_document_per_line() {
    let server = log_server(1, vec![(vec![chunk(0, "a\nb\n")], End::Done)]);
    let shown = World::new().ask(&server.url(), &["logs", "web", "--json"]).stdout;
    let lines: Vec<serde_json::Value> =
        shown.lines().map(|line| serde_json::from_str(line).expect("a document")).collect();
    assert_eq!(lines.len(), 2, "{shown}");
    assert_eq!(lines[1]["line"], "b");
    assert_eq!((&lines[1]["name"], &lines[1]["stream"]), (&"web.web.0".into(), &"stdout".into()));
    assert_eq!(lines[1]["time"], serde_json::Value::Null, "it is not known");
    let known =
        LogChunk { at_ms: Some(1_790_000_000_250), node: "n1".into(), stderr: true, ..chunk(0, "a\n") };
    let server = log_server(1, vec![(vec![known], End::Done)]);
    let shown = World::new().ask(&server.url(), &["logs", "web", "--json"]).stdout;
    let line: serde_json::Value = serde_json::from_str(&shown).expect("a document");
    assert_eq!(line["time"], "2026-09-21T14:13:20.250Z", "{line}");
    assert_eq!(
        (&line["node"], &line["stream"], &line["task"]),
        (&"n1".into(), &"stderr".into(), &"web".into())
    );
    assert!(server.script().log_requests[0].times);
}

#[test]
fn logs_show_the_time_of_each_line_on_request_and_say_where_it_is_not_known() {
    let known = LogChunk { at_ms: Some(1_790_000_000_250), ..chunk(0, "a\nb\n") };
    let server = log_server(1, vec![(vec![known, chunk(0, "c\n")], End::Done)]);
    let shown = World::new().ask(&server.url(), &["logs", "web", "-t", "--all"]).stdout;
    let lines: Vec<&str> = shown.lines().collect();
    for (line, text) in lines.iter().zip(["a", "b"]) {
        let (time, rest) = line.split_once(' ').expect("a time");
        assert_eq!(rest, text, "{shown}");
        let at: proto::time::Timestamp = time.parse().expect("RFC 3339");
        assert_eq!((at.0, time.len()), (1_790_000_000_250, "2026-09-21T14:13:20.250+00:00".len()), "{time}");
    }
    assert_eq!(lines[2..], ["- c"]);
    let request = server.script().log_requests[0].clone();
    assert!(request.times && request.all);
}

#[test]
fn logs_that_could_not_all_be_read_end_with_1_after_what_could() {
    let left_out = LogChunk { notice: "one is left out".into(), ..LogChunk::default() };
    let down = LogChunk { notice: "node n1 is down".into(), missing: true, ..LogChunk::default() };
    let said = |chunks: Vec<LogChunk>, code, stderr: &str| {
        let server = log_server(1, vec![(chunks, End::Done)]);
        World::new().ask(&server.url(), &["logs", "web"]).expect(code, "a\n", stderr);
    };
    said(vec![left_out, chunk(0, "a\n")], 0, "minijob: one is left out\n");
    said(vec![down, chunk(0, "a\n")], 1, "minijob: node n1 is down\n");
}

#[test]
fn followed_logs_go_on_after_the_connection_was_lost_and_show_nothing_twice() {
    let first = (vec![chunk(0, "a\n")], End::Break);
    let second = (vec![chunk(0, "b\n")], End::Done);
    let server = log_server(1, vec![first, second]);
    let shown = World::new().ask(&server.url(), &["logs", "-f", "web"]);
    assert_eq!((shown.stdout.as_str(), shown.code), ("a\nb\n", Some(0)), "{shown:?}");
    assert_eq!(
        shown.stderr,
        "minijob: the server ends; connecting again\n\
         minijob: connected again; `minijob logs --tail N` shows what was printed meanwhile\n"
    );
    let tails: Vec<Option<u32>> = server.script().log_requests.iter().map(|request| request.tail).collect();
    assert_eq!(tails, [None, Some(0)]);
}

#[test]
fn logs_that_break_without_follow_are_an_error_and_not_a_silent_end() {
    let server = log_server(1, vec![(vec![chunk(0, "a\n")], End::Break)]);
    World::new().ask(&server.url(), &["logs", "web"]).expect(4, "a\n", "error: the server ends\n");
}

fn events(items: Vec<proto::model::Event>) -> serde_json::Value {
    let revision = items.last().map_or(Revision(0), |event| event.revision);
    serde_json::to_value(EventList { items, next: None, revision, warnings: Vec::new() }).expect("serialises")
}

#[test]
fn events_are_lines_with_time_severity_subject_and_message() {
    let list =
        events(vec![event(5, 0, Severity::Info, "started"), event(6, 0, Severity::Critical, "exit code 7")]);
    let server = || {
        let events = VecDeque::from([(vec![list.clone()], End::Done)]);
        Server::start(Script { events, ..Script::default() })
    };
    let world = World::new();
    let asked = server();
    world.ask(&asked.url(), &["events", "web", "--limit", "2"]).expect(
        0,
        "2023-11-14T22:13:20.125Z  info      web.web.0                 started\n\
         2023-11-14T22:13:20.125Z  critical  web.web.0                 exit code 7\n",
        "",
    );
    let request = asked.script().event_requests[0].clone();
    assert_eq!((request.subject.as_str(), request.limit, request.follow), ("web", 2, false));
    let json = world.ask(&server().url(), &["events", "--json"]).json();
    assert_eq!(json["items"].as_array().map(Vec::len), Some(2));
    assert_eq!(json["items"][1]["message"], "exit code 7");
    let colour = world.ask(&server().url(), &["events", "--color", "always"]).stdout;
    assert!(colour.contains("\x1b[31m2023"), "{colour:?}");
}

#[test]
fn events_are_wrapped_on_a_terminal_and_say_a_tasks_name_once() {
    let message = "task web of web.web.0 ended: exit code 7; its tries are used up and it is placed anew";
    let mut of_task = event(5, 0, Severity::Warning, message);
    of_task.subject.task = Some("web".into());
    let mut of_other = event(6, 0, Severity::Info, "started");
    of_other.subject.task = Some("shipper".into());
    let list = events(vec![of_task, of_other]);
    let events = VecDeque::from([(vec![list], End::Done)]);
    let server = Server::start(Script { events, ..Script::default() });
    assert_eq!(
        World::new().show(&server.url(), 80, &["events"]),
        "2023-11-14T22:13:20.125Z  warning   web.web.0\n\
         \x20   task web of web.web.0 ended: exit code 7; its tries are used up and it is\n\
         \x20   placed anew\n\
         2023-11-14T22:13:20.125Z  info      web.web.0/shipper         started\n"
    );
}

#[test]
fn events_about_nodes_show_the_name_and_an_older_server_gives_the_id() {
    let about = |revision: u64, name: Option<&str>| {
        let mut event = event(revision, 0, Severity::Info, "registered");
        event.subject = proto::model::Subject::node(proto::ids::NodeId(1));
        event.subject.node_name = name.map(str::to_owned);
        event
    };
    let list = events(vec![about(5, Some("n1")), about(6, None)]);
    let server =
        Server::start(Script { events: VecDeque::from([(vec![list], End::Done)]), ..Script::default() });
    let shown = World::new().ask(&server.url(), &["events"]).stdout;
    let subjects: Vec<&str> = shown.lines().map(|line| line[36..60].trim_end()).collect();
    assert_eq!(subjects, ["node n1", &format!("node {:.8}", proto::ids::NodeId(1).to_string())], "{shown}");
}

#[test]
fn no_events_at_all_cannot_be_asked_for() {
    let shown = World::new().run(&["events", "--limit", "0"]);
    assert_eq!(shown.code, Some(2), "{shown:?}");
    assert!(shown.stderr.contains("tip: write a whole number of at least 1"), "{shown:?}");
}

#[test]
fn followed_events_come_once_each_also_when_the_connection_is_lost_within_a_change() {
    let first = events(vec![event(5, 0, Severity::Info, "one"), event(6, 0, Severity::Info, "two")]);
    let again = events(vec![event(6, 0, Severity::Info, "two"), event(6, 1, Severity::Info, "three")]);
    let events = VecDeque::from([(vec![first], End::Break), (vec![again], End::Done)]);
    let server = Server::start(Script { events, ..Script::default() });
    let shown = World::new().ask(&server.url(), &["events", "-f"]);
    let messages: Vec<&str> =
        shown.stdout.lines().filter_map(|line| Some(line.split("  ").last()?.trim())).collect();
    assert_eq!(messages, ["one", "two", "three"], "{shown:?}");
    assert_eq!(server.script().event_requests[1].after, 5, "the change of the last event is asked for again");
}

#[test]
fn of_what_has_printed_nothing_it_is_said_why() {
    let silent = |allocs: Vec<AllocView>, args: &[&str]| {
        let statuses =
            BTreeMap::from([("web".to_owned(), VecDeque::from([job("web", Health::Failing, 10, allocs)]))]);
        let logs = VecDeque::from([(Vec::new(), End::Done)]);
        let server = Server::start(Script { statuses, logs, ..Script::default() });
        World::new().ask(&server.url(), &[&["logs", "web"], args].concat())
    };
    let message = "/no/such: no such file".to_owned();
    let reason = EndReason::StartFailed { step: "exec".into(), errno: 2, message };
    let mut never = failed("web", 0);
    never.tasks[0].last_end.as_mut().expect("it ended").reason = reason;
    silent(vec![never.clone()], &[]).expect(
        0,
        "",
        "minijob: web has never run: could not start: /no/such: no such file\n",
    );
    silent(vec![healthy("web", 0)], &[]).expect(0, "", "minijob: web has printed nothing\n");
    let part = "minijob: web has printed nothing of what was asked for\n";
    silent(vec![healthy("web", 0)], &["-n", "3"]).expect(0, "", part);
    silent(vec![never], &["--json"]).expect(0, "", "");
}

#[test]
fn a_service_that_exits_with_0_shows_its_last_output() {
    let mut status = job("web", Health::Failing, 10, vec![failed("web", 0)]);
    let end = status.allocs[0].tasks[0].last_end.as_mut().expect("it ended");
    end.reason = EndReason::Exit(0);
    let server = Server::with_job(vec![status]);
    let shown = World::new().ask(&server.url(), &["status", "web"]).stdout;
    assert!(shown.contains("last output of web.web.0 (exit code 0, "), "{shown}");
    assert!(shown.ends_with("  | starting\n  | no database\n"), "{shown}");
}
