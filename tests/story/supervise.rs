use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tests::command::{Answer, bare, program};
use tests::process;
use tests::wait::{SOON, until};

/// A directory with job files, and `minijob supervise` on it.
struct Supervised {
    child: Child,
    dir: tempfile::TempDir,
}

fn directory(files: &[(&str, String)]) -> tempfile::TempDir {
    let dir = tempfile::Builder::new().prefix("minijob-story-supervise-").tempdir().expect("a directory");
    std::fs::create_dir(dir.path().join("jobs")).expect("writable");
    for (name, text) in files {
        std::fs::write(dir.path().join("jobs").join(name), text).expect("writable");
    }
    dir
}

impl Supervised {
    fn files(files: &[(&str, String)]) -> Self {
        Self::start(directory(files), |dir| bare(&["supervise", &dir.join("jobs").to_string_lossy()]))
    }

    fn start(dir: tempfile::TempDir, command: impl FnOnce(&Path) -> Command) -> Self {
        let out = File::create(dir.path().join("out")).expect("writable");
        Self::start_with(dir, out.into(), command)
    }

    fn start_with(dir: tempfile::TempDir, out: Stdio, command: impl FnOnce(&Path) -> Command) -> Self {
        let err = File::create(dir.path().join("err")).expect("writable");
        let mut command = command(dir.path());
        command.env("TMPDIR", dir.path()).current_dir(dir.path()).process_group(0);
        let child = command.stdout(out).stderr(err).spawn().expect("it runs");
        Self { child, dir }
    }

    fn out(&self) -> String {
        self.read("out")
    }

    fn read(&self, file: &str) -> String {
        String::from_utf8_lossy(&std::fs::read(self.path(file)).unwrap_or_default()).into_owned()
    }

    fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    fn write_job(&self, file: &str, text: &str) {
        std::fs::write(self.path("jobs").join(file), text).expect("writable");
    }

    /// Waits until a line of `file` holds a text, and returns the line.
    fn line(&self, file: &str, text: &str) -> String {
        until(SOON, &format!("`{text}` in {file}"), || {
            let all = self.read(file);
            all.lines().find(|line| line.contains(text)).map(str::to_owned).ok_or(all.clone())
        })
    }

    /// Waits until the task with this label was started `times` times, and returns its latest process.
    fn pid(&self, label: &str, times: usize) -> u32 {
        let begin = format!("minijob: {label}: started, pid ");
        until(SOON, &format!("{label} started {times} times"), || {
            let all = self.read("err");
            let starts: Vec<&str> = all.lines().filter_map(|line| line.strip_prefix(&begin)).collect();
            let last = starts.last().filter(|_| starts.len() >= times).map(|rest| rest.split(',').next());
            last.flatten().and_then(|pid| pid.parse().ok()).ok_or(all.clone())
        })
    }

    fn signal(&self, signal: Signal) {
        process::signal(self.child.id(), signal);
    }

    fn code(&mut self) -> i32 {
        let ended = until(SOON, "supervise has ended", || {
            self.child.try_wait().ok().flatten().ok_or_else(|| self.read("err"))
        });
        ended.code().unwrap_or(-1)
    }

    fn leaves_nothing(&self, at_most: Duration) {
        until(at_most, "nothing of it runs and its directory is gone", || {
            let left = process::mentioning(self.dir.path());
            let names = std::fs::read_dir(self.dir.path()).into_iter().flatten().flatten();
            let names: Vec<_> = names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
            let is_gone = !names.iter().any(|name| name.starts_with("minijob-supervise-"));
            if left.is_empty() && is_gone { Ok(()) } else { Err(format!("{left:?} {names:?}")) }
        });
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}\n{}", self.out(), self.read("err"));
        }
        self.child.kill().ok();
        process::sweep(self.dir.path());
        self.child.wait().ok();
    }
}

fn service(name: &str, script: &str) -> String {
    tests::job::shell(name, 1, script)
}

const FOR_EVER: &str = "exec sleep 1000";

