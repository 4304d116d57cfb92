//! What a job asks to be limited or set apart is, and what cannot be fails the start. These need root, as agents have it.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::fs;
use std::time::{Duration, Instant};

use client::driver::confine::Rlimit;
use client::driver::conformance::end_of;
use client::driver::{Bind, Driver, EndCause, Ended, Limits, StartFailure, StartSpec, Started, UserIds};
use proto::model::Isolate;
use support::{Host, alive, kill, wait_for};

async fn start(driver: &impl Driver, spec: &StartSpec) -> Started {
    driver.start(spec.clone()).await.expect("reached").expect("started")
}

async fn refused(driver: &impl Driver, spec: &StartSpec) -> StartFailure {
    driver.start(spec.clone()).await.expect("reached").expect_err("it must not start")
}

async fn ended(driver: &impl Driver, spec: &StartSpec) -> Ended {
    end_of(&mut driver.ends(), &spec.id).await
}

/// Runs a script that shall succeed and returns what it printed.
async fn output(host: &Host, spec: StartSpec) -> String {
    let driver = host.connect();
    start(&driver, &spec).await;
    let end = ended(&driver, &spec).await;
    assert_eq!(end.cause, EndCause::Exit(0), "{end:?}");
    end.tail
}

fn path() -> Vec<(String, String)> {
    vec![("PATH".into(), "/usr/sbin:/usr/bin:/sbin:/bin".into())]
}

fn nobody() -> Option<UserIds> {
    Some(UserIds { uid: 65534, gid: 65534, groups: vec![65534] })
}

fn memory(bytes: u64) -> Limits {
    Limits { memory_bytes: Some(bytes), ..Limits::default() }
}

/// Grows without end, in this process.
const HOG: &str = "exec tail /dev/zero";

#[tokio::test]
async fn beyond_its_memory_a_task_ends_with_oom() {
    for cgroups in ["v2", "v1"] {
        let host = Host::new(cgroups);
        let driver = host.connect();
        let spec = StartSpec { limits: memory(24 << 20), ..host.script(HOG) };
        start(&driver, &spec).await;
        let end = ended(&driver, &spec).await;
        assert_eq!((end.cause, end.stopped_by_us), (EndCause::Oom, false), "{cgroups}");
        let used = driver.stats(spec.id.clone()).await.unwrap().unwrap();
        let peak = used.memory_peak_bytes.unwrap();
        assert!((20 << 20..=24 << 20).contains(&peak), "{cgroups}: {used:?}");
        // A child that dies so is the task's own affair.
        let spec = StartSpec { limits: memory(24 << 20), ..host.script("tail /dev/zero; exit 3") };
        start(&driver, &spec).await;
        assert_eq!(ended(&driver, &spec).await.cause, EndCause::Exit(3), "{cgroups}");
    }
}

#[tokio::test]
async fn a_kill_by_others_or_by_us_is_no_oom_however_much_memory_is_limited() {
    for cgroups in ["v2", "v1"] {
        let host = Host::new(cgroups);
        let driver = host.connect();
        let spec = StartSpec { limits: memory(64 << 20), ..host.script("kill -9 $$") };
        start(&driver, &spec).await;
        assert_eq!(ended(&driver, &spec).await.cause, EndCause::Signal(libc::SIGKILL), "{cgroups}");
        let spec = StartSpec { limits: memory(64 << 20), ..host.script(support::STUBBORN) };
        start(&driver, &spec).await;
        host.printed(&spec, "ready").await;
        driver.stop(spec.id.clone(), libc::SIGTERM, Duration::from_millis(100)).await.unwrap().unwrap();
        let end = ended(&driver, &spec).await;
        assert_eq!((end.cause, end.stopped_by_us), (EndCause::Killed, true), "{cgroups}");
    }
}

