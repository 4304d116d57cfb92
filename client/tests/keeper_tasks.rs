//! What a task gets from the keeper, and what is left of it afterwards: nothing.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::fs;
use std::time::Duration;

use client::driver::conformance::end_of;
use client::driver::{Driver, EndCause, Ended, StartSpec, Started, UserIds};
use client::logs::{Policy, Stream};
use support::{Host, alive, children, wait_for};

async fn start(driver: &impl Driver, spec: &StartSpec) -> Started {
    driver.start(spec.clone()).await.expect("reached").expect("started")
}

async fn ended(driver: &impl Driver, spec: &StartSpec) -> Ended {
    end_of(&mut driver.ends(), &spec.id).await
}

#[tokio::test]
async fn a_daemon_that_left_its_session_dies_with_the_stop() {
    for cgroups in ["v2", "v1", "off"] {
        let host = Host::new(cgroups);
        let driver = host.connect();
        let script = "(setsid sh -c 'trap \"\" TERM; echo daemon $$; while :; do sleep 0.02; done' &) ; \
                      while ! kill -0 1; do :; done; exec sleep 1000";
        let spec = host.script(script);
        start(&driver, &spec).await;
        host.printed(&spec, "daemon").await;
        let daemon: u32 = host.stdout(&spec).split_whitespace().nth(1).unwrap().parse().unwrap();
        assert!(alive(daemon));
        driver.stop(spec.id.clone(), libc::SIGTERM, Duration::from_millis(300)).await.unwrap().unwrap();
        let end = ended(&driver, &spec).await;
        assert_eq!(end.cause, EndCause::Signal(libc::SIGTERM), "{cgroups}: the main process obeyed");
        assert!(end.stopped_by_us && end.ran_ms >= 290);
        assert!(!alive(daemon), "{cgroups}: the attempt ends when all are gone");
    }
}

#[tokio::test]
async fn what_a_main_process_leaves_behind_is_ended_too() {
    for cgroups in ["v2", "off"] {
        let host = Host::new(cgroups);
        let driver = host.connect();
        let spec = host.script("sleep 1000 & echo $!; exit 0");
        start(&driver, &spec).await;
        let end = ended(&driver, &spec).await;
        assert_eq!((end.cause, end.stopped_by_us), (EndCause::Exit(0), false));
        let left: u32 = end.tail.trim().parse().unwrap();
        assert!(!alive(left), "{cgroups}");
    }
}

#[tokio::test]
async fn two_hundred_quick_starts_leave_no_zombie() {
    for cgroups in ["v2", "off"] {
        let host = Host::new(cgroups);
        let driver = host.connect();
        let mut ends = driver.ends();
        let specs: Vec<StartSpec> =
            (0..200).map(|number| host.script(&format!("exit {}", number % 100))).collect();
        for spec in &specs {
            start(&driver, spec).await;
        }
        for (number, spec) in specs.iter().enumerate() {
            let end = ended(&driver, spec).await;
            assert_eq!(end.cause, EndCause::Exit(number as i32 % 100));
            driver.collect(spec.id.clone()).await.unwrap().unwrap();
        }
        assert!(driver.list().await.unwrap().is_empty());
        let left = wait_for("only the keeper beneath the guard", || {
            let children = children(host.guard);
            (children.len() == 1).then_some(children)
        });
        assert_eq!(left.await[0].0, host.keeper);
        assert!(
            tokio::time::timeout(Duration::from_millis(50), ends.next()).await.is_err(),
            "all are collected"
        );
    }
}