/// A crasher starts again after its delay, and when its tries are used up its code is that of supervise.
#[test]
fn a_crasher_starts_again_after_its_delay_and_its_code_is_passed_on() {
    let restart = "restart: {attempts: 2, delay: 500ms, backoff: constant, jitter: 0%}";
    let script = "date +%s%N; echo to-stderr >&2; exit 7";
    let mut one =
        Supervised::files(&[("crash.yml", tests::job::with("crash", "service", 1, script, restart))]);
    assert_eq!(one.code(), 7);
    let out = one.out();
    let stamps: Vec<u64> = out
        .lines()
        .filter_map(|line| line.strip_prefix("crash | ")?.parse::<u64>().ok())
        .map(|nanos| nanos / 1_000_000)
        .collect();
    assert_eq!(stamps.len(), 3, "{out}");
    for pair in stamps.windows(2) {
        let delay = pair[1] - pair[0];
        assert!((500..3000).contains(&delay), "{delay} ms");
    }
    assert_eq!(out.matches("crash | to-stderr").count(), 3, "{out}");
    let said = one.read("err");
    assert!(said.contains("minijob: crash: exited with code 7 after "), "{said}");
    assert!(said.contains("; next try (2 of 3) in 50"), "{said}");
    assert!(said.contains("; gave up after 3 tries"), "{said}");
    one.leaves_nothing(SOON);
}

/// Without a critical task the others go on, and the end says whether anything failed.
#[test]
fn a_failure_beside_others_is_told_by_the_exit_code_when_all_has_ended() {
    let files = [
        ("good.yml", tests::job::batch("good", "sleep 1; echo good is done")),
        ("bad.yml", tests::job::batch("bad", "exit 9")),
    ];
    let mut both = Supervised::files(&files);
    assert_eq!(both.code(), 1);
    assert!(both.out().contains("good | good is done"), "{}", both.out());
    let mut good = Supervised::files(&files[..1]);
    assert_eq!(good.code(), 0);
}

/// SIGTERM: every task gets its stop signal, one that does not listen is killed after its time, and all that is waited for.
#[test]
fn sigterm_ends_all_in_order_and_waits() {
    let polite = "trap 'sleep 0.5; echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done";
    let deaf = "trap '' TERM; echo ready; while :; do sleep 0.05; done";
    let deaf = tests::job::with("deaf", "service", 1, deaf, "stop_timeout: 1s");
    let mut two = Supervised::files(&[("polite.yml", service("polite", polite)), ("deaf.yml", deaf)]);
    two.line("out", "polite | ready");
    two.line("out", "deaf | ready");
    let deaf = two.pid("deaf", 1);
    let begin = Instant::now();
    two.signal(Signal::SIGTERM);
    two.line("out", "polite | bye");
    assert!(process::is_alive(deaf), "it was killed before its time");
    assert_eq!(two.code(), 0);
    assert!(begin.elapsed() >= Duration::from_secs(1), "{:?}", begin.elapsed());
    assert!(!process::is_alive(deaf));
    assert!(two.read("err").contains("minijob: deaf: stopped; it had run for "), "{}", two.read("err"));
    two.leaves_nothing(SOON);
}

/// A second SIGTERM waits for nobody.
#[test]
fn a_second_sigterm_kills() {
    let deaf = "trap '' TERM; echo ready; while :; do sleep 0.05; done";
    let deaf = tests::job::with("deaf", "service", 1, deaf, "stop_timeout: 1h");
    let mut one = Supervised::files(&[("deaf.yml", deaf)]);
    one.line("out", "deaf | ready");
    one.signal(Signal::SIGTERM);
    one.line("err", "deaf: stopping");
    one.signal(Signal::SIGTERM);
    assert_eq!(one.code(), 128 + 15);
    one.leaves_nothing(SOON);
}

/// SIGHUP: only what differs is touched. A file that is wrong changes nothing.
#[test]
fn sighup_leaves_alone_what_stays() {
    let files = [
        ("stays.yml", service("stays", FOR_EVER)),
        ("changes.yml", service("changes", FOR_EVER)),
        ("goes.yml", service("goes", FOR_EVER)),
    ];
    let mut all = Supervised::files(&files);
    let before = [all.pid("stays", 1), all.pid("changes", 1), all.pid("goes", 1)];

    all.write_job("new.yml", "name: new\ncomand: /bin/true\n");
    all.signal(Signal::SIGHUP);
    all.line("err", "nothing was changed");
    assert!(before.iter().all(|pid| process::is_alive(*pid)));

    all.write_job("new.yml", &service("new", FOR_EVER));
    all.write_job("changes.yml", &service("changes", "exec sleep 2000"));
    std::fs::remove_file(all.path("jobs/goes.yml")).expect("it is there");
    all.signal(Signal::SIGHUP);
    let after = [all.pid("new", 1), all.pid("changes", 2)];
    until(SOON, "what is gone has ended", || {
        if process::is_alive(before[2]) { Err("it runs".to_owned()) } else { Ok(()) }
    });
    assert!(process::is_alive(before[0]) && !process::is_alive(before[1]));
    assert!(after.iter().all(|pid| process::is_alive(*pid)));
    assert_eq!(all.pid("stays", 1), before[0]);
    all.signal(Signal::SIGINT);
    assert_eq!(all.code(), 0);
}

