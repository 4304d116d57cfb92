//! What happens to a cluster, at random: jobs come and change, agents do what they are told or not, work ends, nodes go and return.

use std::ops::Range;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proto::model::{AllocState, EndReason, JobType, Liveness};
use server::core::scheduler::Decision;
use server::core::state::{DrainStep, Kind};

use crate::plots::{JOBS, JobPlot, NodePlot, jobs, key, node_id, nodes};
use crate::world::World;

/// A cluster and what becomes of it.
#[derive(Clone, Debug)]
pub struct History {
    nodes: Vec<NodePlot>,
    jobs: Vec<JobPlot>,
    /// Whether work gives way to work of higher priority from the beginning.
    preemption: bool,
    steps: Vec<Step>,
}

/// One thing that happens; what has no object does nothing.
#[derive(Clone, Debug)]
enum Step {
    /// A job is submitted, or submitted again.
    Put(Index),
    /// It is submitted as another one.
    Change(Index, JobPlot),
    Scale(Index, u32),
    Stop(Index),
    /// Agents do what they are told: those of most nodes, or all.
    Act(Option<Index>),
    /// An allocation ends.
    End(Index, EndReason),
    Restart(Index),
    Lose(Index),
    Return(Index, bool),
    Cordon(Index, bool),
    /// A node is drained, within so many milliseconds or however long it takes.
    Drain(Index, Option<u64>),
    CancelDrain(Index),
    /// An agent registers anew, in another rack.
    Move(Index, usize),
    Pass(u64),
    AllowPreemption(bool),
}

/// Of drains, in milliseconds.
const DEADLINES: [Option<u64>; 4] = [None, Some(0), Some(30_000), Some(100_000)];

/// Histories that a test plays unless `PROPTEST_CASES` says how many.
pub fn cases(few: u32) -> ProptestConfig {
    let asked = std::env::var_os("PROPTEST_CASES").is_some();
    if asked { ProptestConfig::default() } else { ProptestConfig::with_cases(few) }
}

/// Histories of small clusters.
pub fn histories() -> impl Strategy<Value = History> {
    of(1..13, jobs(), steps(), 4..24)
}

/// Histories of clusters that have little room for what is asked, through more time.
pub fn crowded_histories() -> impl Strategy<Value = History> {
    let jobs = (jobs(), 3u64..8).prop_map(|(job, times)| job.grown(times));
    let much = prop_oneof![
        3 => steps(),
        3 => any::<Index>().prop_map(Step::Put),
        2 => Just(Step::Act(None)),
        1 => Just(Step::Pass(40_000)),
    ];
    of(1..5, jobs, much, 12..40)
}

/// Histories of small clusters, with much room or little.
pub fn any_histories() -> impl Strategy<Value = History> {
    prop_oneof![histories(), crowded_histories()]
}

/// Histories of clusters that the scheduler does not look at as a whole.
pub fn large_histories() -> impl Strategy<Value = History> {
    of(65..200, jobs(), steps(), 4..10)
}

fn of(
    count: Range<usize>,
    jobs: impl Strategy<Value = JobPlot>,
    steps: impl Strategy<Value = Step>,
    length: Range<usize>,
) -> impl Strategy<Value = History> {
    let parts = (nodes(count), vec(jobs, JOBS), proptest::bool::weighted(0.8), vec(steps, length));
    parts.prop_map(|(nodes, mut jobs, preemption, steps)| {
        // The one that others wait for.
        if jobs[0].kind.is_per_node() {
            jobs[0].kind = JobType::Service;
        }
        History { nodes, jobs, preemption, steps }
    })
}

fn steps() -> impl Strategy<Value = Step> {
    let which = any::<Index>;
    let ends = prop_oneof![
        Just(EndReason::Exit(1)),
        Just(EndReason::Exit(0)),
        Just(EndReason::StartFailed { step: "exec".into(), errno: 2, message: "no such file".into() }),
    ];
    prop_oneof![
        6 => which().prop_map(Step::Put),
        1 => (which(), jobs()).prop_map(|(at, job)| Step::Change(at, job)),
        2 => (which(), 0u32..9).prop_map(|(at, count)| Step::Scale(at, count)),
        1 => which().prop_map(Step::Stop),
        4 => proptest::option::of(which()).prop_map(Step::Act),
        2 => (which(), ends).prop_map(|(at, reason)| Step::End(at, reason)),
        1 => which().prop_map(Step::Restart),
        2 => which().prop_map(Step::Lose),
        2 => (which(), any::<bool>()).prop_map(|(at, with_all)| Step::Return(at, with_all)),
        2 => (which(), any::<bool>()).prop_map(|(at, is_cordoned)| Step::Cordon(at, is_cordoned)),
        2 => (which(), select(DEADLINES.to_vec())).prop_map(|(at, within)| Step::Drain(at, within)),
        1 => which().prop_map(Step::CancelDrain),
        1 => (which(), 0usize..4).prop_map(|(at, rack)| Step::Move(at, rack)),
        3 => select(vec![500u64, 2_000, 20_000, 40_000]).prop_map(Step::Pass),
        1 => proptest::bool::weighted(0.7).prop_map(Step::AllowPreemption),
    ]
}

