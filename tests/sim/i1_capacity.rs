//! I1: no node is over-committed, neither in the books nor in truth.

use std::collections::{BTreeMap, BTreeSet};

use proto::ids::NodeId;
use proto::model::Resources;
use server::core::state::Kind;

use crate::laws::{Step, must};
use crate::machine::Machine;
use crate::sim::Broken;

const LAW: &str = "i1_capacity";

/// What nodes said that they have.
#[derive(Default)]
pub struct Capacity {
    said: BTreeMap<NodeId, Resources>,
}

impl Capacity {
    /// Adds up what the books say, from the allocations alone, and compares with what the node itself said that it has.
    pub fn step(&mut self, step: &Step<'_>) -> Result<(), Broken> {
        if let Kind::RegisterNode { identity, .. } = &step.command.kind {
            self.said.insert(identity.id, identity.capacity);
        }
        let mut taken: BTreeMap<NodeId, (Resources, BTreeSet<u16>)> = BTreeMap::new();
        for (_, alloc) in step.after.allocs.iter().filter(|(_, alloc)| alloc.counted) {
            let (sum, ports) = taken.entry(alloc.node).or_default();
            *sum = sum.plus(alloc.resources);
            for (_, port) in alloc.ports.iter() {
                must(LAW, ports.insert(*port), || format!("port {port} is given twice on {}", alloc.node.0))?;
            }
        }
        for (node, (sum, _)) in taken {
            let has = self.said.get(&node).copied().unwrap_or_default();
            must(LAW, sum.fits(has), || format!("node {} has {has:?} and is given {sum:?}", node.0))?;
        }
        Ok(())
    }

    /// Adds up what really runs.
    pub fn really(&self, machine: &Machine) -> Result<(), Broken> {
        let running = machine.processes.iter().filter(|(_, process)| process.ended.is_none());
        let allocs: BTreeSet<_> = running.map(|(attempt, _)| attempt.alloc).collect();
        let specs = allocs.iter().filter_map(|id| machine.disk.records.get(id));
        let sum = specs.fold(Resources::default(), |sum, record| sum.plus(record.spec.group.resources()));
        must(LAW, sum.fits(machine.capacity), || {
            format!("n{} has {:?} and {allocs:?} run there with {sum:?}", machine.number, machine.capacity)
        })
    }
}