#[tokio::test]
async fn a_fork_bomb_meets_its_limit_and_dies_with_the_stop() {
    for cgroups in ["v2", "v1"] {
        let host = Host::new(cgroups);
        let driver = host.connect();
        // The shell says "Cannot fork" where it meets the limit.
        let script = "b() { b & b & sleep 1000; }; b & exec sleep 1000";
        let limits = Limits { pids: Some(20), ..Limits::default() };
        let spec = StartSpec { limits, env: path(), ..host.script(script) };
        start(&driver, &spec).await;
        wait_for("the limit", || {
            let text = host.output(&spec, client::logs::Stream::Stderr).to_lowercase();
            text.contains("fork").then_some(())
        })
        .await;
        let used = driver.stats(spec.id.clone()).await.unwrap().unwrap();
        assert!((1..=20).contains(&used.processes), "{cgroups}: {used:?}");
        driver.stop(spec.id.clone(), libc::SIGTERM, Duration::from_millis(500)).await.unwrap().unwrap();
        ended(&driver, &spec).await;
        assert_eq!(driver.stats(spec.id.clone()).await.unwrap().unwrap().processes, 0, "{cgroups}");
    }
}

#[tokio::test]
async fn a_share_of_cpu_is_all_it_gets() {
    for cgroups in ["v2", "v1"] {
        let host = Host::new(cgroups);
        let driver = host.connect();
        let limits = Limits { cpu_millis: Some(100), ..Limits::default() };
        let spec = StartSpec { limits, ..host.script("while :; do :; done") };
        start(&driver, &spec).await;
        let begun = Instant::now();
        tokio::time::sleep(Duration::from_secs(2)).await;
        let used = driver.stats(spec.id.clone()).await.unwrap().unwrap();
        let share = used.cpu_us.unwrap() as f64 / begun.elapsed().as_micros() as f64;
        assert!((0.02..0.25).contains(&share), "{cgroups}: {share:.2} of a core, 0.1 was given");
        driver.stop(spec.id.clone(), libc::SIGTERM, Duration::from_secs(1)).await.unwrap().unwrap();
        ended(&driver, &spec).await;
    }
}

#[tokio::test]
async fn a_limit_that_nothing_can_enforce_fails_the_start_and_says_which() {
    let host = Host::new("off");
    let driver = host.connect();
    for (limits, name) in [
        (memory(1 << 20), "memory"),
        (Limits { cpu_millis: Some(100), ..Limits::default() }, "cpu"),
        (Limits { pids: Some(9), ..Limits::default() }, "pids"),
    ] {
        let failure = refused(&driver, &StartSpec { limits, ..host.script("exit 0") }).await;
        assert_eq!((failure.step.as_str(), failure.hopeless), ("cgroup", true));
        assert!(failure.message.contains(&format!("cannot limit {name}")), "{failure}");
    }
    assert!(driver.list().await.unwrap().is_empty());
}

#[tokio::test]
async fn groups_go_with_the_attempt_wherever_they_were() {
    let host = Host::new("auto");
    let driver = host.connect();
    let name = fs::read_to_string(host.data().join("keeper/name")).unwrap();
    let groups = || -> Vec<String> {
        let mounts = fs::read_to_string("/proc/mounts").unwrap();
        let mounts = mounts.lines().filter(|line| line.contains(" cgroup"));
        let bases = mounts.map(|line| format!("{}/minijob/{name}", line.split(' ').nth(1).unwrap()));
        bases
            .flat_map(|base| fs::read_dir(base).into_iter().flatten().flatten())
            .filter(|entry| entry.path().is_dir() && entry.file_name() != "keeper")
            .map(|entry| entry.path().display().to_string())
            .collect()
    };
    let limits = Limits { memory_bytes: Some(64 << 20), cpu_millis: Some(500), pids: Some(50) };
    let spec = StartSpec { limits, ..host.script("exec sleep 1000") };
    start(&driver, &spec).await;
    assert!(!groups().is_empty());
    driver.stop(spec.id.clone(), libc::SIGTERM, Duration::from_secs(5)).await.unwrap().unwrap();
    ended(&driver, &spec).await;
    wait_for("no group", || groups().is_empty().then_some(())).await;
}

