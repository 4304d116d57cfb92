//! What must hold in every moment that is looked at.

use std::collections::BTreeSet;

use proto::expr::{Expr, Facts};
use proto::ids::NodeId;
use proto::model::{Group, Port};
use server::core::state::{JobRecord, NodeRecord};

use crate::fleet::Fleet;

impl Fleet {
    /// # Panics
    /// When a law does not hold.
    pub fn look_at_laws(&mut self) {
        let found = self.state.check();
        assert!(found.is_empty(), "at {} ms: {found:#?}", self.now);
        let mut waiting = 0;
        for (key, record) in self.state.jobs.iter().filter(|(_, record)| !record.stopped) {
            for (name, group) in &record.current().job.groups {
                self.is_placed_or_waits(record, name, group);
                let memory = record.group(name).and_then(|memory| memory.wait.as_ref());
                let Some(wait) = memory.filter(|wait| wait.count > 0) else { continue };
                waiting += u64::from(wait.count);
                assert!(!wait.why.is_empty(), "{key}.{name} waits without a reason");
                if !group.kind.is_per_node() {
                    let takers = self.takers(record, name, group);
                    // Room may be kept for work that has waited long, on one node and one more for each fifty.
                    let kept = if self.leader.memory.keeps_room() { 1 + self.size.nodes / 50 } else { 0 };
                    let why = &wait.why;
                    assert!(
                        takers.len() <= kept,
                        "at {} ms {key}.{name} waits ({why}): {takers:?}",
                        self.now
                    );
                }
            }
        }
        self.tally.looks += 1;
        self.tally.most_waiting = self.tally.most_waiting.max(waiting);
        let live = self.state.jobs.iter().map(|(_, record)| record.live.len()).sum();
        self.tally.most_live = self.tally.most_live.max(live);
        self.tally.note_memory();
    }

    /// Everything that is wanted fills a slot, is done, waits for its time after a failure, or waits with a reason.
    fn is_placed_or_waits(&self, record: &JobRecord, name: &str, group: &Group) {
        let filled: BTreeSet<u32> =
            record.filled.get(name).map(|slots| slots.keys().copied().collect()).unwrap_or_default();
        let memory = record.group(name).cloned().unwrap_or_default();
        let failed = memory.failed.keys().filter(|index| !filled.contains(*index)).count();
        let waits = memory.wait.as_ref().map_or(0, |wait| wait.count as usize);
        let told = filled.len() + memory.done.len() + failed + waits;
        let wanted = match group.kind.is_per_node() {
            true => self.state.nodes.iter().filter(|(_, node)| node.takes_work()).count(),
            false => group.count as usize,
        };
        assert!(
            told >= wanted,
            "at {} ms {}.{name}: {told} of {wanted} are placed or told",
            self.now,
            record.key
        );
        let most = if group.kind.is_per_node() { self.size.nodes } else { group.count as usize };
        // More may be on their way out after a scaling, until the agents have ended them.
        let active =
            record.live.iter().filter_map(|id| self.state.allocs.get(*id)).filter(|one| one.is_active());
        assert!(active.count() <= most, "at {} ms {}.{name} runs more than {most}", self.now, record.key);
    }

    /// Returns the nodes that would take one more of a group, found in the plainest way.
    fn takers(&self, record: &JobRecord, name: &str, group: &Group) -> Vec<NodeId> {
        let constraints = &group.placement.constraints;
        let rules: Vec<Expr> = constraints.iter().map(|text| Expr::parse(text).unwrap()).collect();
        let slots = record.filled.get(name).into_iter().flat_map(|slots| slots.values());
        let here: BTreeSet<NodeId> =
            slots.filter_map(|id| self.state.allocs.get(*id)).map(|alloc| alloc.node).collect();
        let must_differ = group.placement.distinct.is_some();
        let avoid = record.group(name).map(|memory| memory.avoid.clone()).unwrap_or_default();
        let takes = |node: &NodeRecord| {
            let id = node.identity.id;
            let is_held = |port: &Port| matches!(port, Port::Static(number) if node.ports.contains(*number));
            node.takes_work()
                && group.resources().fits(node.free())
                && !avoid.contains(&id)
                && !(must_differ && here.contains(&id))
                && !group.ports.values().any(is_held)
                && rules.iter().all(|rule| rule.holds(&Facts::of(&node.identity)))
        };
        self.state.nodes.iter().filter(|(_, node)| takes(node)).map(|(id, _)| *id).collect()
    }
}
