//! What must hold after every command, whatever was asked. Simulation and tests call this after every step.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use proto::ids::{AllocId, NodeId};
use proto::model::{Group, Resources};

use super::nodes::row;
use super::{Alloc, Dependents, JobRecord, NodeRecord, State};

/// Something that must never be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(pub String);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl State {
    /// Returns what does not hold. Cost: a look at everything.
    #[must_use]
    pub fn check(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        for (id, node) in self.nodes.iter() {
            self.check_node(*id, node, &mut found);
        }
        for (_, job) in self.jobs.iter() {
            self.check_job(job, &mut found);
        }
        must(&mut found, self.per_node.iter().all(|key| self.jobs.get(key).is_some()), || {
            "a job that is gone is listed as running once per node".to_owned()
        });
        let mut dependents = Dependents::default();
        self.jobs.iter().for_each(|(_, job)| dependents.replace(None, Some(&job.current().job)));
        must(&mut found, dependents == self.dependents, || {
            format!("the index of who waits for whom is off: {:?}", self.dependents)
        });
        for (id, alloc) in self.allocs.iter() {
            self.check_alloc(id, alloc, &mut found);
        }
        for (since, id) in &self.settling {
            let settles = self
                .allocs
                .get(*id)
                .is_some_and(|alloc| alloc.running_since == Some(*since) && !alloc.healthy);
            must(&mut found, settles, || format!("{id} settles since {since} without reason"));
        }
        found.into_iter().map(Violation).collect()
    }

    /// I1: no node is over-committed, and the totals that plans are compared with are the sums they should be.
    fn check_node(&self, id: NodeId, node: &NodeRecord, found: &mut Vec<String>) {
        let mut sum = node.foreign.values().fold(Resources::default(), |sum, part| sum.plus(*part));
        let mut ports: BTreeMap<u16, AllocId> = BTreeMap::new();
        for alloc in node.allocs.iter().filter_map(|id| self.allocs.get(*id)).filter(|alloc| alloc.counted) {
            sum = sum.plus(alloc.resources);
            for (_, port) in alloc.ports.iter() {
                let double = ports.insert(*port, alloc.id);
                must(found, double.is_none(), || {
                    format!("I1: port {port} of node {id} is given to {} and {double:?}", alloc.id)
                });
            }
        }
        let counted =
            node.allocs.iter().filter_map(|id| self.allocs.get(*id)).filter(|alloc| alloc.counted).count();
        must(found, counted == node.taking, || {
            format!("node {id} counts {} allocations of {counted}", node.taking)
        });
        must(found, sum == node.used, || {
            format!("I1: node {id} counts {:?}, its work takes {sum:?}", node.used)
        });
        must(found, node.ports.iter().eq(ports.keys().copied()), || {
            format!("I1: the port table of node {id} is off")
        });
        must(found, self.nodes.is_draining(id) == node.is_draining(), || {
            format!("the list of nodes that are drained is off at {id}")
        });
        let seen = self.nodes.fleet().seat(id).map(|seat| self.nodes.fleet().row(seat));
        must(found, seen == Some(row(node)), || format!("the columns say {seen:?} of node {id}"));
        // Nothing was placed beyond what the node has; what it brought with it is as it is.
        let most = node.identity.capacity.most(node.brought);
        must(found, node.used.fits(most), || {
            format!("I1: node {id} is over-committed: {:?} of {:?}", node.used, node.identity.capacity)
        });
    }

    /// I2, the part of it that holds at every moment: a slot has at most one allocation that is not lost, and one more that leaves a
    /// drained node and is older.
    fn check_job(&self, job: &JobRecord, found: &mut Vec<String>) {
        let (mut slots, mut moves) = (BTreeSet::new(), 0);
        for id in &job.live {
            let Some(alloc) = self.allocs.get(*id) else {
                found.push(format!("job {} lists {id}, which is gone", job.key));
                continue;
            };
            must(found, !alloc.has_ended(), || format!("{id} has ended and is listed as live"));
            let filler = job.filler_of(&alloc.group, alloc.index);
            let leaves = job.is_leaving(alloc);
            moves += usize::from(leaves);
            let slot = (alloc.group.clone(), alloc.index);
            must(found, alloc.lost || leaves || slots.insert(slot), || {
                format!("I2: slot {} is filled twice, also by {id}", alloc.name())
            });
            must(found, (filler == Some(*id)) != (alloc.lost || leaves), || {
                format!("the list of filled slots is off at {}", alloc.name())
            });
            must(found, !leaves || (!alloc.lost && filler > Some(*id)), || {
                format!("I2: {id} leaves {}, which nothing younger fills", alloc.name())
            });
        }
        must(found, job.filled.values().map(imbl::OrdMap::len).sum::<usize>() == slots.len(), || {
            format!("job {} lists slots that nothing fills", job.key)
        });
        must(found, job.leaving.values().map(imbl::OrdMap::len).sum::<usize>() == moves, || {
            format!("job {} lists slots that nothing leaves", job.key)
        });
        self.check_per_node(job, found);
        for id in &job.ended {
            must(found, self.allocs.get(*id).is_some_and(Alloc::has_ended), || {
                format!("{id} is listed as ended")
            });
        }
    }

    /// What runs once per node is in its node's slot, and the list of such jobs is right.
    fn check_per_node(&self, job: &JobRecord, found: &mut Vec<String>) {
        let current = job.current();
        let is_per_node = |group: &Group| group.kind.is_per_node();
        let listed = self.per_node.contains(job.key.as_ref());
        must(found, listed == current.job.groups.values().any(is_per_node), || {
            format!("the list of jobs that run once per node is off at {}", job.key)
        });
        let live = job.live.iter().filter_map(|id| self.allocs.get(*id)).filter(|alloc| !alloc.lost);
        let of_now = live.filter(|alloc| current.work.get(&*alloc.group) == Some(&alloc.work));
        let per_node = of_now.filter(|alloc| current.job.groups.get(&*alloc.group).is_some_and(is_per_node));
        for alloc in per_node {
            let slot = job.group(&alloc.group).and_then(|group| group.node_slots.slot_of(alloc.node));
            must(found, slot == Some(alloc.index), || {
                format!("{} is on node {}, whose slot is {slot:?}", alloc.name(), alloc.node)
            });
        }
    }

    fn check_alloc(&self, id: AllocId, alloc: &Alloc, found: &mut Vec<String>) {
        must(found, id.0 < self.next_id, || format!("{id} is not below next_id {}", self.next_id));
        let listed = self
            .jobs
            .get(alloc.job.as_ref())
            .is_some_and(|job| job.live.contains(&id) || job.ended.contains(&id));
        must(found, listed, || format!("{id} is not listed by its job"));
        let placed = self.nodes.get(&alloc.node).is_some_and(|node| node.allocs.contains(&id));
        must(found, placed, || format!("{id} is not listed by its node"));
        must(found, !(alloc.counted && alloc.has_ended()), || format!("{id} has ended and takes room"));
        must(found, alloc.counted || alloc.has_ended() || alloc.lost, || {
            format!("{id} runs and takes no room")
        });
        let settling = alloc.running_since.filter(|_| !alloc.healthy && !alloc.has_ended());
        must(found, settling.is_none_or(|since| self.settling.contains(&(since, id))), || {
            format!("I4: {id} runs, is not healthy, and nothing will look at it")
        });
        let known = self.jobs.get(alloc.job.as_ref()).and_then(|job| job.version(alloc.version));
        must(found, alloc.has_ended() || alloc.lost || known.is_some(), || {
            format!("{id} runs a version that is forgotten")
        });
    }
}

fn must(found: &mut Vec<String>, holds: bool, otherwise: impl FnOnce() -> String) {
    if !holds {
        found.push(otherwise());
    }
}
