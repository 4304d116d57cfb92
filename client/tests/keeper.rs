//! Tasks outlive the agent, the keeper and the guard; nothing else does.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use client::driver::conformance::end_of;
use client::driver::process::Status;
use client::driver::{Driver, EndCause, Ended, KnownState, StartSpec, Started};
use client::keeper::{self, Choice, Config, EnsureError};
use support::{Host, STUBBORN, alive, children, kill, wait_for};

async fn start(driver: &impl Driver, spec: &StartSpec) -> Started {
    driver.start(spec.clone()).await.expect("reached").expect("started")
}

async fn ended(driver: &impl Driver, spec: &StartSpec) -> Ended {
    end_of(&mut driver.ends(), &spec.id).await
}

#[tokio::test]
async fn a_killed_agent_costs_its_tasks_nothing() {
    let host = Host::new("auto");
    let (driver, spec) = (host.connect(), host.script("echo begun; read x < gate; echo over; exit 7"));
    nix::unistd::mkfifo(&host.dir.path().join("gate"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let spec = StartSpec { workdir: Some(host.dir.path().into()), ..spec };
    let started = start(&driver, &spec).await;
    host.printed(&spec, "begun").await;
    drop(driver);
    let (keeper, guard) = (host.keeper, host.guard);
    let host = host.restart_agent();
    assert_eq!((host.keeper, host.guard, host.found), (keeper, guard, true));
    let driver = host.connect();
    let known = driver.list().await.unwrap();
    assert_eq!((known.len(), known[0].pid), (1, started.pid));
    assert!(alive(started.pid));
    // It ends while no agent is there.
    drop(driver);
    fs::write(host.dir.path().join("gate"), "go\n").unwrap();
    wait_for("the end of the task", || (!alive(started.pid)).then_some(())).await;
    let end = ended(&host.connect(), &spec).await;
    assert_eq!((end.cause, end.tail.as_str()), (EndCause::Exit(7), "begun\nover\n"));
    assert_eq!(host.stdout(&spec), "begun\nover\n");
}

#[tokio::test]
async fn a_killed_keeper_costs_no_task_and_no_status() {
    for cgroups in ["auto", "off"] {
        let host = Host::new(cgroups);
        let driver = host.connect();
        let dir = host.dir.path();
        nix::unistd::mkfifo(&dir.join("gate"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let at = |spec| StartSpec { workdir: Some(dir.into()), ..spec };
        let long = at(host.script("echo one; read x < gate; echo two; exit 9"));
        let early = at(host.script("echo last words >&2; exit 5"));
        let short = at(host.script("sleep 0.3; exit 3"));
        let stubborn = host.script(STUBBORN);
        let pids = [start(&driver, &long).await.pid, start(&driver, &short).await.pid];
        start(&driver, &early).await;
        let early_end = ended(&driver, &early).await;
        let stubborn_pid = start(&driver, &stubborn).await.pid;
        host.printed(&stubborn, "ready").await;
        driver.stop(stubborn.id.clone(), libc::SIGTERM, Duration::from_millis(800)).await.unwrap().unwrap();
        host.printed(&long, "one").await;
        kill(host.keeper);
        // The stop's deadline and both ends are the next keeper's.
        let end = ended(&driver, &short).await;
        assert_eq!(end.cause, EndCause::Exit(3), "{cgroups}");
        let end = ended(&driver, &stubborn).await;
        assert_eq!((end.cause, end.stopped_by_us), (EndCause::Killed, true), "{cgroups}");
        assert!(!alive(stubborn_pid));
        let known = driver.list().await.unwrap();
        assert_eq!(known.len(), 4);
        assert!(pids.iter().all(|pid| known.iter().any(|known| known.pid == *pid)));
        assert!(alive(pids[0]));
        fs::write(dir.join("gate"), "go\n").unwrap();
        let end = ended(&driver, &long).await;
        assert_eq!((end.cause, end.tail.as_str()), (EndCause::Exit(9), "two\n"), "{cgroups}");
        assert_eq!(host.stdout(&long), "one\ntwo\n");
        assert_eq!(
            ended(&host.connect(), &early).await,
            early_end,
            "an end the old keeper knew, with its tail"
        );
        let new = wait_for("one keeper", || children(host.guard).first().cloned()).await;
        assert_ne!(new.0, host.keeper);
    }
}

#[tokio::test]
async fn a_killed_guard_is_replaced_by_the_keeper() {
    for cgroups in ["auto", "off"] {
        let host = Host::new(cgroups);
        let driver = host.connect();
        let running = host.script("trap 'exit 4' TERM; echo ready; while :; do sleep 0.02; done");
        let pid = start(&driver, &running).await.pid;
        host.printed(&running, "ready").await;
        kill(host.guard);
        wait_for("the guard's end", || (!alive(host.guard)).then_some(())).await;
        // New work is taken at once, by the same process in its new place or the keeper beneath it.
        let next = host.script("sleep 0.1; exit 6");
        let mut status = driver.status();
        let wanted = |status: &client::driver::process::Status| matches!(status, client::driver::process::Status::Connected { keeper_pid, .. } if *keeper_pid != host.keeper);
        tokio::time::timeout(support::PATIENCE, status.wait_for(wanted))
            .await
            .expect("another keeper")
            .unwrap();
        start(&driver, &next).await;
        assert_eq!(ended(&driver, &next).await.cause, EndCause::Exit(6), "{cgroups}");
        assert!(alive(pid), "the task goes on");
        driver.stop(running.id.clone(), libc::SIGTERM, Duration::from_secs(10)).await.unwrap().unwrap();
        let end = ended(&driver, &running).await;
        // Its status is known where the kernel tells it of other people's children.
        assert!(matches!(end.cause, EndCause::Exit(4) | EndCause::Lost), "{end:?}");
        assert!(!alive(pid));
    }
}

#[tokio::test]
async fn when_guard_and_keeper_die_ends_are_kept_and_nothing_runs_twice() {
    for cgroups in ["auto", "v1", "off"] {
        let mut host = Host::new(cgroups);
        let driver = host.connect();
        let done = host.script("echo fine; exit 3");
        let running = host.script("trap '' PIPE; (setsid sleep 1000 &) ; sleep 1000");
        start(&driver, &done).await;
        ended(&driver, &done).await;
        let pid = start(&driver, &running).await.pid;
        kill(host.guard);
        kill(host.keeper);
        wait_for("both ends", || (!alive(host.guard) && !alive(host.keeper)).then_some(())).await;
        host.kill_agent();
        // Between the two kills the keeper may have become a guard and made another keeper: then that one is found.
        let host = Host::at(Arc::clone(&host.dir), cgroups).expect("a new keeper");
        let end = ended(&driver, &done).await;
        assert_eq!((end.cause, end.tail.as_str()), (EndCause::Exit(3), "fine\n"));
        if !host.found {
            assert_eq!(ended(&driver, &running).await.cause, EndCause::Lost);
            assert!(!alive(pid), "{cgroups}: what was lost does not run any more");
        }
    }
}

#[tokio::test]
async fn in_dev_nothing_is_left_behind() {
    let mut host = Host::new("auto");
    let driver = host.connect();
    let spec = host.script("(setsid sleep 1000 &) ; exec sleep 1000");
    let pid = start(&driver, &spec).await.pid;
    drop(driver);
    host.kill_agent();
    wait_for("the end of all", || (![pid, host.guard, host.keeper].into_iter().any(alive)).then_some(()))
        .await;
    assert!(!host.data().join("keeper.sock").exists());
    let name = fs::read_to_string(host.data().join("keeper/name")).unwrap();
    for mount in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"] {
        assert!(
            !std::path::Path::new(mount).join("minijob").join(&name).exists(),
            "control groups are removed"
        );
    }
}

#[tokio::test]
async fn there_is_never_a_second_keeper() {
    let host = Host::new("auto");
    let second = Host::at(Arc::clone(&host.dir), "auto").unwrap();
    assert_eq!((second.keeper, second.found), (host.keeper, true));
    // Somebody holds the lock and answers nothing.
    let dir = Arc::new(tempfile::tempdir().unwrap());
    fs::create_dir(dir.path().join("data")).unwrap();
    let lock = fs::File::create(dir.path().join("data/keeper.lock")).unwrap();
    lock.lock().unwrap();
    let refused = Host::at(Arc::clone(&dir), "auto").err().expect("must be refused");
    assert!(refused.contains("another keeper holds"), "{refused}");
}

#[test]
fn a_process_with_threads_is_not_forked() {
    let config = Config { cgroups: Choice::Off, ..Config::new("/nonexistent") };
    assert!(matches!(keeper::ensure(&config), Err(EnsureError::Threads { count: 2.. })));
}

#[tokio::test]
async fn a_fence_is_kept_when_agent_and_keeper_are_dead() {
    let mut host = Host::new("auto");
    let driver = host.connect();
    let spec = host.script(STUBBORN);
    let pid = start(&driver, &spec).await.pid;
    let deadline = keeper::clock::boot_ms() + 700;
    driver.set_deadline(spec.id.clone(), Some(deadline)).await.unwrap().unwrap();
    host.kill_agent();
    kill(host.keeper);
    drop(driver);
    wait_for("the fence", || (!alive(pid)).then_some(())).await;
    let late = keeper::clock::boot_ms().saturating_sub(deadline);
    assert!(keeper::clock::boot_ms() >= deadline && late < 500, "{late} ms after the deadline");
    assert_eq!(ended(&host.connect(), &spec).await.cause, EndCause::Lease);
}

#[tokio::test]
async fn an_agent_that_does_not_read_delays_nobody() {
    let host = Host::new("auto");
    let deaf = std::os::unix::net::UnixStream::connect(host.data().join("keeper.sock")).unwrap();
    let hello = keeper::message::Request {
        seq: 1,
        ask: Some(keeper::message::Ask::Hello(keeper::message::Hello { version: 1, watch: true })),
    };
    let mut bytes = Vec::new();
    keeper::frame::encode(&hello, &mut bytes).unwrap();
    std::io::Write::write_all(&mut &deaf, &bytes).unwrap();
    let driver = host.connect();
    let text = "x".repeat(3000);
    for _ in 0..500 {
        let spec = host.script(&format!("echo {text}; exit 0"));
        start(&driver, &spec).await;
        assert_eq!(ended(&driver, &spec).await.cause, EndCause::Exit(0));
    }
    let known = driver.list().await.unwrap();
    assert!(known.iter().all(|known| matches!(known.state, KnownState::Ended(_))));
    assert_eq!(known.len(), 500);
}

/// Starts 200 attempts while a process of the keeper's is killed again and again; each must have run once. Returns their ends.
async fn start_under_fire(host: &Host, rounds: u64, victim: impl Fn(u32) -> u32) -> Vec<EndCause> {
    let driver = host.connect();
    let mut status = driver.status();
    let killer = async {
        for round in 0..rounds {
            let connected =
                status.wait_for(|status| matches!(status, Status::Connected { .. })).await.unwrap().clone();
            let Status::Connected { keeper_pid, .. } = connected else { unreachable!() };
            // Different distances into whatever it is doing.
            tokio::time::sleep(Duration::from_micros(700 * round + 100)).await;
            kill(victim(keeper_pid));
            status.wait_for(|status| matches!(status, Status::Away { .. })).await.unwrap();
        }
    };
    let runs = host.dir.path().join("runs");
    let script = |number| format!("echo {number} >> {}; exit {}", runs.display(), number % 100);
    let specs: Vec<StartSpec> = (0..200).map(|number| host.script(&script(number))).collect();
    let starter = async {
        for spec in &specs {
            // A start that meets the guard's death may fail, and leaves nothing then: the agent tries again.
            while let Err(failure) = driver.start(spec.clone()).await.expect("reached") {
                assert!(!failure.hopeless, "{failure:?}");
            }
        }
    };
    tokio::join!(killer, starter);
    let mut causes = Vec::new();
    for spec in &specs {
        causes.push(ended(&driver, spec).await.cause);
    }
    let text = fs::read_to_string(&runs).unwrap();
    let mut ran: Vec<u32> = text.lines().map(|line| line.parse().unwrap()).collect();
    ran.sort_unstable();
    assert_eq!(ran, (0..200).collect::<Vec<u32>>(), "each ran, and ran once");
    causes
}

#[tokio::test]
async fn killing_the_keeper_at_any_moment_runs_every_attempt_once() {
    let causes = start_under_fire(&Host::new("auto"), 8, |keeper| keeper).await;
    for (number, cause) in causes.into_iter().enumerate() {
        assert_eq!(cause, EndCause::Exit(number as i32 % 100), "attempt {number}");
    }
}

#[tokio::test]
async fn killing_the_guard_at_any_moment_runs_every_attempt_once() {
    for cgroups in ["auto", "off"] {
        let causes =
            start_under_fire(&Host::new(cgroups), 5, |keeper| support::stat(keeper).unwrap().1).await;
        for (number, cause) in causes.into_iter().enumerate() {
            let expected = EndCause::Exit(number as i32 % 100);
            // Only a guard knows the status of what ended as it died.
            assert!(cause == expected || cause == EndCause::Lost, "attempt {number}: {cause:?}");
        }
    }
}

#[tokio::test]
async fn an_upgraded_agent_uses_a_busy_keeper_and_replaces_an_empty_one() {
    let host = Host::new("auto");
    let newer = host.dir.path().join("newer");
    fs::copy(support::host_binary(), &newer).unwrap();
    let driver = host.connect();
    let spec = host.script("exec sleep 1000");
    let pid = start(&driver, &spec).await.pid;
    let upgraded = Host::of(&newer, Arc::clone(&host.dir), "auto").unwrap();
    assert_eq!((upgraded.found, upgraded.keeper), (true, host.keeper));
    assert!(alive(pid));
    driver.stop(spec.id.clone(), libc::SIGTERM, Duration::from_secs(5)).await.unwrap().unwrap();
    ended(&driver, &spec).await;
    driver.collect(spec.id.clone()).await.unwrap().unwrap();
    let upgraded = Host::of(&newer, Arc::clone(&host.dir), "auto").unwrap();
    assert!(!upgraded.found && upgraded.keeper != host.keeper);
    wait_for("the old ones to be gone", || (!alive(host.keeper) && !alive(host.guard)).then_some(())).await;
    // The driver of the running agent finds the new one by itself.
    let next = host.script("exit 2");
    start(&driver, &next).await;
    assert_eq!(ended(&driver, &next).await.cause, EndCause::Exit(2));
}

#[tokio::test]
async fn a_sigterm_ends_the_keeper_only_with_its_last_task_and_agent() {
    let host = Host::new("auto");
    let driver = host.connect();
    let spec = host.script("exec sleep 1000");
    let pid = start(&driver, &spec).await.pid;
    for pid in [host.guard, host.keeper] {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid as i32), nix::sys::signal::Signal::SIGTERM)
            .unwrap();
    }
    assert_eq!(driver.list().await.unwrap().len(), 1);
    assert!(alive(pid) && alive(host.keeper) && alive(host.guard));
    kill(pid);
    // As long as an agent is connected it needs its keeper.
    ended(&driver, &spec).await;
    assert_eq!(driver.list().await.unwrap().len(), 1);
    assert!(alive(host.keeper) && alive(host.guard));
    drop(driver);
    wait_for("guard and keeper to leave", || (!alive(host.keeper) && !alive(host.guard)).then_some(())).await;
    // The end was journaled: the next keeper still has it.
    let next = Host::at(Arc::clone(&host.dir), "auto").unwrap();
    assert!(!next.found);
    assert_eq!(ended(&next.connect(), &spec).await.cause, EndCause::Signal(libc::SIGKILL));
}

#[tokio::test]
async fn a_long_data_directory_is_no_obstacle() {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let deep = dir.path().join("d".repeat(120));
    fs::create_dir(&deep).unwrap();
    std::os::unix::fs::symlink(&deep, dir.path().join("data")).unwrap();
    let host = Host::at(dir, "auto").unwrap();
    let driver = client::driver::process::Processes::at(deep.join("keeper.sock"));
    let spec = host.script("exit 5");
    start(&driver, &spec).await;
    assert_eq!(ended(&driver, &spec).await.cause, EndCause::Exit(5));
}

#[tokio::test]
async fn garbage_and_crowds_on_the_socket_disturb_nobody() {
    use std::io::{Read, Write};
    let host = Host::new("auto");
    let driver = host.connect();
    let spec = host.script("exec sleep 1000");
    start(&driver, &spec).await;
    let open = || std::os::unix::net::UnixStream::connect(host.data().join("keeper.sock")).unwrap();
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 64], &[3, 0, 0, 0, 0xff, 0xff, 0xff]] {
        let mut stream = open();
        stream.write_all(garbage).unwrap();
        stream.set_read_timeout(Some(support::PATIENCE)).unwrap();
        assert_eq!(stream.read(&mut [0; 16]).unwrap_or(0), 0, "{garbage:?} must be hung up on");
    }
    let crowd: Vec<_> = (0..40).map(|_| open()).collect();
    assert_eq!(driver.list().await.unwrap().len(), 1);
    drop(crowd);
    driver.stop(spec.id.clone(), libc::SIGTERM, Duration::from_secs(5)).await.unwrap().unwrap();
    assert_eq!(ended(&driver, &spec).await.cause, EndCause::Signal(libc::SIGTERM));
    assert_eq!(fs::read_to_string(format!("/proc/{}/comm", host.keeper)).unwrap(), "minijob keeper\n");
}

#[tokio::test]
async fn the_socket_and_its_directory_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let host = Host::new("auto");
    let mode = |name: &str| fs::metadata(host.data().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("keeper.sock"), mode("keeper"), mode("keeper.lock")), (0o600, 0o700, 0o600));
}
