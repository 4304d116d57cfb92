//! The part of P2 that others play: services that are killed, and crash loops of those that pace them as ours are paced.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::meter::{cpu_ns, now_ns};
use crate::p2_restart::{AGES, DELAY, LOOPS, kill_each, watch_loops};
use crate::peers::{Ground, Kind, Peer, Present};
use crate::report::{Row, Table, median};
use crate::stamps::Stamps;
use crate::{Bench, probe};

/// Who is compared.
const KINDS: [Kind; 5] = [Kind::Runsv, Kind::S6, Kind::Supervisord, Kind::Docker, Kind::Nomad];
/// Until a service must have begun.
const SOON: Duration = Duration::from_secs(30);

/// The rows of all others.
pub(crate) struct Others {
    staying: Ground,
    failing: Ground,
    present: Present,
    rows: Vec<Rows>,
}

struct Rows {
    kind: Kind,
    old: Row,
    young: Row,
    loops: Row,
}

/// Kills in one round, of services that have run for a while and of young ones: fewer of those that take a second each.
const fn kills(kind: Kind) -> (usize, usize) {
    match kind {
        Kind::Loop | Kind::Runsv | Kind::Runsvdir => (40, 5),
        Kind::S6 | Kind::Supervisord => (8, 4),
        Kind::Nomad => (10, 5),
        // Each container once: its delay doubles with each end until it has run for 10 s.
        Kind::Docker => (4, 4),
    }
}

/// The delay of its own that is subtracted, as ours is.
const fn delay(kind: Kind) -> Duration {
    if matches!(kind, Kind::Docker) { DELAY } else { Duration::ZERO }
}

/// Whether it starts what fails at once again once a second, as ours does here.
const fn paces_loops(kind: Kind) -> bool {
    matches!(kind, Kind::Runsv | Kind::S6)
}

impl Others {
    /// Finds out who is here.
    pub(crate) fn new(bench: &Bench, stamps: &Stamps) -> Self {
        let staying = Ground::new(&bench.tools, stamps, "stay");
        let failing = Ground::new(&bench.tools, stamps, "exit");
        let present = Present::of(&KINDS, &staying);
        let rows = present.kinds().iter().map(|kind| {
            let delay = if delay(*kind).is_zero() { "" } else { " minus its delay of 100 ms" };
            let row =
                |age: &str| Row::new(format!("{}{delay}, killed after {age}, median", kind.name()), "ms");
            let loops = Row::new(format!("{}: 100 crash loops, all supervisors", kind.name()), "% of a core");
            Rows { kind: *kind, old: row("3 s"), young: row("0.2 s"), loops }
        });
        let rows = rows.collect();
        Self { staying, failing, present, rows }
    }

    /// Takes the turn of each.
    ///
    /// # Errors
    /// Who failed, and how.
    pub(crate) fn round(&mut self, bench: &Bench, stamps: &Stamps) -> Result<(), String> {
        for rows in &mut self.rows {
            let name = rows.kind.name();
            one(bench, stamps, &self.staying, rows).map_err(|error| format!("{name}: {error}"))?;
            if paces_loops(rows.kind) {
                stamps.drain();
                let mut peer = rows.kind.start(&self.failing)?;
                peer.add(LOOPS)?;
                stamps.take(LOOPS, SOON)?;
                watch_loops(&peer.pids(), stamps, &mut rows.loops);
            }
        }
        Ok(())
    }

    /// Adds the rows, and what is to be said of them.
    pub(crate) fn finish(self, table: &mut Table) {
        for rows in self.rows {
            table.push(rows.old);
            table.push(rows.young);
            table.push(rows.loops);
        }
        table.note("None but Docker has a delay of its own: runit starts nothing twice within a second, s6 waits for one before each restart, supervisord acts once a second. Docker: `restart: always`, each container killed once, because its delay doubles. Nomad: with a delay of 0.");
        table.note("CPU of peers is that of their supervisors, and not given for Docker and Nomad, where most of it is that of processes that have ended. Crash loops are compared where one start a second is the pace: supervisord, Docker and Nomad wait longer and longer, or give up.");
        for note in self.present.notes() {
            table.note(note);
        }
    }
}

fn one(bench: &Bench, stamps: &Stamps, ground: &Ground, rows: &mut Rows) -> Result<(), String> {
    let (old, young) = kills(rows.kind);
    let (old, young) = (bench.size(old), bench.size(young));
    let limit = median(&probe::restart_ms(&bench.tools.stamp(), stamps, old)?);
    let mut peer = rows.kind.start(ground)?;
    stamps.drain();
    peer.add(old)?;
    let tasks = stamps.take(old, SOON)?;
    let begun = cpu_ns(&peer.pids());
    let taken = kill_each(tasks, stamps, old, AGES[0])?;
    let cpu = cpu_ns(&peer.pids()).saturating_sub(begun);
    let without_delay = |taken: &[f64]| median(taken) - delay(rows.kind).as_secs_f64() * 1e3;
    rows.old.add_with(without_delay(&taken), limit);
    if !matches!(rows.kind, Kind::Docker | Kind::Nomad) {
        rows.old.cpu(cpu as f64 / 1e6 / old as f64);
    }
    let taken = kill_young(peer.as_mut(), stamps, young)?;
    rows.young.add_with(without_delay(&taken), limit);
    Ok(())
}

/// Kills new services, one after another: those that wait for their turn would be young no more.
fn kill_young(peer: &mut dyn Peer, stamps: &Stamps, kills: usize) -> Result<Vec<f64>, String> {
    let mut taken = Vec::new();
    for _ in 0..kills {
        peer.add(1)?;
        let task = stamps.next(SOON)?;
        let ran = Duration::from_nanos(now_ns().saturating_sub(task.at_ns));
        std::thread::sleep(AGES[1].saturating_sub(ran));
        let killed = now_ns();
        tests::process::signal(task.pid, Signal::SIGKILL);
        taken.push(stamps.next(SOON)?.at_ns.saturating_sub(killed) as f64 / 1e6);
    }
    Ok(taken)
}
