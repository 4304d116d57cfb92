use serde_json::Value;
use tests::cluster::Cluster;
use tests::notes::Notes;
use tests::process;
use tests::wait::{SOON, until};

/// Promise 8: prestart finishes before main starts, a sidecar lives alongside it, poststart comes after it, and poststop sweeps up when all
/// else has ended, after a failure as well.
#[test]
fn every_hook_has_its_turn() {
    let cluster = Cluster::start(1);
    for (name, stays, end) in [("fails", "exit 7", "failed"), ("stays", "exec sleep 100000", "stopped")] {
        let dir = cluster.dir().join(name);
        std::fs::create_dir(&dir).expect("writable");
        let notes = Notes::new(&dir);
        cluster.submit(&hooked(name, &notes, stays));
        if end == "stopped" {
            cluster.wait_job(name, "it is healthy", |status| status["healthy"] == 1);
            until(SOON, "the last before the stop", || {
                if lines(&notes).contains(&"post-start".into()) {
                    Ok(())
                } else {
                    Err(format!("{:?}", lines(&notes)))
                }
            });
            assert_eq!(cluster.run(&["stop", name]).code, 0);
        }
        let status = cluster.wait_job(name, "it has ended", |status| status["allocs"][0]["state"] == end);
        let order = lines(&notes);
        let place = |word: &str| {
            order.iter().position(|line| line == word).unwrap_or_else(|| panic!("no {word}: {order:?}"))
        };
        assert!(
            place("prestart begins") < place("prestart ends") && place("prestart ends") < place("main"),
            "{name}: {order:?}"
        );
        assert_eq!(order.last().map(String::as_str), Some("poststop"), "{name}: {status}");
        assert_eq!(order.iter().filter(|line| *line == "poststop").count(), 1, "{name}: {order:?}");
        if end == "failed" {
            let end = &task(&status, "main")["last_end"];
            assert_eq!(end["reason"]["exit"], 7, "what poststop comes to changes nothing: {status}");
        } else {
            let ended =
                |name: &str| task(&status, name)["last_end"]["at"].as_str().unwrap_or_default().to_owned();
            assert!(ended("before") <= ended("after") && ended("after") <= ended("main"), "{status}");
            assert!(ended("main") <= ended("beside") && ended("beside") <= ended("sweep"), "{status}");
        }
        assert_eq!(process::mentioning(&dir), [0u32; 0], "{name}: nothing is left");
    }
}

/// Promise 8: a critical task that has ended for good takes its siblings with it, and one that is not does not.
#[test]
fn a_critical_task_takes_its_siblings_with_it() {
    let cluster = Cluster::start(1);
    let notes = Notes::new(cluster.dir());
    let text = format!(
        "name: pair\ngroups:\n  pair:\n    restart: {{attempts: 1, delay: 100ms, on_exhausted: fail}}\n    tasks:\n      heart: {{command: /bin/sh, args: [-c, 'while ! test -e {}; do sleep 0.05; done; exit 3'], critical: true}}\n      other: {{command: /bin/sleep, args: ['100000']}}\n",
        notes.path("gate")
    );
    cluster.submit(&text);
    let status = cluster.wait_job("pair", "both run", |status| status["healthy"] == 1);
    let before = tests::cluster::pids(&status);
    assert_eq!(before.len(), 2, "{status}");
    notes.write("gate");
    let status = cluster.wait_job("pair", "it has failed", |status| status["allocs"][0]["state"] == "failed");
    assert!(before.iter().all(|pid| !process::is_alive(*pid)));
    assert_eq!(
        (&task(&status, "heart")["last_end"]["reason"]["exit"], &task(&status, "heart")["attempt"]),
        (&3.into(), &2.into()),
        "{status}"
    );
    assert_eq!(task(&status, "other")["attempt"], 1, "{status}");
}

fn task<'a>(status: &'a Value, name: &str) -> &'a Value {
    let tasks = status["allocs"][0]["tasks"].as_array().expect("tasks");
    tasks.iter().find(|task| task["name"] == name).expect("it is there")
}

fn hooked(name: &str, notes: &Notes, main: &str) -> String {
    let note = |words: &str| format!("echo {words} >> {}", notes.path("order"));
    let script = |script: String| {
        format!("command: /bin/sh, args: [-c, {}]", serde_json::to_string(&script).expect("a text"))
    };
    [
        format!("name: {name}\nrestart: {{attempts: 0, on_exhausted: fail}}\ntasks:\n"),
        format!(
            "  main: {{{}}}\n",
            script(format!(
                "while ! grep -q sidecar {}; do sleep 0.05; done; {}; {main}",
                notes.path("order"),
                note("main")
            ))
        ),
        format!(
            "  before: {{{}, lifecycle: {{hook: prestart}}}}\n",
            script(format!("{}; sleep 0.5; {}", note("prestart begins"), note("prestart ends")))
        ),
        format!(
            "  beside: {{{}, lifecycle: {{hook: prestart, sidecar: true}}}}\n",
            script(format!("{}; exec sleep 100000", note("sidecar")))
        ),
        format!("  after: {{{}, lifecycle: {{hook: poststart}}}}\n", script(note("post-start"))),
        format!("  sweep: {{{}, lifecycle: {{hook: poststop}}}}\n", script(note("poststop"))),
    ]
    .concat()
}

fn lines(notes: &Notes) -> Vec<String> {
    let text = std::fs::read_to_string(notes.path("order")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}
