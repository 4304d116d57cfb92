//! `run` and `stop`: what is sent, what is told, how it ends.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use proto::error::{Error, Kind};
use proto::ids::{AllocId, JobVersion, Revision};
use proto::model::{AllocState, JobType};
use proto::view::{AllocView, Change, GroupPlacement, Health, JobStatus, Placement, Plan, Waiting};
use proto::wire::v1;

use crate::server::{Script, Server, Trouble};
use crate::views::{alloc, failed, healthy, job};
use crate::world::{World, outcome};

const WEB: &str = "name: web\ncommand: /bin/web\n";

fn world() -> World {
    let world = World::new();
    world.file("web.yml", WEB);
    world
}

fn batch(health: Health, revision: u64, allocs: Vec<AllocView>) -> JobStatus {
    let mut status = job("web", health, revision, allocs);
    status.summary.kind = JobType::Batch;
    status
}

fn placed(wanted: u32, nodes: &[(&str, u32)], waiting: Option<Waiting>) -> v1::PutJobReply {
    let nodes = nodes.iter().map(|(node, count)| ((*node).to_owned(), *count)).collect();
    let group = GroupPlacement { wanted, placed: nodes, waiting, ..GroupPlacement::default() };
    let placement = Placement { groups: BTreeMap::from([("web".to_owned(), group)]) };
    let placement_json = serde_json::to_vec(&placement).expect("serialises").into();
    v1::PutJobReply { changed: true, version: 1, revision: 10, placement_json }
}

fn statuses(documents: Vec<JobStatus>) -> BTreeMap<String, VecDeque<JobStatus>> {
    BTreeMap::from([("web".to_owned(), documents.into())])
}

#[test]
fn run_tells_where_the_job_was_placed_and_follows_until_it_is_healthy() {
    let server = Server::start(Script {
        reply: Some(placed(1, &[("n1", 1)], None)),
        statuses: statuses(vec![
            job("web", Health::Pending, 10, vec![alloc("web", 0, AllocState::Pending)]),
            job("web", Health::Pending, 11, vec![alloc("web", 0, AllocState::Running)]),
            job("web", Health::Healthy, 12, vec![healthy("web", 0)]),
        ]),
        ..Script::default()
    });
    world().ask(&server.url(), &["run", "web.yml", "-m", "first try"]).expect(
        0,
        "web: submitted, version 1\n\
         web: 1 placed on n1\n\
         web.web.0: running on n1\n\
         web.web.0: healthy on n1\n\
         web: healthy\n\
         next:\n\
         \x20 minijob status web\n\
         \x20 minijob logs -f web\n",
        "",
    );
    let put = server.script().puts[0].clone();
    assert_eq!((put.message.as_str(), put.expected_version, put.request_id.len()), ("first try", None, 16));
    assert_eq!(put.job.expect("a job").name, "web");
}

#[test]
fn a_batch_job_that_is_complete_is_said_not_to_be_run_again() {
    let server = || {
        let done = batch(Health::Complete, 12, vec![alloc("web", 0, AllocState::Complete)]);
        let unchanged = v1::PutJobReply { changed: false, ..placed(1, &[], None) };
        Server::start(Script { reply: Some(unchanged), statuses: statuses(vec![done]), ..Script::default() })
    };
    let world = World::new();
    world.file("web.yml", &format!("{WEB}type: batch\n"));
    let said = "web: nothing changed, version 1; it is complete and is not run again: \
                `minijob restart web` would\n";
    world.ask(&server().url(), &["run", "web.yml", "--detach"]).expect(0, said, "");
    let followed = world.ask(&server().url(), &["run", "web.yml", "--wait"]);
    assert!(followed.stdout.starts_with(&format!("{said}web: complete\n")), "{followed:?}");
    let json = world.ask(&server().url(), &["run", "--json", "web.yml"]).json();
    assert_eq!((&json["changed"], &json["outcome"]), (&false.into(), &"complete".into()));
}

