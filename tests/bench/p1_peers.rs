//! The part of P1 that others play: one service, and many at once, from asking for them to the first instruction.

use std::time::Duration;

use crate::meter::now_ns;
use crate::peers::{Ground, Kind, Present};
use crate::report::{Row, Table, median};
use crate::stamps::Stamps;
use crate::{Bench, probe};

/// Who is compared.
const KINDS: [Kind; 6] =
    [Kind::Runsv, Kind::Runsvdir, Kind::S6, Kind::Supervisord, Kind::Docker, Kind::Nomad];
/// Until a service must have begun.
const SOON: Duration = Duration::from_secs(60);

/// The rows of all others.
pub(crate) struct Others {
    ground: Ground,
    present: Present,
    rows: Vec<(Kind, Row, Row)>,
}

/// How many services are asked for one after another in one round: fewer of those that take long.
const fn singles(kind: Kind) -> usize {
    match kind {
        Kind::Loop | Kind::Runsv | Kind::S6 => 30,
        Kind::Nomad => 10,
        Kind::Docker | Kind::Supervisord => 4,
        // Up to five seconds each.
        Kind::Runsvdir => 1,
    }
}

/// How many are asked for at once.
const fn group(kind: Kind) -> usize {
    if matches!(kind, Kind::Docker) { 20 } else { 50 }
}

impl Others {
    /// Finds out who is here.
    pub(crate) fn new(bench: &Bench, stamps: &Stamps) -> Self {
        let ground = Ground::new(&bench.tools, stamps, "stay");
        let present = Present::of(&KINDS, &ground);
        let rows = present.kinds().iter().map(|kind| {
            let (name, many) = (kind.name(), bench.size(group(*kind)));
            let one = Row::new(format!("{name}, one service, median"), "ms");
            (*kind, one, Row::new(format!("{name}, {many} services, call to last start"), "ms"))
        });
        let rows = rows.collect();
        Self { ground, present, rows }
    }

    /// Takes the turn of each: many at once of a fresh supervisor, then one after another.
    ///
    /// # Errors
    /// Who failed, and how.
    pub(crate) fn round(&mut self, bench: &Bench, stamps: &Stamps) -> Result<(), String> {
        for (kind, one, many) in &mut self.rows {
            let failed = |error| format!("{}: {error}", kind.name());
            let stamp = bench.tools.stamp();
            let (singles, group) = (bench.size(singles(*kind)), bench.size(group(*kind)));
            let limit = probe::spawn_ms(&stamp, stamps, group)?;
            let limits: Result<Vec<f64>, String> =
                (0..singles).map(|_| probe::spawn_ms(&stamp, stamps, 1)).collect();
            let mut peer = kind.start(&self.ground).map_err(failed)?;
            stamps.drain();
            let mut started = |count| {
                let begun = now_ns();
                peer.add(count)?;
                let last = stamps.take(count, SOON)?.iter().map(|stamp| stamp.at_ns).max();
                Ok::<f64, String>(last.unwrap_or(begun).saturating_sub(begun) as f64 / 1e6)
            };
            many.add_with(started(group).map_err(failed)?, limit);
            let taken: Result<Vec<f64>, String> = (0..singles).map(|_| started(1)).collect();
            one.add_with(median(&taken.map_err(failed)?), median(&limits?));
        }
        Ok(())
    }

    /// Adds the rows, and what is to be said of them.
    pub(crate) fn finish(self, table: &mut Table) {
        for (_, one, many) in self.rows {
            table.push(one);
            table.push(many);
        }
        table.note("runit: a `runsv` for each service is started directly. `runsvdir`: many are there when it starts, one is linked into its directory later, where it looks every one to five seconds. s6: linked into the directory, then `s6-svscanctl -a`.");
        table.note("supervisord: a file in its directory, then `supervisorctl update`. Docker: create and start over the engine's socket, static program as image, no network, all calls of a group at once. Nomad: registration over HTTP, `raw_exec`.");
        for note in self.present.notes() {
            table.note(note);
        }
    }
}