#[tokio::test]
async fn a_task_that_prints_without_end_disturbs_nobody() {
    let host = Host::new("auto");
    let driver = host.connect();
    let mut loud = host.script("exec yes 'a line of some length, to fill files faster'");
    loud.logs = Policy { files: 3, file_bytes: 1 << 20 };
    start(&driver, &loud).await;
    wait_for("three files", || {
        let numbers = client::logs::files::numbers(&host.logs(), &loud.id.task, Stream::Stdout).ok()?;
        (numbers.len() >= 3 && *numbers.last()? > 10).then_some(())
    })
    .await;
    let mut slowest = Duration::ZERO;
    for _ in 0..20 {
        let quiet = host.script("echo here; exit 0");
        let begun = std::time::Instant::now();
        start(&driver, &quiet).await;
        assert_eq!(ended(&driver, &quiet).await.tail, "here\n");
        slowest = slowest.max(begun.elapsed());
    }
    assert!(slowest < Duration::from_secs(2), "a neighbour took {slowest:?}");
    let kept = client::logs::files::numbers(&host.logs(), &loud.id.task, Stream::Stdout).unwrap();
    assert!(kept.len() <= 4, "{kept:?}");
    let status = fs::read_to_string(format!("/proc/{}/status", host.keeper)).unwrap();
    let anonymous: u64 = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:")?.split_whitespace().next()?.parse().ok())
        .unwrap();
    assert!(anonymous < 8192, "the keeper grew to {anonymous} kB");
}

#[tokio::test]
async fn a_task_gets_what_is_given_and_nothing_else() {
    let host = Host::new("auto");
    let driver = host.connect();
    let script = "pwd; umask; id -u | grep -c 65534; id -G | grep -cE '65533 7|^65534'; ls /proc/self/fd | wc -l; readlink /proc/self/fd/0; \
                  grep -E 'SigBlk|SigIgn' /proc/self/status; cat /proc/self/oom_score_adj; ulimit -n; env | sort";
    let spec = StartSpec {
        env: vec![("PATH".into(), "/usr/bin:/bin".into()), ("GREETING".into(), "hello world".into())],
        workdir: Some("/usr".into()),
        user: nix::unistd::geteuid().is_root().then(|| UserIds {
            uid: 65534,
            gid: 65533,
            groups: vec![65533, 7],
        }),
        ..host.script(script)
    };
    // The log directory belongs to the keeper; the task needs none of it.
    start(&driver, &spec).await;
    let end = ended(&driver, &spec).await;
    let own = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).unwrap();
    let limit = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap().0;
    let oom = own("oom_score_adj");
    let wanted = format!(
        "/usr\n0022\n1\n1\n4\n/dev/null\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n{oom}{limit}\n"
    );
    let (head, env) = end.tail.split_at(wanted.len().min(end.tail.len()));
    assert_eq!(head, wanted);
    let env: Vec<&str> = env.lines().filter(|line| !line.starts_with("MINIJOB_MARK=")).collect();
    // The shell itself adds PWD.
    assert_eq!(env, ["GREETING=hello world", "PATH=/usr/bin:/bin", "PWD=/usr"]);
}

#[tokio::test]
async fn a_start_that_fails_says_which_step_and_why() {
    let host = Host::new("auto");
    let driver = host.connect();
    let fail = async |change: &dyn Fn(&mut StartSpec)| {
        let mut spec = host.script("exit 0");
        change(&mut spec);
        driver.start(spec).await.unwrap().expect_err("must fail")
    };
    let failure = fail(&|spec| spec.workdir = Some("/no/such/dir".into())).await;
    assert_eq!((failure.step.as_str(), failure.hopeless), ("workdir", true));
    assert_eq!(failure.message, "workdir /no/such/dir: No such file or directory");
    let failure = fail(&|spec| spec.command = "nothing-of-that-name".into()).await;
    assert_eq!(failure.message, "exec nothing-of-that-name (searched in PATH): No such file or directory");
    let failure = fail(&|spec| spec.command = "/etc/passwd".into()).await;
    assert_eq!((failure.step.as_str(), failure.errno), ("exec", Some(libc::EACCES)));
    let failure = fail(&|spec| spec.args.push("a\0b".into())).await;
    assert_eq!((failure.step.as_str(), failure.hopeless), ("args", true));
    let failure = fail(&|spec| spec.deadline_boot_ms = Some(1)).await;
    assert_eq!((failure.step.as_str(), failure.hopeless), ("lease", false));
    assert!(driver.list().await.unwrap().is_empty());
    let none = wait_for("no zombie", || (children(host.guard).len() == 1).then_some(())).await;
    assert_eq!(none, ());
}