impl History {
    /// Plays it, with a decision after each step, and every two seconds one about kept room before that. `look` sees the world, what is
    /// decided on it, and the world with that applied.
    pub fn play(
        &self,
        mut look: impl FnMut(&World, &Decision, &World) -> Result<(), TestCaseError>,
    ) -> Result<(), TestCaseError> {
        let mut world = World::new();
        for (number, node) in self.nodes.iter().enumerate() {
            world.register(node.identity(number as u64), vec![]);
        }
        world.allow_preemption(self.preemption);
        for step in &self.steps {
            self.take(step, &mut world);
            world.keep_room();
            let mut after = world.clone();
            let decision = after.decide_and_do();
            look(&world, &decision, &after)?;
            world = after;
        }
        Ok(())
    }

    /// Plays it and returns the world at its end.
    pub fn played(&self) -> World {
        let mut end = World::new();
        self.play(|_, _, after| {
            end = after.clone();
            Ok(())
        })
        .unwrap();
        end
    }

    fn take(&self, step: &Step, world: &mut World) {
        match step {
            Step::Put(at) => {
                let number = at.index(JOBS);
                world.put(self.jobs[number].job(number));
            }
            Step::Change(at, job) => {
                let number = at.index(JOBS);
                world.put(job.of_kind(self.jobs[number].kind).job(number));
            }
            Step::Scale(at, count) => {
                let number = at.index(JOBS);
                world.put(self.jobs[number].scaled(*count).job(number));
            }
            Step::Stop(at) => drop(world.apply(Kind::StopJob { key: key(at.index(JOBS)), purge: false })),
            Step::Act(idle) => {
                let idle = idle.map(|at| node_id(at.index(self.nodes.len()) as u64));
                world.agents_act(|alloc| Some(alloc.node) != idle);
            }
            Step::End(..) | Step::Restart(_) => self.happen_to_alloc(step, world),
            Step::Pass(ms) => world.pass(*ms),
            Step::AllowPreemption(is_on) => world.allow_preemption(*is_on),
            Step::Lose(at)
            | Step::Return(at, _)
            | Step::Cordon(at, _)
            | Step::Drain(at, _)
            | Step::CancelDrain(at)
            | Step::Move(at, _) => self.happen_to_node(at.index(self.nodes.len()), step, world),
        }
    }

    fn happen_to_alloc(&self, step: &Step, world: &mut World) {
        let running: Vec<_> =
            world.live().into_iter().filter(|alloc| alloc.state == AllocState::Running).collect();
        let (Step::End(at, _) | Step::Restart(at)) = step else { return };
        if running.is_empty() {
            return;
        }
        let id = running[at.index(running.len())].id;
        match step {
            Step::End(_, reason) => world.end(id, reason.clone()),
            _ => drop(world.apply(Kind::RestartAlloc { alloc: id })),
        }
    }

    fn happen_to_node(&self, number: usize, step: &Step, world: &mut World) {
        let node = node_id(number as u64);
        let is_up = world.state.nodes.get(&node).is_some_and(|node| node.liveness == Liveness::Up);
        match step {
            Step::Lose(_) if is_up => world.lose(node),
            Step::Return(_, with_all) if !is_up => world.come_back(node, *with_all),
            Step::Cordon(_, is_cordoned) => world.cordon(node, *is_cordoned),
            Step::Drain(_, within) => world.drain(node, within.map(Duration::from_millis)),
            Step::CancelDrain(_) => drop(world.apply(Kind::DrainNode { node, step: DrainStep::Cancel })),
            Step::Move(_, rack) if is_up => {
                let held = world.held_by(node);
                world.register(self.nodes[number].in_rack(*rack).identity(number as u64), held);
            }
            _ => {}
        }
    }
}