#[tokio::test]
async fn limits_of_the_kernel_are_what_was_asked_for() {
    let host = Host::new("auto");
    let mut spec = host.script(
        "ulimit -S -n; ulimit -H -n; ulimit -c; ulimit -H -c; nice; cat /proc/self/oom_score_adj; \
         grep NoNewPrivs /proc/self/status",
    );
    spec.env = path();
    spec.user = nobody();
    spec.confine.rlimits = vec![
        Rlimit { resource: 7, soft: Some(100), hard: Some(200) },
        Rlimit { resource: 4, soft: Some(0), hard: None },
    ];
    spec.confine.nice = Some(-3);
    spec.confine.oom_score_adj = Some(321);
    assert_eq!(output(&host, spec).await, "100\n200\n0\nunlimited\n-3\n321\nNoNewPrivs:\t1\n");
}

#[tokio::test]
async fn new_privileges_are_gained_only_where_a_job_says_so() {
    let host = Host::new("auto");
    for (allowed, seen) in [(false, "NoNewPrivs:\t1\n"), (true, "NoNewPrivs:\t0\n")] {
        let mut spec = host.script("grep NoNewPrivs /proc/self/status");
        spec.env = path();
        spec.confine.new_privileges = allowed;
        assert_eq!(output(&host, spec).await, seen);
    }
}

#[tokio::test]
async fn a_task_has_exactly_the_capabilities_it_was_given() {
    let host = Host::new("auto");
    let net_bind = 1u64 << 10;
    for (user, capabilities, wanted) in [
        (nobody(), None, Some(0)),
        (nobody(), Some(0), Some(0)),
        (nobody(), Some(net_bind), Some(net_bind)),
        (None, Some(net_bind | 1), Some(net_bind | 1)),
        (None, Some(0), Some(0)),
        (None, None, None),
    ] {
        let mut spec = host.script("exec cat /proc/self/status");
        spec.env = path();
        spec.user = user.clone();
        spec.confine.capabilities = capabilities;
        let status = output(&host, spec).await;
        let set = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            u64::from_str_radix(line.trim(), 16).unwrap()
        };
        let case = format!("{user:?} {capabilities:?}");
        match wanted {
            Some(wanted) => assert_eq!((set("CapEff:"), set("CapPrm:")), (wanted, wanted), "{case}"),
            None => assert_ne!(set("CapEff:") & 1 << 21, 0, "{case}: root is root"),
        }
        if let Some(bounded) = capabilities {
            assert_eq!(set("CapBnd:"), bounded, "{case}");
        }
    }
}

#[tokio::test]
async fn in_its_own_pid_namespace_a_task_sees_itself_alone_and_ends_as_it_ended() {
    for cgroups in ["v2", "v1", "off"] {
        let host = Host::new(cgroups);
        let driver = host.connect();
        let isolated = |script: &str| {
            let mut spec = StartSpec { env: path(), ..host.script(script) };
            spec.confine.isolate.pid = true;
            spec
        };
        let spec = isolated("echo $$; ls /proc | grep -c '^[0-9]'; kill -TERM $$; sleep 10");
        let pid = start(&driver, &spec).await.pid;
        assert!(pid > 2, "as the machine counts");
        let end = ended(&driver, &spec).await;
        assert_eq!(end.cause, EndCause::Signal(libc::SIGTERM), "{cgroups}: no init has translated it");
        let seen: Vec<u32> = end.tail.lines().map(|line| line.parse().unwrap()).collect();
        assert_eq!(seen[0], 2, "{cgroups}: beside its init");
        assert!(seen[1] <= 4, "{cgroups}: itself, its init, and what counts: {seen:?}");

        // What it leaves behind gets its signal and its time, then everything is gone, the init too.
        let spec = isolated(
            "trap 'exit 5' TERM; (setsid sh -c 'trap \"\" TERM; sleep 1000' &) ; echo ready; while :; do sleep 0.02; done",
        );
        let pid = start(&driver, &spec).await.pid;
        host.printed(&spec, "ready").await;
        let inits =
            || support::children(host.guard).into_iter().filter(|(pid, _)| comm(*pid) == "minijob init");
        assert_eq!(inits().count(), 1, "{cgroups}");
        driver.stop(spec.id.clone(), libc::SIGTERM, Duration::from_millis(500)).await.unwrap().unwrap();
        assert_eq!(ended(&driver, &spec).await.cause, EndCause::Exit(5), "{cgroups}");
        assert!(!alive(pid));
        wait_for("no init", || (inits().count() == 0).then_some(())).await;
    }
}