#[tokio::test]
async fn a_tree_that_forks_while_it_is_killed_ends_too() {
    for cgroups in ["v2", "v1", "off"] {
        let host = Host::new(cgroups);
        let driver = host.connect();
        // Every process replaces itself by a new one as fast as it can.
        let hydra =
            "trap '' TERM; echo ready; hop() { sh -c \"$HOP\" & }; for i in 1 2 3; do hop; done; sleep 1000";
        let mut spec = host.script(hydra);
        let hop = "trap '' TERM; sleep 0.01; sh -c \"$HOP\" & exit";
        spec.env = vec![("HOP".into(), hop.into()), ("PATH".into(), "/usr/bin:/bin".into())];
        let pid = start(&driver, &spec).await.pid;
        host.printed(&spec, "ready").await;
        driver.stop(spec.id.clone(), libc::SIGTERM, Duration::from_millis(100)).await.unwrap().unwrap();
        let end = ended(&driver, &spec).await;
        assert_eq!((end.cause, end.stopped_by_us), (EndCause::Killed, true), "{cgroups}");
        assert!(!alive(pid));
        wait_for("only the keeper beneath the guard", || (children(host.guard).len() == 1).then_some(()))
            .await;
    }
}

#[tokio::test]
async fn a_full_disk_under_the_logs_costs_output_and_nothing_else() {
    let host = Host::new("auto");
    let driver = host.connect();
    let spec = host.script("for i in 1 2 3; do echo lost $i; sleep 0.02; done; echo kept >&2; exit 5");
    fs::create_dir_all(host.logs()).unwrap();
    // Every write to /dev/full says that the disk is full.
    let path = client::logs::files::path(&host.logs(), &spec.id.task, Stream::Stdout, 0);
    std::os::unix::fs::symlink("/dev/full", path).unwrap();
    start(&driver, &spec).await;
    let end = ended(&driver, &spec).await;
    assert_eq!((end.cause, end.dropped_bytes), (EndCause::Exit(5), 21));
    assert_eq!(host.output(&spec, Stream::Stderr), "kept\n");
    assert!(end.tail.contains("lost 3"), "what was lost on disk is in the tail: {}", end.tail);
}

#[tokio::test]
async fn output_also_goes_to_a_file_of_the_node_beyond_the_keepers_death() {
    let host = Host::new("auto");
    let driver = host.connect();
    let also = host.data().join("all.log");
    fs::write(&also, "before\n").unwrap();
    let go = host.data().join("go");
    let mut spec = host.script(&format!(
        "echo out; echo err >&2; while ! test -e {}; do sleep 0.02; done; echo later",
        go.display()
    ));
    spec.logs_also.file = Some(also.clone());
    let read = || fs::read_to_string(&also).unwrap();
    start(&driver, &spec).await;
    wait_for("both streams", || (read().contains("out\n") && read().contains("err\n")).then_some(())).await;
    support::kill(host.keeper);
    fs::write(&go, "").unwrap();
    wait_for("what came after the keeper's death", || read().contains("later\n").then_some(())).await;
    assert!(read().starts_with("before\n"));
    assert_eq!(ended(&driver, &spec).await.dropped_bytes, 0);

    let mut refused = host.script("exit 0");
    refused.logs_also.file = Some("/no/such/folder/x.log".into());
    let failure = driver.start(refused.clone()).await.unwrap().expect_err("it cannot be written");
    assert_eq!(failure.step, "logs.file");
    assert!(failure.message.contains("/no/such/folder/x.log"), "{failure}");
}
