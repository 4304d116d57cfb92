use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Child;

use nix::sys::signal::Signal;
use tests::cluster::{Cluster, live};
use tests::command::{Answer, bare};
use tests::process;
use tests::wait::{SOON, until};

/// What monexec would be started with: a service that dies, one that listens to SIGINT, and its environment file.
const SHOP: &str = r#"services:
  - label: crasher
    command: /bin/sh
    args: [-c, "date +%s%N; exit 3"]
    restart_delay: 700ms
  - label: polite one
    command: ./polite
    args: ["${HOME}"]
    environment: {MAIL: of the file, OWN: "1"}
    envFiles: [dev.env, gone.env]
    stop_timeout: 15s
consul:
  permanent: [crasher]
"#;

const DEV_ENV: &str = "# overrides\nMAIL=of dev.env\n";

const POLITE: &str = "#!/bin/sh\ntrap 'echo got SIGINT; exit 0' INT\ntrap 'echo got SIGTERM; exit 0' TERM\n\
                      echo \"MAIL=$MAIL OWN=$OWN OUTSIDE=$OUTSIDE $1 in $(pwd)\"\nwhile :; do sleep 0.05; done\n";

/// Writes the file and what lies beside it into a folder that everybody may look into.
fn shop(dir: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let write = |name: &str, text: &str, mode| {
        std::fs::write(dir.join(name), text).expect("writable");
        std::fs::set_permissions(dir.join(name), PermissionsExt::from_mode(mode)).expect("ours");
    };
    write("shop.yaml", SHOP, 0o644);
    write("dev.env", DEV_ENV, 0o644);
    write("polite", POLITE, 0o755);
}

/// Returns the times, in milliseconds, that the crasher prints, of lines such as `shop.crasher.0 | 1700000000000000000`.
fn stamps(output: &str) -> Vec<u64> {
    let of_crasher = output.lines().filter(|line| line.contains("crasher"));
    let nanos = of_crasher.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
    nanos.map(|nanos| nanos / 1_000_000).collect()
}

/// Delays of which none is longer than a busy machine explains: the fourth would be eight times the first if they grew.
fn assert_constant(stamps: &[u64], delay: u64) {
    assert!(stamps.len() >= 5, "{stamps:?}");
    for pair in stamps.windows(2) {
        let between = pair[1] - pair[0];
        assert!((delay..4 * delay + 500).contains(&between), "{between} ms: {stamps:?}");
    }
}

/// `minijob supervise` in a folder.
struct Supervised {
    child: Child,
    dir: tempfile::TempDir,
}

impl Supervised {
    fn start(dir: tempfile::TempDir, files: &[&str]) -> Self {
        let file = |name: &str| File::create(dir.path().join(name)).expect("writable");
        let mut command = bare(&[&["supervise"], files].concat());
        command.env("TMPDIR", dir.path()).env("OUTSIDE", "yes").current_dir(dir.path()).process_group(0);
        let child = command.stdout(file("out")).stderr(file("err")).spawn().expect("it runs");
        Self { child, dir }
    }

    fn read(&self, file: &str) -> String {
        String::from_utf8_lossy(&std::fs::read(self.dir.path().join(file)).unwrap_or_default()).into_owned()
    }

    /// Waits until what was printed is as wanted.
    fn wait(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        until(SOON, what, || {
            let out = self.read("out");
            if wanted(&out) { Ok(out) } else { Err(format!("{out}\n{}", self.read("err"))) }
        })
    }

    fn code(&mut self) -> i32 {
        let ended = until(SOON, "supervise has ended", || {
            self.child.try_wait().ok().flatten().ok_or_else(|| self.read("err"))
        });
        ended.code().unwrap_or(-1)
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}\n{}", self.read("out"), self.read("err"));
        }
        self.child.kill().ok();
        process::sweep(self.dir.path());
        self.child.wait().ok();
    }
}

fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("minijob-story-monexec-").tempdir().expect("a directory")
}

/// Without servers a file of monexec runs as it is: restarts after a constant delay, files over the file, all of the environment,
/// SIGINT; and what is not acted on is named.
#[test]
fn supervise_runs_a_file_of_monexec_as_it_is() {
    let dir = folder();
    shop(dir.path());
    let here = dir.path().canonicalize().expect("it is there");
    let mut all = Supervised::start(dir, &["shop.yaml"]);
    let out = all.wait("five starts of the crasher, and the other one", |out| {
        stamps(out).len() >= 5 && out.contains("MAIL=")
    });
    assert_constant(&stamps(&out), 700);
    let said =
        format!("shop.polite-one.0 | MAIL=of dev.env OWN=1 OUTSIDE=yes ${{HOME}} in {}\n", here.display());
    assert!(out.contains(&said), "{said:?} is missing: {out}");
    let notes = all.read("err");
    for part in [
        "minijob: shop.yaml: read as a file of monexec\n",
        "minijob: shop.yaml:6: the label `polite one` becomes the name `polite-one`\n",
        "minijob: shop.yaml:10: there is no file `gone.env`, and it is left out\n",
        "minijob: shop.yaml:12: `consul` is not acted on: services are not registered in Consul yet\n",
    ] {
        assert!(notes.contains(part), "{part:?} is missing: {notes}");
    }
    process::signal(all.child.id(), Signal::SIGTERM);
    assert_eq!(all.code(), 0);
    let out = all.read("out");
    assert!(out.contains("shop.polite-one.0 | got SIGINT\n") && !out.contains("got SIGTERM"), "{out}");
}

/// A critical service that has ended for good takes all down, and its code is the code of supervise; one that is not does not.
#[test]
fn a_critical_service_that_has_used_up_its_restarts_takes_all_down() {
    let dir = folder();
    let file = r#"services:
  - {label: brief, command: /bin/sh, args: [-c, "echo start; exit 4"], restart: 1, restart_delay: 100ms}
  - {label: vital, command: /bin/sh, args: [-c, "sleep 1; echo start; exit 5"], restart: 1, restart_delay: 500ms}
  - {label: other, command: /bin/sleep, args: [1000]}
critical: [vital]
"#;
    std::fs::write(dir.path().join("critical.yml"), file).expect("writable");
    let mut all = Supervised::start(dir, &["critical.yml"]);
    assert_eq!(all.code(), 5);
    let out = all.read("out");
    assert_eq!(out.matches("critical.vital.0 | start\n").count(), 2, "one restart is two starts: {out}");
    assert_eq!(out.matches("critical.brief.0 | start\n").count(), 2, "{out}");
    assert!(
        all.read("err").contains("minijob: critical.other.0: stopped; it had run for "),
        "{}",
        all.read("err")
    );
    // The parent of the tasks ends just after supervise.
    until(SOON, "nothing of it runs", || match process::mentioning(all.dir.path()) {
        left if left.is_empty() => Ok(()),
        left => Err(format!("{left:?}")),
    });
}

