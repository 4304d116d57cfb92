//! What the keeper costs, printed: `cargo test -p client --test keeper_measure -- --ignored --nocapture`.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement prints, and fails by panicking")]

mod support;

use std::fs;
use std::time::{Duration, Instant};

use client::driver::{Driver, StartSpec};
use support::Host;

fn pss_kb(pid: u32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    rollup
        .lines()
        .find_map(|line| line.strip_prefix("Pss:")?.split_whitespace().next()?.parse().ok())
        .unwrap()
}

fn cpu_ms(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<u64> =
        text.rsplit_once(") ").unwrap().1.split(' ').map(|field| field.parse().unwrap_or(0)).collect();
    (fields[11] + fields[12]) * 10
}

fn sleeper(host: &Host) -> StartSpec {
    StartSpec { command: "/bin/sleep".into(), args: vec!["100000".into()], ..host.script("") }
}

#[tokio::test]
#[ignore = "a measurement, not a promise"]
async fn start_latency_and_density() {
    for cgroups in ["v2", "v1", "off"] {
        let host = Host::new(cgroups);
        let driver = host.connect();
        let (before, threads) =
            ([pss_kb(host.keeper), pss_kb(host.guard)], fs::read_dir(format!("/proc/{}/task", host.keeper)));
        let mut latencies = Vec::new();
        let begun = Instant::now();
        let cpu = cpu_ms(host.keeper);
        for _ in 0..1000 {
            let one = Instant::now();
            driver.start(sleeper(&host)).await.unwrap().unwrap();
            latencies.push(one.elapsed());
        }
        let all = begun.elapsed();
        latencies.sort();
        let after = [pss_kb(host.keeper), pss_kb(host.guard)];
        println!(
            "{cgroups}: start p50 {:?} p99 {:?} max {:?}, 1000 in {all:?}, keeper cpu {} ms, threads {}",
            latencies[500],
            latencies[990],
            latencies[999],
            cpu_ms(host.keeper) - cpu,
            threads.unwrap().count(),
        );
        println!(
            "{cgroups}: PSS keeper {} -> {} kB, guard {} -> {} kB",
            before[0], after[0], before[1], after[1]
        );
        let (cpu, idle) = (cpu_ms(host.keeper) + cpu_ms(host.guard), Duration::from_secs(5));
        tokio::time::sleep(idle).await;
        println!("{cgroups}: idle cpu {} ms in {idle:?}", cpu_ms(host.keeper) + cpu_ms(host.guard) - cpu);
        drop(driver);
        let begun = Instant::now();
        let host = host.restart_agent();
        let ensured = begun.elapsed();
        let known = host.connect().list().await.unwrap().len();
        println!(
            "{cgroups}: re-adopted {known} in {:?}, of which the agent's start {ensured:?}",
            begun.elapsed()
        );
        support::kill(host.keeper);
        let begun = Instant::now();
        let known = host.connect().list().await.unwrap().len();
        println!("{cgroups}: {known} after the keeper's death in {:?}", begun.elapsed());
        let driver = host.connect();
        let begun = Instant::now();
        for known in driver.list().await.unwrap() {
            driver.stop(known.id, libc::SIGTERM, Duration::from_secs(5)).await.unwrap().unwrap();
        }
        let mut ends = driver.ends();
        for _ in 0..1000 {
            ends.next().await.unwrap();
        }
        println!("{cgroups}: 1000 stopped and ended in {:?}", begun.elapsed());
        for known in driver.list().await.unwrap() {
            driver.collect(known.id).await.unwrap().unwrap();
        }
    }
}

#[tokio::test]
#[ignore = "a measurement, not a promise"]
async fn a_loud_task_and_its_neighbours() {
    let host = Host::new("auto");
    let driver = host.connect();
    let mut loud = StartSpec {
        args: vec!["-c".into(), "exec yes 0123456789012345678901234567890".into()],
        ..host.script("")
    };
    loud.logs = client::logs::Policy { files: 3, file_bytes: 10 << 20 };
    let read = |pid: u32| -> u64 {
        let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap();
        io.lines().find_map(|line| line.strip_prefix("wchar: ")?.parse().ok()).unwrap()
    };
    driver.start(loud).await.unwrap().unwrap();
    let (begun, bytes, cpu) = (Instant::now(), read(host.keeper), cpu_ms(host.keeper));
    let mut latencies = Vec::new();
    while begun.elapsed() < Duration::from_secs(5) {
        let one = Instant::now();
        driver.start(sleeper(&host)).await.unwrap().unwrap();
        latencies.push(one.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let rate = (read(host.keeper) - bytes) as f64 / begun.elapsed().as_secs_f64() / 1e6;
    latencies.sort();
    println!(
        "loud: {rate:.0} MB/s, keeper cpu {} ms in 5 s, neighbours start p50 {:?} max {:?}, keeper PSS {} kB",
        cpu_ms(host.keeper) - cpu,
        latencies[latencies.len() / 2],
        latencies.last().unwrap(),
        pss_kb(host.keeper)
    );
}