fn comm(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}

#[tokio::test]
async fn a_pid_namespace_outlives_the_keeper_and_ends_with_its_task() {
    for cgroups in ["auto", "off"] {
        let host = Host::new(cgroups);
        let driver = host.connect();
        let mut spec = StartSpec { env: path(), ..host.script("sleep 1000 & echo ready; wait; exit 4") };
        spec.confine.isolate.pid = true;
        let pid = start(&driver, &spec).await.pid;
        host.printed(&spec, "ready").await;
        kill(host.keeper);
        let known = driver.list().await.unwrap();
        assert_eq!(known[0].pid, pid);
        // The next keeper starts others outside of it.
        let mut plain = StartSpec { env: path(), ..host.script("readlink /proc/self/ns/pid") };
        plain.user = None;
        let own = fs::read_link("/proc/self/ns/pid").unwrap().display().to_string();
        assert_eq!(output(&host, plain).await.trim(), own);
        kill(pid);
        assert_eq!(ended(&driver, &spec).await.cause, EndCause::Signal(libc::SIGKILL), "{cgroups}");
        wait_for("only the keeper beneath the guard", || {
            (support::children(host.guard).len() == 1).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_start_that_fails_leaves_no_init() {
    let host = Host::new("off");
    let driver = host.connect();
    let mut spec = host.script("exit 0");
    spec.command = "/no/such/program".into();
    spec.confine.isolate.pid = true;
    assert_eq!(refused(&driver, &spec).await.step, "exec");
    wait_for("only the keeper", || (support::children(host.guard).len() == 1).then_some(())).await;
    assert!(alive(host.keeper));
}

#[tokio::test]
async fn without_the_machines_network_only_loopback_is_left_and_works() {
    let host = Host::new("auto");
    let mut spec = host.script("cut -d: -f1 -s /proc/net/dev; cat /sys/class/net/lo/flags 2>/dev/null; cat /proc/net/fib_trie | grep -c 127.0.0.1; exit 0");
    spec.env = path();
    spec.confine.isolate = Isolate { network: true, ipc: true, ..Isolate::default() };
    let text = output(&host, spec).await;
    let names: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(names[0], "lo", "{text}");
    assert!(!text.contains("eth"), "{text}");
    assert_ne!(names.last(), Some(&"0"), "the loopback has its address, so it is up: {text}");
}

#[tokio::test]
async fn its_own_mounts_hide_tmp_and_keep_its_folders() {
    let host = Host::new("auto");
    let folder = host.dir.path().join("alloc/tasks/web");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("mine"), "kept").unwrap();
    // Below /tmp or not, wherever tests put their files.
    let outside = std::env::temp_dir().join(format!("minijob-test-{}", std::process::id()));
    fs::write(&outside, "hidden").unwrap();
    let script = format!(
        "cat {}/mine; echo; ls -A /tmp | grep -c minijob-test; touch /tmp/x && stat -c %a /tmp; echo new > {}/made",
        folder.display(),
        folder.display()
    );
    let mut spec = StartSpec { env: path(), workdir: Some(folder.clone()), ..host.script(&script) };
    spec.confine.isolate.mount = true;
    spec.folders = vec![folder.clone()];
    let text = output(&host, spec).await;
    fs::remove_file(outside).unwrap();
    assert_eq!(text, "kept\n0\n1777\n");
    assert_eq!(fs::read_to_string(folder.join("made")).unwrap(), "new\n");
    assert!(!std::path::Path::new("/tmp/x").exists());
}

#[tokio::test]
async fn a_task_of_another_user_reaches_its_folder_and_its_volumes_through_what_was_made_on_the_way() {
    use std::os::unix::fs::PermissionsExt;
    let host = Host::new("auto");
    let folder = host.dir.path().join("alloc/tasks/web");
    let data = host.dir.path().join("data-volume");
    for made in [&folder, &data] {
        fs::create_dir_all(made).unwrap();
    }
    fs::set_permissions(host.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(data.join("row"), "1").unwrap();
    for own_tmp in [true, false] {
        let script = "pwd; cat deep/data/row; id -u";
        let mut spec = StartSpec { env: path(), workdir: Some(folder.clone()), ..host.script(script) };
        spec.user = Some(UserIds { uid: 65534, gid: 65534, groups: vec![65534] });
        spec.confine.isolate.mount = own_tmp;
        spec.folders = vec![folder.clone()];
        spec.binds = vec![Bind { source: data.clone(), target: folder.join("deep/data"), read_only: false }];
        assert_eq!(output(&host, spec).await, format!("{}\n165534\n", folder.display()), "{own_tmp}");
        fs::remove_dir_all(folder.join("deep")).unwrap();
    }
}

#[tokio::test]
async fn volumes_are_where_the_task_wants_them_and_as_writable_as_it_may() {
    let host = Host::new("auto");
    let folder = host.dir.path().join("alloc/tasks/web");
    let (data, fixed) = (host.dir.path().join("data-volume"), host.dir.path().join("fixed"));
    for made in [&folder, &data, &fixed] {
        fs::create_dir_all(made).unwrap();
    }
    fs::write(data.join("row"), "1").unwrap();
    fs::write(host.dir.path().join("one.conf"), "conf").unwrap();
    let bind = |source: &std::path::Path, target: &std::path::Path, read_only| Bind {
        source: source.to_owned(),
        target: target.to_owned(),
        read_only,
    };
    let mut spec = StartSpec { env: path(), workdir: Some(folder.clone()), ..host.script("") };
    spec.folders = vec![folder.clone()];
    spec.binds = vec![
        bind(&data, &folder.join("deep/data"), false),
        bind(&data, "/tmp/ro".as_ref(), true),
        bind(&host.dir.path().join("one.conf"), &folder.join("one.conf"), true),
        bind(&data, "/mnt".as_ref(), true),
    ];
    spec.args[1] = "cat deep/data/row one.conf; echo; echo 2 > deep/data/row; cat /tmp/ro/row /mnt/row; \
                    for f in /tmp/ro/row one.conf /mnt/row; do echo 3 2>/dev/null > $f && echo writable $f; done; exit 0"
        .into();
    assert_eq!(output(&host, spec.clone()).await, "1conf\n2\n2\n");
    assert_eq!(fs::read_to_string(data.join("row")).unwrap(), "2\n");
    assert!(!std::path::Path::new("/mnt/row").exists(), "nothing of it shows on the machine");
    // A task must not lead its next start astray.
    let driver = host.connect();
    fs::remove_dir_all(folder.join("deep")).unwrap();
    std::os::unix::fs::symlink("/etc", folder.join("deep")).unwrap();
    let astray = StartSpec { binds: spec.binds[..1].to_vec(), ..host.script("exit 0") };
    let failure = refused(&driver, &StartSpec { folders: spec.folders.clone(), ..astray }).await;
    assert_eq!((failure.step.as_str(), failure.errno), ("mount", Some(libc::ELOOP)), "{failure}");
    for (source, target, named) in
        [("/no/such/volume", "/mnt", "/no/such/volume"), ("/mnt", "/no/such/target", "/no/such/target")]
    {
        let spec =
            StartSpec { binds: vec![bind(source.as_ref(), target.as_ref(), false)], ..host.script("exit 0") };
        let failure = refused(&driver, &spec).await;
        assert_eq!(
            (failure.step.as_str(), failure.errno, failure.hopeless),
            ("mount", Some(libc::ENOENT), true)
        );
        assert!(failure.message.contains(named), "{failure}");
    }
}

#[tokio::test]
async fn a_keeper_without_tasks_leaves_with_its_data_directory() {
    let mut host = Host::staying();
    host.kill_agent();
    fs::remove_dir_all(host.data()).unwrap();
    wait_for("guard and keeper to leave", || (!alive(host.keeper) && !alive(host.guard)).then_some(())).await;
}