/// On a cluster the same file is a job: the same delays, variables and signal. What `critical` cannot reach there is named.
#[test]
fn run_takes_a_file_of_monexec_to_a_cluster() {
    let cluster = Cluster::start(1);
    shop(cluster.dir());
    let critical = "  - {label: vital, command: /bin/false, restart: 1, restart_delay: 100ms}\ncritical: [vital]\nconsul:";
    let file = SHOP.replace("consul:", critical);
    std::fs::write(cluster.dir().join("shop.yaml"), file).expect("writable");
    let answer = cluster.run(&["run", "--detach", "shop.yaml"]);
    assert_eq!(answer.code, 0, "{answer:?}");
    assert!(answer.stderr.contains("shop.yaml:13: when `vital` has ended for good"), "{answer:?}");

    let logs = || cluster.run(&["logs", "shop"]).stdout;
    let out = until(SOON, "five starts of the crasher, and the other one", || {
        let out = logs();
        if stamps(&out).len() >= 5 && out.contains("MAIL=") { Ok(out) } else { Err(out) }
    });
    assert_constant(&stamps(&out), 700);
    assert!(out.contains("MAIL=of dev.env OWN=1 OUTSIDE= ${HOME} in "), "{out}");

    let vital = |status: &serde_json::Value| {
        let allocs = status["allocs"].as_array().cloned().unwrap_or_default();
        allocs.into_iter().find(|alloc| alloc["group"] == "vital").unwrap_or_default()
    };
    let status = cluster
        .wait_job("shop", "the critical service was given up", |status| vital(status)["state"] == "failed");
    assert_eq!(vital(&status)["tasks"][0]["attempt"], 2, "{status}");
    assert_eq!(live(&status).count(), 2, "the others go on: {status}");

    let stopped = cluster.run(&["stop", "shop"]);
    assert_eq!(stopped.code, 0, "{stopped:?}");
    until(SOON, "it was stopped by SIGINT", || {
        let out = logs();
        if out.contains("got SIGINT") { Ok(()) } else { Err(out) }
    });
    assert!(!logs().contains("got SIGTERM"), "{}", logs());
}

/// What was converted runs like the file itself: it is read again as the same job, which changes nothing.
#[test]
fn a_converted_file_is_the_job_that_the_file_itself_is() {
    let cluster = Cluster::start(1);
    shop(cluster.dir());
    let converted = cluster.run(&["convert", "monexec", "shop.yaml"]);
    assert_eq!(converted.code, 0, "{converted:?}");
    assert_eq!(cluster.run(&["run", "--detach", "shop.yaml"]).code, 0);
    let again = cluster.submit(&converted.stdout);
    assert!(again.stdout.starts_with("shop: nothing changed, version 1"), "{again:?}");
    cluster.wait_job("shop", "it runs", |status| status["groups"]["polite-one"]["running"] == 1);
    let plan = cluster.run(&["plan", "shop.yaml", "--exit-code"]);
    assert_eq!(plan.code, 0, "{plan:?}");
}

/// A mistake is told with its file, line, and value, and nothing is started.
#[test]
fn a_mistake_in_a_file_of_monexec_is_told_with_its_place() {
    let dir = folder();
    let file = "services:\n  - command: echo hello\n  - label: late\n    command: /bin/late\n    \
                stop_timeout: soon\n    restart: 2000000\ncritical: late\n";
    std::fs::write(dir.path().join("bad.yml"), file).expect("writable");
    for command in ["supervise", "run", "plan", "validate"] {
        let answer = bare(&[command, "bad.yml"]).current_dir(dir.path()).output().expect("it runs");
        let answer = Answer::from(answer);
        assert_eq!((answer.code, answer.stdout.as_str()), (2, ""), "{answer:?}");
        for part in [
            "bad.yml:5:19: `stop_timeout` is `soon`, expected a duration",
            "bad.yml:6:14: `restart` is `2000000`, expected a whole number from -1 to 1000000",
            "bad.yml:7:11: `critical` is `late`, expected a list of labels",
        ] {
            assert!(answer.stderr.contains(part), "{part:?} is missing: {answer:?}");
        }
    }
    let mended =
        file.replace("soon", "5s").replace("2000000", "2").replace("critical: late", "critical: [late]");
    std::fs::write(dir.path().join("bad.yml"), mended).expect("writable");
    let answer = bare(&["validate", "bad.yml"]).current_dir(dir.path()).output().expect("it runs");
    let answer = Answer::from(answer);
    assert!(
        answer.stderr.contains("bad.yml:2:5: no job can have this: `command` is `echo hello`"),
        "{answer:?}"
    );
    assert_eq!(answer.code, 2);
    assert!(process::mentioning(dir.path()).is_empty());
}