/// A program that is not there, or may not be run, ends as in a shell; its name is looked up where the task starts.
#[test]
fn a_program_that_cannot_be_run_has_the_exit_code_of_a_shell() {
    for (program, code) in [("no-such-program", 127), ("./no-such-program", 127), ("/etc/passwd", 126)] {
        let mut one = Supervised::start(directory(&[]), |_| bare(&["supervise", "--", program]));
        assert_eq!(one.code(), code, "{program}");
        one.line("err", "could not start");
    }
}

/// The end of a task is told after what it printed, and to scripts as fields.
#[test]
fn an_end_is_told_after_the_output_before_it_and_as_fields() {
    let script = "echo first; printf last; exit 3";
    let dir = directory(&[]);
    // Both into one file, as a person sees them.
    let both = std::fs::File::create(dir.path().join("out")).expect("writable");
    let mut command = bare(&["supervise", "--restart", "no", "--", "/bin/sh", "-c", script]);
    command.stdout(both.try_clone().expect("a copy")).stderr(both);
    assert_eq!(command.status().expect("it runs").code(), Some(3));
    let shown = std::fs::read_to_string(dir.path().join("out")).expect("text");
    let lines: Vec<&str> = shown.lines().filter(|line| !line.contains("started, pid")).collect();
    assert_eq!(lines[..2], ["sh | first", "sh | last"], "{shown}");
    assert!(lines[2].ends_with("; gave up"), "{shown}");

    let mut one = Supervised::start(dir, |_| {
        bare(&["supervise", "--json", "--restart", "no", "--", "/bin/sh", "-c", script])
    });
    assert_eq!(one.code(), 3);
    let ended: serde_json::Value = serde_json::from_str(&one.line("err", "\"ended\"")).expect("a document");
    assert_eq!((&ended["task"], &ended["try"], &ended["exit_code"]), (&"sh".into(), &1.into(), &3.into()));
    assert_eq!((&ended["reason"], &ended["then"]), (&"exit".into(), &"gave_up".into()));
    let time = ended["time"].as_str().and_then(|time| time.parse::<proto::time::Timestamp>().ok());
    assert!(time.is_some_and(|time| proto::time::now().since(time) < SOON), "{ended}");
}

/// Scripts read one end per try, also where a stop finds the task between two tries, and what the owner's signal does.
#[test]
fn a_stop_between_two_tries_is_told_as_such() {
    let mut one = Supervised::start(directory(&[]), |_| {
        bare(&["supervise", "--json", "--", "/bin/sh", "-c", "exit 3"])
    });
    one.line("err", "\"retry\"");
    process::signal(one.child.id(), Signal::SIGTERM);
    one.line("err", "stopping everything");
    one.code();
    let told = std::fs::read_to_string(one.dir.path().join("err")).expect("text");
    let events: Vec<serde_json::Value> =
        told.lines().map(|line| serde_json::from_str(line).expect("a document")).collect();
    let of = |event: &str| events.iter().filter(|told| told["event"] == event).collect::<Vec<_>>();
    let tries: Vec<_> = of("ended").iter().map(|end| end["try"].as_u64()).collect();
    assert!(tries.windows(2).all(|two| two[0] < two[1]), "{told}");
    assert!(
        of("note")
            .iter()
            .any(|note| note["message"].as_str().is_some_and(|text| text.starts_with("stopping"))),
        "{told}"
    );
    assert_eq!(of("stopped").len(), 1, "{told}");
}

/// A batch command that has succeeded is done.
#[test]
fn a_batch_command_is_not_restarted_when_it_has_succeeded() {
    let mut one = Supervised::start(directory(&[]), |_| bare(&["supervise", "--batch", "--", "echo", "hi"]));
    assert_eq!(one.code(), 0);
    assert_eq!(one.out(), "echo | hi\n");
}