#[test]
fn run_of_a_job_that_fails_is_exit_1_with_the_reason_and_the_last_lines() {
    let documents = || vec![job("web", Health::Failing, 11, vec![failed("web", 0)])];
    let server = Server::with_job(documents());
    let world = world();
    world.ask(&server.url(), &["run", "web.yml"]).expect(
        1,
        "web: submitted, version 1\n",
        "error: web.web.0 failed on n1: exit code 7 (try 4 of 4)\n\
         \x20 | starting\n\
         \x20 | no database\n\
         hint: `minijob logs web.web.0` shows all of its output\n",
    );
    let json = world.ask(&Server::with_job(documents()).url(), &["run", "--json", "web.yml"]);
    assert_eq!(json.code, Some(1));
    let document = json.json();
    assert_eq!((&document["outcome"], &document["changed"]), (&"failed".into(), &true.into()));
    assert_eq!(document["tail"], "starting\nno database\n");
    assert_eq!(json.error_json()["kind"], "refused");
}

#[test]
fn run_as_json_answers_one_document_with_what_was_written() {
    let server = Server::start(Script {
        reply: Some(placed(1, &[("n1", 1)], None)),
        statuses: statuses(vec![job("web", Health::Healthy, 12, vec![healthy("web", 0)])]),
        ..Script::default()
    });
    let json = world().ask(&server.url(), &["run", "--json", "web.yml"]);
    assert_eq!((json.code, json.stderr.as_str()), (Some(0), ""));
    let document = json.json();
    assert_eq!((&document["name"], &document["version"]), (&"web".into(), &1.into()));
    assert_eq!(document["placement"]["groups"]["web"]["placed"]["n1"], 1);
    assert_eq!(document["outcome"], "healthy");
}

#[test]
fn run_says_why_a_job_waits_and_gives_up_at_the_timeout() {
    let waiting = Waiting {
        count: 1,
        why: "1 of 1 nodes lack memory (64GiB asked, at most 8GiB free)".into(),
        advice: String::new(),
    };
    let mut status = job("web", Health::Waiting, 11, vec![]);
    status.groups.get_mut("web").expect("there").waiting = Some(waiting.clone());
    status.summary.why = waiting.why.clone();
    let reply = Some(placed(1, &[], Some(waiting)));
    let server = Server::start(Script { reply, statuses: statuses(vec![status]), ..Script::default() });
    let began = Instant::now();
    let shown = world().ask(&server.url(), &["run", "web.yml", "--timeout", "500ms"]);
    assert!(began.elapsed() >= Duration::from_millis(500), "it waits");
    let line = "web: 1 of 1 waits: 1 of 1 nodes lack memory (64GiB asked, at most 8GiB free)\n";
    assert_eq!(shown.stdout, format!("web: submitted, version 1\n{line}"), "it is said once");
    assert!(
        shown.stderr.starts_with("error: web: not healthy in time: 1 of 1 nodes lack memory"),
        "{shown:?}"
    );
    assert_eq!(shown.code, Some(1));
}

#[test]
fn a_server_that_has_not_heard_of_the_job_yet_is_asked_again() {
    let server = Server::start(Script {
        lagging: 2,
        statuses: statuses(vec![
            job("web", Health::Healthy, 9, vec![healthy("web", 0)]),
            job("web", Health::Healthy, 10, vec![healthy("web", 0)]),
        ]),
        ..Script::default()
    });
    let shown = world().ask(&server.url(), &["run", "web.yml"]);
    assert_eq!((shown.code, shown.stderr.as_str()), (Some(0), ""), "{shown:?}");
    assert_eq!(shown.stdout.matches("healthy on n1").count(), 1, "{shown:?}");
}

