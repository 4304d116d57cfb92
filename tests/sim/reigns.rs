//! Reigns: an agent follows nobody of an older reign than the newest it was told of, and only the server that began the reign of an
//! order gives it. So who led before, lags, or came from an old copy makes no agent do anything.

use std::collections::BTreeMap;

use client::core::assignments::Position;
use server::core::state::Kind;

use crate::laws::{Step, must};
use crate::leader::server_id;
use crate::sim::Broken;

const LAW: &str = "reigns";

/// Who began which reign, and what agents know of that.
#[derive(Default)]
pub struct Reigns {
    begun: BTreeMap<u64, u64>,
    /// By machine.
    told: BTreeMap<usize, u64>,
}

impl Reigns {
    pub fn step(&mut self, step: &Step<'_>) -> Result<(), Broken> {
        if let Kind::BeginReign { server, .. } = &step.command.kind {
            self.begun.insert(step.after.revision.0, server.0);
        }
        Ok(())
    }

    /// A server has told an agent where its state is.
    pub fn told(&mut self, machine: usize, position: Position) {
        let newest = self.told.entry(machine).or_default();
        *newest = (*newest).max(position.reign.0);
    }

    /// A machine has lost what it knew.
    pub fn forget(&mut self, machine: usize) {
        self.told.remove(&machine);
    }

    /// An agent is about to do what a server has sent.
    pub fn follow(&self, machine: usize, server: usize, position: Position) -> Result<(), Broken> {
        let reign = position.reign.0;
        let newest = self.told.get(&machine).copied().unwrap_or_default();
        must(LAW, reign >= newest, || format!("n{machine} follows reign {reign}, it was told of {newest}"))?;
        let by = self.begun.get(&reign).copied();
        must(LAW, by == Some(server_id(server).0), || {
            format!("n{machine} follows server {server} in reign {reign}, which was begun by {by:?}")
        })
    }
}
