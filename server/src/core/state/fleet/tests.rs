use proptest::prelude::*;

use super::page::Share;
use super::*;

fn row(node: u64, cpu: u64, memory: u64) -> Row {
    Row {
        node: NodeId(node),
        open: true,
        places: 2,
        cpu_millis: Share { all: 4000, free: cpu },
        memory_bytes: Share { all: 8 << 30, free: memory },
        dynamic_ports: 3,
    }
}

const NEED: Need = Need { cpu_millis: 1000, memory_bytes: 1 << 30, dynamic_ports: 1 };

fn fitting(fleet: &Fleet) -> Vec<u64> {
    let mut nodes: Vec<u64> = fleet.fitting(NEED).map(|(_, row)| row.node.0).collect();
    nodes.sort_unstable();
    nodes
}

#[test]
fn a_node_fits_while_it_lacks_nothing_and_takes_work() {
    let mut fleet = Fleet::default();
    fleet.put(NodeId(1), row(1, 1000, 1 << 30), Class::default());
    for (node, lacking) in [
        (2, row(2, 999, 1 << 30)),
        (3, row(3, 1000, (1 << 30) - 1)),
        (4, Row { open: false, ..row(4, 4000, 8 << 30) }),
        (5, Row { places: 0, ..row(5, 4000, 8 << 30) }),
        (6, Row { dynamic_ports: 0, ..row(6, 4000, 8 << 30) }),
    ] {
        fleet.put(NodeId(node), lacking, Class::default());
    }
    assert_eq!(fitting(&fleet), [1]);
}

#[test]
fn what_a_decision_takes_is_gone_for_it_and_for_nobody_else() {
    let mut fleet = Fleet::default();
    fleet.put(NodeId(1), row(1, 1500, 8 << 30), Class::default());
    let mut own = fleet.clone();
    own.take(own.seat(NodeId(1)).expect("a seat"), NEED);
    assert_eq!((fitting(&own), fitting(&fleet)), (vec![], vec![1]));
}

#[test]
fn use_is_told_in_thousandths_of_what_there_is() {
    let share = |all, free| Share { all, free };
    assert_eq!(share(4000, 3000).used_permille(1000), 500);
    assert_eq!(share(4000, 0).used_permille(1000), 1000, "never more than all");
    assert_eq!(share(0, 0).used_permille(0), 1000, "of nothing");
    assert_eq!(share(1 << 45, 0).used_permille(u64::MAX), 1000);
}

proptest! {
    /// Whatever comes and goes, every node has one seat with its own row, and a copy that was made before stays as it was.
    #[test]
    fn seats_are_a_map_of_rows(steps in proptest::collection::vec((any::<bool>(), 1u64..200, 0u64..4000), 0..300)) {
        let mut fleet = Fleet::default();
        let mut model = std::collections::BTreeMap::new();
        let mut kept = (fleet.clone(), model.clone());
        for (at, (comes, node, cpu)) in steps.into_iter().enumerate() {
            if comes {
                fleet.put(NodeId(node), row(node, cpu, 8 << 30), Class::default());
                model.insert(node, cpu);
            } else {
                fleet.leave(NodeId(node));
                model.remove(&node);
            }
            if at == 100 { kept = (fleet.clone(), model.clone()); }
        }
        for (fleet, model) in [(&fleet, &model), (&kept.0, &kept.1)] {
            let seated = |node: &u64| fleet.seat(NodeId(*node)).map(|seat| fleet.row(seat).cpu_millis.free);
            prop_assert!(model.iter().all(|(node, cpu)| seated(node) == Some(*cpu)));
            let large: Vec<u64> = model.iter().filter(|(_, cpu)| **cpu >= 1000).map(|(node, _)| *node).collect();
            prop_assert_eq!(fitting(fleet), large);
            prop_assert!(fleet.seats() <= 256, "seats are given out again");
        }
    }
}

/// What is balanced is better, and then what is fuller.
struct Balanced;

impl Score for Balanced {
    fn of(&self, cpu: f32, memory: f32) -> u32 {
        self.least((cpu, cpu), (memory, memory))
    }

    fn least(&self, cpu: (f32, f32), memory: (f32, f32)) -> u32 {
        let apart = (cpu.0 - memory.1).max(memory.0 - cpu.1).max(0.0);
        ((2.0 - cpu.1.min(1.0) - memory.1.min(1.0)) * 100.0) as u32 + (apart * 1000.0) as u32
    }
}

proptest! {
    /// Some hundred nodes on a few pages that change again and again, so that bounds are wide and stale.
    #[test]
    fn pages_that_are_passed_over_hide_no_better_node_and_are_counted(
        changes in proptest::collection::vec((0u64..200, 0u64..=4000, 0u64..=8, any::<bool>(), 0u8..20), 1..600),
    ) {
        let mut fleet = Fleet::default();
        for (node, cpu, gigabytes, open, what) in changes {
            match what {
                0 => fleet.leave(NodeId(node)),
                1..=5 if fleet.seat(NodeId(node)).is_some() => fleet.take(fleet.seat(NodeId(node)).expect("a seat"), NEED),
                _ => fleet.put(NodeId(node), Row { open, ..row(node, cpu, gigabytes << 30) }, Class::default()),
            }
        }
        let all: Vec<Rival> =
            fleet.fitting(NEED).map(|(seat, row)| (fleet.score(seat, NEED, &Balanced), row.node)).collect();
        let mut best: Option<Rival> = None;
        let count = fleet.each_fitting(NEED, &Balanced, |fit| {
            let rival = (fit.score, fit.node);
            best = Some(best.map_or(rival, |best| best.min(rival)));
            best
        });
        prop_assert_eq!((best, count), (all.iter().min().copied(), all.len()));
        let mut load = Load::default();
        fleet.all().for_each(|(_, row)| load += Load::of(&row));
        prop_assert_eq!((fleet.load(), fleet.load_of(|_| true)), (load, load), "whatever came and went");
    }
}