#[test]
fn of_several_jobs_each_is_followed_and_one_failure_is_the_exit_code() {
    let statuses = [
        job("api", Health::Failing, 11, vec![failed("api", 0)]),
        job("web", Health::Healthy, 11, vec![healthy("web", 0)]),
    ];
    let statuses = statuses.map(|status| (status.summary.name.clone(), VecDeque::from([status]))).into();
    let server = Server::start(Script { statuses, ..Script::default() });
    let world = world();
    world.file("api.yml", &WEB.replace("web", "api"));
    let shown = world.ask(&server.url(), &["run", "."]);
    assert_eq!(shown.code, Some(1), "{shown:?}");
    assert!(shown.stdout.starts_with("api: submitted, version 1\nweb: submitted, version 1\n"), "{shown:?}");
    assert!(shown.stdout.ends_with("web: healthy\n"), "{shown:?}");
    assert!(shown.stderr.starts_with("error: api.api.0 failed on n1: exit code 7"), "{shown:?}");
    let json = world.ask(&server.url(), &["run", "--json", "."]).stdout;
    let outcomes: Vec<bool> = json.lines().map(|line| line.contains(r#""outcome":"healthy""#)).collect();
    assert_eq!(outcomes, [false, true], "one document per job, in the order of submission: {json}");
}

#[test]
fn run_detached_does_not_follow() {
    let server = Server::with_job(vec![job("web", Health::Pending, 10, vec![])]);
    let world = world();
    world.ask(&server.url(), &["run", "--detach", "web.yml"]).expect(0, "web: submitted, version 1\n", "");
    let json = world.ask(&server.url(), &["run", "--detach", "--json", "web.yml"]).json();
    assert_eq!(json["outcome"], "submitted");
}

#[test]
fn the_same_file_again_says_that_nothing_changed() {
    let reply =
        v1::PutJobReply { changed: false, version: 1, revision: 10, placement_json: Vec::new().into() };
    let server = Server::start(Script {
        reply: Some(reply),
        statuses: statuses(vec![job("web", Health::Healthy, 10, vec![healthy("web", 0)])]),
        ..Script::default()
    });
    let shown = world().ask(&server.url(), &["run", "web.yml"]);
    assert!(shown.stdout.starts_with("web: nothing changed, version 1\n"), "{shown:?}");
    assert_eq!(shown.code, Some(0));
}

#[test]
fn a_batch_job_is_followed_to_its_end_and_gives_its_exit_code() {
    let complete = AllocView { id: AllocId(1), ..alloc("web", 0, AllocState::Complete) };
    let server = Server::with_job(vec![
        batch(Health::Healthy, 11, vec![alloc("web", 0, AllocState::Running)]),
        batch(Health::Complete, 12, vec![complete]),
    ]);
    let world = world();
    world.file("web.yml", "name: web\ntype: batch\ncommand: /bin/web\n");
    let shown = world.ask(&server.url(), &["run", "--wait", "web.yml"]);
    assert!(
        shown.stdout.contains("web.web.0: running on n1\nweb.web.0: complete\nweb: complete\n"),
        "{shown:?}"
    );
    assert_eq!(shown.code, Some(0));

    let fails = || Server::with_job(vec![batch(Health::Failing, 11, vec![failed("web", 0)])]);
    assert_eq!(world.ask(&fails().url(), &["run", "--wait", "web.yml"]).code, Some(1));
    let passed = world.ask(&fails().url(), &["run", "--wait", "--exit-code", "web.yml"]);
    assert_eq!(passed.code, Some(7), "{passed:?}");
}

#[test]
fn a_batch_job_whose_failure_is_followed_by_a_replacement_is_not_over() {
    let again =
        AllocView { id: AllocId(9), replaces: Some(AllocId(1)), ..alloc("web", 0, AllocState::Running) };
    let done = AllocView { state: AllocState::Complete, ..again.clone() };
    let server = Server::with_job(vec![
        batch(Health::Failing, 11, vec![failed("web", 0)]),
        batch(Health::Pending, 12, vec![again, failed("web", 0)]),
        batch(Health::Complete, 13, vec![done, failed("web", 0)]),
    ]);
    let world = World::new();
    world.file("web.yml", &format!("{WEB}type: batch\n"));
    let shown = world.ask(&server.url(), &["run", "--wait", "web.yml"]);
    assert!(
        shown.stdout.contains("web.web.0: failed on n1: exit code 7 (try 4 of 4)\n  | starting\n"),
        "{shown:?}"
    );
    assert!(
        shown.stdout.ends_with("web: complete\nnext:\n  minijob status web\n  minijob logs web\n"),
        "{shown:?}"
    );
    assert_eq!(shown.code, Some(0), "{shown:?}");
}

#[test]
fn run_goes_on_following_through_a_restart_of_the_server() {
    // The first server dies while the job is followed; the second one takes over.
    let statuses_of =
        |health| statuses(vec![job("web", health, 11, vec![alloc("web", 0, AllocState::Running)])]);
    let first = Server::start(Script { statuses: statuses_of(Health::Pending), ..Script::default() });
    let second = Server::start(Script { statuses: statuses_of(Health::Healthy), ..Script::default() });
    let world = world();
    let mut command = world.command(&["run", "web.yml"]);
    command.env("MINIJOB_ADDR", format!("{},{}", first.url(), second.url()));
    command.env("MINIJOB_TOKEN", crate::server::TOKEN);
    let child = command.spawn().expect("it starts");
    let deadline = Instant::now() + Duration::from_secs(10);
    while first.script().puts.is_empty() {
        assert!(Instant::now() < deadline, "the job never reached the first server");
        std::thread::yield_now();
    }
    drop(first);
    let shown = outcome(child);
    assert_eq!(shown.code, Some(0), "{shown:?}");
    assert!(shown.stdout.contains("web: healthy\n"), "{shown:?}");
}

#[test]
fn ctrl_c_leaves_the_job_alone_and_says_so() {
    let server =
        Server::with_job(vec![job("web", Health::Pending, 10, vec![alloc("web", 0, AllocState::Running)])]);
    let world = world();
    let mut command = world.command(&["run", "web.yml"]);
    command.env("MINIJOB_ADDR", server.url()).env("MINIJOB_TOKEN", crate::server::TOKEN);
    let mut child = command.spawn().expect("it starts");
    let mut stdout = std::io::BufReader::new(child.stdout.take().expect("piped"));
    let mut seen = String::new();
    while !seen.contains("running on n1") {
        let read = std::io::BufRead::read_line(&mut stdout, &mut seen).expect("text");
        assert!(read > 0, "it ended early: {seen}");
    }
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).expect("sent");
    std::io::Read::read_to_string(&mut stdout, &mut seen).expect("text");
    assert!(
        seen.ends_with("web: not followed any more; it goes on. `minijob status web` shows how it is\n"),
        "{seen}"
    );
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    assert!(server.script().stops.is_empty());
}

#[test]
fn a_write_is_sent_again_with_the_same_id_when_the_server_dies_before_it_answers() {
    let dying = Server::start(Script { trouble: VecDeque::from([Trouble::Die]), ..Script::default() });
    let other = Server::with_job(vec![job("web", Health::Healthy, 10, vec![healthy("web", 0)])]);
    let addresses = format!("{},{}", dying.url(), other.url());
    let shown = world().ask(&addresses, &["run", "web.yml"]);
    assert_eq!(shown.code, Some(0), "{shown:?}");
    let (first, second) = (dying.script().puts[0].clone(), other.script().puts[0].clone());
    assert_eq!(first, second, "the same request, id and all");
    assert_ne!(first.request_id, vec![0; 16]);
}

#[test]
fn a_write_waits_for_a_leader() {
    let nobody = || Trouble::Refuse(Error::new(Kind::Unavailable, "nobody leads"));
    let server = Server::start(Script {
        trouble: VecDeque::from([nobody(), nobody()]),
        statuses: statuses(vec![job("web", Health::Healthy, 10, vec![healthy("web", 0)])]),
        ..Script::default()
    });
    let shown = world().ask(&server.url(), &["run", "web.yml"]);
    assert_eq!(shown.code, Some(0), "{shown:?}");
    let ids: Vec<_> = server.script().puts.iter().map(|put| put.request_id.clone()).collect();
    assert_eq!(ids.len(), 3);
    assert!(ids.iter().all(|id| *id == ids[0]), "one write, however often it is sent");
}

#[test]
fn a_refused_write_is_not_sent_again_and_says_what_was_submitted_before() {
    let stale = Error::new(Kind::Conflict, "the job is at version 3, not 2").hint("look at it first");
    let server = Server::start(Script {
        trouble: VecDeque::from([Trouble::Refuse(stale.clone())]),
        ..Script::default()
    });
    let world = world();
    world.ask(&server.url(), &["run", "--check-version", "2", "web.yml"]).expect(
        1,
        "",
        "error: the job is at version 3, not 2\nhint: look at it first\n",
    );
    assert_eq!(server.script().puts.len(), 1);
    assert_eq!(server.script().puts[0].expected_version, Some(2));

    world.file("api.yml", &WEB.replace("web", "api"));
    server.script().trouble = VecDeque::from([]);
    server.script().trouble.push_back(Trouble::Refuse(stale));
    let both = world.ask(&server.url(), &["run", "api.yml", "web.yml"]);
    assert!(both.stderr.contains("error: api: the job is at version 3"), "{both:?}");
    assert!(both.stderr.contains("none of 2 jobs was submitted"), "{both:?}");
}

#[test]
fn the_end_of_a_service_is_not_waited_for() {
    let server = Server::start(Script::default());
    let said = "error: `web` is a service, which never ends\n\
                hint: --wait is for batch jobs (`--batch`, `type: batch`); \
                without it a service is followed until it is healthy\n";
    world().ask(&server.url(), &["run", "--wait", "web.yml"]).expect(2, "", said);
    assert!(server.script().puts.is_empty(), "nothing was submitted");
}

/// What `plan` says of a job `sleep` that is there, and would change as said.
fn plan_of_sleep(changes: Vec<Change>) -> serde_json::Value {
    let plan = Plan {
        namespace: "default".into(),
        name: "sleep".into(),
        present: Some(JobVersion(3)),
        version: JobVersion(if changes.is_empty() { 3 } else { 4 }),
        changed: !changes.is_empty(),
        starts: false,
        changes,
        changes_left_out: 0,
        groups: BTreeMap::new(),
        preempted: BTreeMap::new(),
        revision: Revision(10),
    };
    serde_json::to_value(plan).expect("serialises")
}

fn exists() -> VecDeque<Trouble> {
    VecDeque::from([Trouble::Refuse(Error::new(Kind::Conflict, "job `sleep` exists already, at version 3"))])
}

#[test]
fn a_command_does_not_replace_a_job_whose_name_nobody_chose() {
    let change = Change {
        key: "groups.sleep.tasks.sleep.args".into(),
        before: Some("- 9".into()),
        after: Some("- 200".into()),
    };
    let documents = BTreeMap::from([("plan_job", plan_of_sleep(vec![change]))]);
    let server = Server::start(Script { trouble: exists(), documents, ..Script::default() });
    World::new().ask(&server.url(), &["run", "--detach", "--", "sleep", "200"]).expect(
        1,
        "",
        "error: there is a job `sleep` already\n\
         hint: give this one a name of its own (`--name`), or say `--name sleep` to change that one\n",
    );
    let expected: Vec<_> = server.script().puts.iter().map(|put| put.expected_version).collect();
    assert_eq!(expected, [Some(0)], "it is never sent as a change");

    let named =
        World::new().ask(&server.url(), &["run", "--detach", "--name", "sleep", "--", "sleep", "200"]);
    assert_eq!(named.code, Some(0), "{named:?}");
    assert_eq!(server.script().puts[1].expected_version, None, "whoever names it means it");
}

#[test]
fn the_same_command_again_is_the_job_that_is_there() {
    let documents = BTreeMap::from([("plan_job", plan_of_sleep(Vec::new()))]);
    let unchanged = v1::PutJobReply { changed: false, version: 3, ..placed(1, &[], None) };
    let script = Script { trouble: exists(), documents, reply: Some(unchanged), ..Script::default() };
    let server = Server::start(script);
    let again = World::new().ask(&server.url(), &["run", "--detach", "--", "sleep", "200"]);
    assert!(again.stdout.starts_with("sleep: nothing changed, version 3\n"), "{again:?}");
    let puts = server.script().puts.clone();
    assert_eq!(puts[1].expected_version, Some(3), "no other than the one that was compared");
    assert_ne!(puts[0].request_id, puts[1].request_id);
}

#[test]
fn an_invalid_file_is_exit_2_with_every_error_and_nothing_is_submitted() {
    let server = Server::start(Script::default());
    let world = world();
    world.file("bad.yml", "name: web\ncomand: /bin/web\ncount: many\n");
    let shown = world.ask(&server.url(), &["run", "web.yml", "bad.yml", "missing.yml"]);
    assert_eq!((shown.code, shown.stdout.as_str()), (Some(2), ""));
    for part in ["bad.yml:2:1", "bad.yml:3:8", "missing.yml: cannot read it", "hint: nothing was submitted"] {
        assert!(shown.stderr.contains(part), "{part} in {}", shown.stderr);
    }
    assert!(server.script().puts.is_empty());
    let json = world.ask(&server.url(), &["run", "--json", "bad.yml"]);
    assert_eq!(json.error_json()["kind"], "invalid");
    assert!(json.error_json()["details"].as_array().is_some_and(|details| details.len() >= 2), "{json:?}");
}

#[test]
fn a_job_file_is_read_from_standard_input() {
    let server = Server::with_job(vec![job("web", Health::Healthy, 10, vec![healthy("web", 0)])]);
    let world = world();
    let mut command = world.command(&["run", "--detach", "-"]);
    command.env("MINIJOB_ADDR", server.url()).env("MINIJOB_TOKEN", crate::server::TOKEN);
    command.stdin(std::fs::File::open(world.path("web.yml")).expect("there"));
    assert_eq!(outcome(command.spawn().expect("it starts")).code, Some(0));
    assert_eq!(server.script().puts.len(), 1);
}

#[test]
fn stop_says_what_happens_and_answers_what_was_written() {
    let server = Server::start(Script::default());
    let world = World::new();
    world.ask(&server.url(), &["stop", "dmz/web"]).expect(
        0,
        "dmz/web: stops now; `minijob status dmz/web` shows what still runs\n",
        "",
    );
    let json = world.ask(&server.url(), &["stop", "web", "--purge", "--json"]).json();
    assert_eq!(
        (&json["changed"], &json["version"], &json["revision"]),
        (&true.into(), &2.into(), &11.into())
    );
    let stops = server.script().stops.clone();
    assert_eq!((stops[0].namespace.as_str(), stops[0].name.as_str(), stops[0].purge), ("dmz", "web", false));
    assert!(stops[1].purge && stops[1].request_id != stops[0].request_id);
}

#[test]
fn stop_of_a_job_that_does_not_exist_is_exit_3_unless_that_is_well() {
    let missing = || Trouble::Refuse(Error::new(Kind::NotFound, "there is no job `web`"));
    let trouble = VecDeque::from([missing(), missing(), missing()]);
    let server = Server::start(Script { trouble, ..Script::default() });
    let world = World::new();
    world.ask(&server.url(), &["stop", "web"]).expect(3, "", "error: there is no job `web`\n");
    world.ask(&server.url(), &["stop", "web", "--if-exists"]).expect(0, "web: there is no such job\n", "");
    let json = world.ask(&server.url(), &["stop", "web", "--if-exists", "--json"]).json();
    assert_eq!(json["changed"], false);
}

#[test]
fn a_job_outside_of_the_default_namespace_is_always_shown_with_it() {
    let server = Server::start(Script { reply: Some(placed(1, &[("n1", 1)], None)), ..Script::default() });
    let world = world();
    let run = world.ask(&server.url(), &["run", "--namespace", "foo", "--detach", "web.yml"]);
    run.expect(0, "foo/web: submitted, version 1\nfoo/web: 1 placed on n1\n", "");
    let stopped = "foo/web: stops now; `minijob status foo/web` shows what still runs\n";
    world.ask(&server.url(), &["stop", "--namespace", "foo", "web"]).expect(0, stopped, "");
    let scaled = world.ask(&server.url(), &["scale", "--namespace", "foo", "web", "3"]);
    assert!(scaled.stdout.starts_with("foo/web: wants 3 now"), "{scaled:?}");
    let started = world.ask(&server.url(), &["start", "foo/web"]);
    assert!(started.stdout.starts_with("foo/web: starts again"), "{started:?}");
    let help = world.run(&["status", "--help"]).stdout;
    assert!(
        help.split_whitespace().collect::<Vec<_>>().join(" ").contains("all jobs of all namespaces"),
        "{help}"
    );
}

#[test]
fn several_jobs_are_stopped_one_after_the_other() {
    let server = Server::start(Script::default());
    let shown = World::new().ask(&server.url(), &["stop", "web", "dmz/db"]);
    let lines: Vec<&str> = shown.stdout.lines().map(|line| line.split(';').next().unwrap_or(line)).collect();
    assert_eq!(lines, ["web: stops now", "dmz/db: stops now"], "{shown:?}");
    let names: Vec<String> = server.script().stops.iter().map(|stop| stop.name.clone()).collect();
    assert_eq!(names, ["web", "db"]);
}
