//! P3, the density: what a task costs that does nothing, in memory, threads and CPU, and how long an agent that was killed takes to
//! have all of them again.

use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use crate::control::{purge_all, put, service};
use crate::meter::{Memory, cpu_ns, memory, now_ns, threads};
use crate::peers::{Ground, Kind, Peer, Present};
use crate::report::{Row, Table};
use crate::rig::Rig;
use crate::stamps::Stamps;
use crate::{Bench, probe};

/// Tasks of the agent, and of the limit.
const TASKS: usize = 1000;
/// Who is compared.
const KINDS: [Kind; 5] = [Kind::Runsv, Kind::S6, Kind::Supervisord, Kind::Docker, Kind::Nomad];
/// How long everything idles in all, in equal parts.
const IDLE: Duration = Duration::from_secs(60);
/// The same when only the benchmark is tried.
const IDLE_QUICK: Duration = Duration::from_secs(30);
/// After a start, until what follows it is over.
const SETTLED: Duration = Duration::from_secs(5);
/// Between two questions to an agent that starts.
const LOOK: Duration = Duration::from_millis(5);
/// Until tasks must have begun, and an agent must have them again.
const SOON: Duration = Duration::from_secs(60);

/// Runs the benchmark.
pub(crate) fn run(bench: &Bench, runtime: &Runtime) -> Result<Table, String> {
    runtime.block_on(async {
        let mut rig = Rig::observed(&bench.tools).await?;
        let stamps = Stamps::new(rig.dir(), "stamps");
        let (ground, tasks) = (Ground::new(&bench.tools, &stamps, "stay"), bench.size(TASKS));
        let mut table = Table::default();
        let present = Present::of(&KINDS, &ground);
        // Memory that the first tasks of a new agent make it take is its own, not theirs.
        let before = (memory(&daemons(&rig)), threads(&daemons(&rig)));
        let pids = fill(bench, &rig, &stamps, tasks).await?;
        let mut beside = Vec::new();
        for kind in [Kind::Loop].iter().chain(present.kinds()) {
            beside.push(Beside::start(*kind, bench, &ground, &stamps)?);
        }
        std::thread::sleep(SETTLED);
        idle(bench, &rig, tasks, before, beside, &mut table);
        come_back(bench, &mut rig, &pids, &mut table).map_err(|error| format!("{error}\n{}", rig.said()))?;
        let mut client = rig.client().await?;
        purge_all(&rig, &mut client, &["idle".to_owned()]).await?;
        table.note("Per task: of everything but the tasks, what is there with them, divided by their number: what an agent or an engine needs without any task is in it. kB are 1,000 bytes, shared pages are divided by those that share them.");
        table.note("Limit probe: one static C loop that has started the same tasks; of the agent's return, a pidfd for each task and one `poll`.");
        table.note("All idle side by side. \"Again\" is from SIGKILL of the agent, which is started anew at once, until it says that all run and a server has it registered.");
        for note in present.notes() {
            table.note(note);
        }
        Ok(table)
    })
}

/// The agent and its tasks' parents.
fn daemons(rig: &Rig) -> Vec<u32> {
    [vec![rig.agent_pid()], rig.keeper_pids()].concat()
}

/// Starts the tasks, and returns when the agent says that they run, and who they are.
async fn fill(bench: &Bench, rig: &Rig, stamps: &Stamps, tasks: usize) -> Result<Vec<u32>, String> {
    let mut client = rig.client().await?;
    let command = bench.tools.stamp().to_string_lossy().into_owned();
    let job = service("idle", tasks as u32, &command, &[&stamps.path()], Duration::from_secs(1));
    client.put_job(rig.request(put(&job))).await.map_err(|status| status.to_string())?;
    let pids = stamps.take(tasks, SOON)?.iter().map(|stamp| stamp.pid).collect();
    until_all_run(rig, tasks)?;
    Ok(pids)
}