/// Rules of placement choose among nodes: on one machine they are left out, and that is said.
#[test]
fn rules_of_placement_are_left_out_and_that_is_said() {
    let job = tests::job::with("once", "batch", 1, "echo here", "constraints: [meta.rack == \"r9\"]");
    let mut one = Supervised::files(&[("once.yml", job)]);
    assert_eq!(one.code(), 0);
    assert!(one.out().contains("here"), "{}", one.out());
    let said = one.read("err");
    assert_eq!(said.matches("once: its rules of placement choose among nodes").count(), 1, "{said}");
}

/// Where there is one task, signals that mean nothing to supervise are for it.
#[test]
fn a_signal_for_the_only_task_reaches_it() {
    let script = "trap 'echo got it; exit 4' USR1; echo ready; while :; do sleep 0.05; done";
    let mut one = Supervised::start(directory(&[]), |_| {
        bare(&["supervise", "--raw", "--restart", "no", "--", "/bin/sh", "-c", script])
    });
    one.line("out", "ready");
    one.signal(Signal::SIGUSR1);
    assert_eq!(one.code(), 4);
    assert_eq!(one.out(), "ready\ngot it\n");
}

/// kill -9: the parent of its tasks ends them soon after.
#[test]
fn kill_9_leaves_nothing_behind() {
    let mut one = Supervised::files(&[("a.yml", service("a", FOR_EVER))]);
    one.pid("a", 1);
    one.signal(Signal::SIGKILL);
    one.child.wait().ok();
    one.leaves_nothing(Duration::from_secs(30));
}

/// With a directory output and the tasks' files stay.
#[test]
fn a_data_directory_is_kept() {
    let script = "echo printed; echo written > file; exit 0";
    let dir = directory(&[("a.yml", tests::job::batch("a", script))]);
    let mut one = Supervised::start(dir, |dir| {
        bare(&[
            "supervise",
            "--data-dir",
            &dir.join("data").to_string_lossy(),
            &dir.join("jobs").to_string_lossy(),
        ])
    });
    assert_eq!(one.code(), 0);
    let mut grep = Command::new("grep");
    grep.args(["-rlE", "printed|written", "data"]).current_dir(one.dir.path());
    let found = Answer::from(grep.output().expect("grep")).stdout;
    assert!(found.contains("logs/a.stdout.0") && found.contains("tasks/a/file"), "{found}");
}

/// Output that nobody reads holds up no task and no restart.
#[test]
fn a_reader_that_does_not_read_holds_up_nothing() {
    let dir = directory(&[]);
    let starts = dir.path().join("starts");
    let script = format!("echo $$ >> {}; yes | head -c 2000000; exit 1", starts.display());
    std::fs::write(dir.path().join("jobs/loud.yml"), service("loud", &script)).expect("writable");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut one = Supervised::start_with(dir, writer.into(), |dir| {
        bare(&["supervise", &dir.join("jobs").to_string_lossy()])
    });
    until(SOON, "it was started ten times", || {
        let count = std::fs::read_to_string(&starts).unwrap_or_default().lines().count();
        if count >= 10 { Ok(()) } else { Err(count.to_string()) }
    });
    one.signal(Signal::SIGTERM);
    assert_eq!(one.code(), 0);
    drop(reader);
}

/// A command that is generated as a file is a valid and short one.
#[test]
fn a_generated_job_file_is_valid_and_short() {
    let dir = directory(&[]);
    let answer = |args: &[&str]| Answer::from(bare(args).output().expect("it runs"));
    let flags =
        ["--env", "A=x y", "--port", "http", "--port", "admin=8081", "--restart", "-1", "--count", "2"];
    let command = ["--", "/bin/sh", "-c", "echo ${port.http} ${HOME} 'it''s'\nnext"];
    let generated = answer(&[&["run", "--generate"], &flags[..], &command[..]].concat());
    assert_eq!(generated.code, 0, "{generated:?}");
    let file = dir.path().join("generated.yml");
    std::fs::write(&file, &generated.stdout).expect("writable");
    let explained = answer(&["validate", "--explain", &file.to_string_lossy()]);
    assert_eq!(explained.code, 0, "{explained:?}");
    assert!(explained.stdout.contains("count: 2\n"), "{explained:?}");
    assert!(generated.stdout.lines().count() < 20, "no defaults: {generated:?}");
}