fn until_all_run(rig: &Rig, tasks: usize) -> Result<(), String> {
    let begun = Instant::now();
    while rig.agent_runs() != Some(tasks) {
        if begun.elapsed() > SOON {
            return Err(format!("the agent says {:?} tasks run, not {tasks}", rig.agent_runs()));
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

/// A supervisor that idles beside ours.
struct Beside {
    peer: Box<dyn Peer>,
    count: usize,
    /// What it takes without any task.
    idle: u64,
    memory: Row,
    more: Row,
    threads: Row,
    cpu: Row,
    is_limit: bool,
}

/// Fewer tasks than ours where each has the same share of processes, and says so in its row.
const fn count(kind: Kind) -> usize {
    match kind {
        Kind::Loop => TASKS,
        Kind::Docker | Kind::Nomad => 20,
        Kind::Runsv | Kind::Runsvdir | Kind::S6 | Kind::Supervisord => 100,
    }
}

impl Beside {
    fn start(kind: Kind, bench: &Bench, ground: &Ground, stamps: &Stamps) -> Result<Self, String> {
        let count = bench.size(count(kind));
        let failed = |error| format!("{}: {error}", kind.name());
        let mut peer = kind.start(ground).map_err(failed)?;
        let idle = memory(&peer.pids()).pss;
        stamps.drain();
        peer.add(count).map_err(failed)?;
        stamps.take(count, SOON).map_err(failed)?;
        let row = |what: &str, unit| Row::new(format!("{}, {count} tasks, {what}", kind.name()), unit);
        Ok(Self {
            peer,
            count,
            idle,
            memory: row("PSS per task", "kB"),
            more: row("PSS per task beyond an idle one", "kB"),
            threads: row("threads per task", ""),
            cpu: row("CPU in all", "% of a core"),
            is_limit: kind == Kind::Loop,
        })
    }
}

/// Watches everything idle, and ends the others.
fn idle(
    bench: &Bench,
    rig: &Rig,
    tasks: usize,
    before: (Memory, u64),
    mut beside: Vec<Beside>,
    table: &mut Table,
) {
    let row = |what: &str, unit| Row::new(format!("minijob, {tasks} tasks, {what}"), unit);
    let (mut each, mut more) = (row("PSS per task", "kB"), row("PSS per task beyond an idle node", "kB"));
    let (mut agent, mut keeper) = (row("agent, PSS", "MB"), row("keeper and guard, PSS", "MB"));
    let mut server = row("the server beside them, PSS", "MB");
    let (mut added, mut cpu) = (row("threads beyond an idle node", ""), row("CPU in all", "% of a core"));
    let mut server_cpu = row("CPU of the server beside them", "% of a core");
    let (pids, servers) = (daemons(rig), [rig.server_pid()]);
    let idle = if bench.quick { IDLE_QUICK } else { IDLE } / bench.rounds as u32;
    for _ in 0..bench.rounds {
        let begun = (now_ns(), cpu_ns(&pids), cpu_ns(&servers));
        let theirs: Vec<u64> = beside.iter().map(|beside| cpu_ns(&beside.peer.pids())).collect();
        std::thread::sleep(idle);
        let over = now_ns().saturating_sub(begun.0) as f64;
        let percent = |pids: &[u32], before: u64| cpu_ns(pids).saturating_sub(before) as f64 / over * 100.0;
        let (ours, server_percent) = (percent(&pids, begun.1), percent(&servers, begun.2));
        let mut limit = 0.0;
        for (beside, before) in beside.iter_mut().zip(theirs) {
            let pids = beside.peer.pids();
            beside.cpu.add(percent(&pids, before));
            let each = |value: f64| value / beside.count as f64;
            let pss = memory(&pids).pss as f64;
            let (used, threads) = (each(pss / 1e3), each(threads(&pids) as f64));
            beside.memory.add(used);
            if beside.idle > 0 {
                beside.more.add(each((pss - beside.idle as f64) / 1e3));
            }
            beside.threads.add(threads);
            if beside.is_limit {
                limit = used;
            }
        }
        let all = memory(&pids).pss as f64;
        each.add_with(all / 1e3 / tasks as f64, limit);
        more.add((all - before.0.pss as f64) / 1e3 / tasks as f64);
        agent.add(memory(&[rig.agent_pid()]).pss as f64 / 1e6);
        keeper.add(memory(&rig.keeper_pids()).pss as f64 / 1e6);
        server.add(memory(&servers).pss as f64 / 1e6);
        added.add(threads(&pids).saturating_sub(before.1) as f64);
        cpu.add(ours);
        server_cpu.add(server_percent);
    }
    for row in [each, more, agent, keeper, server, added, cpu, server_cpu] {
        table.push(row);
    }
    for beside in beside.into_iter().filter(|beside| !beside.is_limit) {
        for row in [beside.memory, beside.more, beside.threads, beside.cpu] {
            table.push(row);
        }
    }
}

/// Kills the agent, starts it anew, and waits until it has all again.
fn come_back(bench: &Bench, rig: &mut Rig, pids: &[u32], table: &mut Table) -> Result<(), String> {
    let mut again = Row::new(format!("minijob, {} tasks, agent killed: all known again", pids.len()), "ms");
    for _ in 0..bench.rounds {
        let limit = probe::adopt_ms(pids)?;
        let begun = now_ns();
        rig.kill_agent();
        rig.start_agent();
        until_all_run(rig, pids.len())?;
        again.add_with(now_ns().saturating_sub(begun) as f64 / 1e6, limit);
        again.cpu(cpu_ns(&[rig.agent_pid()]) as f64 / 1e6);
        // A task that was started anew instead would be another process.
        if let Some(pid) = pids.iter().find(|pid| !tests::process::is_alive(**pid)) {
            return Err(format!("process {pid} did not survive its agent"));
        }
        std::thread::sleep(SETTLED / 5);
    }
    table.push(again);
    Ok(())
}