/// As process 1 of a bare namespace.
fn as_first(dir: &tempfile::TempDir, script: &str) -> Command {
    let mut command = Command::new("unshare");
    if !nix::unistd::Uid::effective().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "/bin/sh", "-c", script]);
    command.env("MINIJOB", program()).env("JOBS", dir.path().join("jobs")).env("DIR", dir.path());
    command
}

/// Every orphan is reaped: those of its tasks, and those that something else leaves to process 1.
#[test]
fn as_process_1_it_leaves_no_zombies() {
    let orphans =
        "for i in $(seq 100); do (sleep 0.1 & ) ; done; sleep 0.5; echo orphans made; exec sleep 1000";
    let dir = directory(&[("a.yml", service("a", orphans))]);
    let command = as_first(&dir, r#"exec "$MINIJOB" supervise "$JOBS""#);
    let mut one = Supervised::start(dir, |_| command);
    one.line("out", "a | orphans made");
    let children = format!("/proc/{0}/task/{0}/children", one.child.id());
    let first = std::fs::read_to_string(children).expect("a child of unshare");
    let first = first.split_whitespace().next().expect("process 1").to_owned();
    // What enters from outside, as `docker exec` does, has nobody above it but process 1.
    let entered = Command::new("nsenter")
        .args(["-t", &first, "-m", "-p", "/bin/sh", "-c", "for i in $(seq 100); do (sleep 0.1 & ) ; done"])
        .status()
        .expect("nsenter");
    assert!(entered.success());
    let inside = |script: &str| {
        let mut command = Command::new("nsenter");
        command.args(["-t", &first, "-m", "-p", "/bin/sh", "-c", script]);
        String::from_utf8_lossy(&command.output().expect("nsenter").stdout).into_owned()
    };
    until(SOON, "no zombies", || {
        let states = inside("cat /proc/[0-9]*/stat");
        let zombies: Vec<&str> = states.lines().filter(|line| line.contains(") Z ")).collect();
        let sleeps = states.lines().filter(|line| line.contains("(sleep)")).count();
        // The task itself sleeps.
        if zombies.is_empty() && sleeps == 1 { Ok(()) } else { Err(format!("{sleeps} {zombies:?}")) }
    });
    assert!(inside("cat /proc/1/cmdline").contains("supervise"));
    process::signal(first.parse().expect("a pid"), Signal::SIGTERM);
    assert_eq!(one.code(), 0);
    assert!(one.read("err").contains("a: stopped; it had run for "), "{}", one.read("err"));
}

/// A container with nothing in it: a root that cannot be written, no users, no control groups, somebody without rights.
#[test]
fn it_works_in_a_bare_container_as_nobody() {
    if !nix::unistd::Uid::effective().is_root() {
        eprintln!("not checked: only root can make such a container here");
        return;
    }
    let dir =
        directory(&[("a.yml", tests::job::batch("a", "id -u; touch /no 2>&1; ls /etc | wc -l; exit 0"))]);
    // Everybody may look for the files and the program; nobody may write.
    let script = r#"
        set -e
        mount --make-rprivate /
        mount -t tmpfs -o ro none /etc
        if [ -d /sys/fs/cgroup ]; then mount -t tmpfs -o ro none /sys/fs/cgroup; fi
        mount -t tmpfs -o mode=755 none /mnt
        cp "$MINIJOB" /mnt/minijob
        cp -r "$JOBS" /mnt/jobs
        mount -o remount,ro /mnt
        mount -t tmpfs -o mode=1777 none /dev/shm
        for busy in /tmp /var/tmp /run; do mount -t tmpfs -o ro none $busy; done
        mount -o remount,bind,ro /
        exec setpriv --reuid 12345 --regid 12345 --clear-groups --no-new-privs /mnt/minijob supervise /mnt/jobs"#;
    let command = as_first(&dir, script);
    let mut one = Supervised::start(dir, |_| command);
    assert_eq!(one.code(), 0);
    let out = one.out();
    assert!(
        out.contains("a | 12345\n") && out.contains("Read-only file system") && out.contains("a | 0\n"),
        "{out}"
    );
}
