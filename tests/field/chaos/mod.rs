//! Random faults, one after another and two at a time: each is begun, lasts, and is undone.

mod schedule;

use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::faults::clock::WallClock;

pub(crate) use schedule::{Fault, Round, Who, schedule};

/// What does the faults of a schedule to a cluster of three.
pub(crate) struct Chaos {
    clocks: Vec<WallClock>,
    /// From whom nothing arrives at whom, by every fault that lasts.
    cuts: Vec<(usize, usize)>,
    begin: Instant,
}

/// What ends a fault.
#[derive(Debug)]
enum Undo {
    StartServer(usize),
    ThawServer(usize),
    Mend(Vec<(usize, usize)>),
    ThawAgent(usize),
    StartAgent(usize),
    PowerOn(usize),
    Smooth,
    Clock(usize),
    /// What it was about was not there.
    Nothing,
}

impl Chaos {
    /// Prepares the machines, before anything runs on them.
    pub(crate) fn prepare(cluster: &mut Cluster) -> Self {
        let clocks = cluster.machines.iter_mut().map(WallClock::prepare).collect();
        Self { clocks, cuts: Vec::new(), begin: Instant::now() }
    }

    /// Lets a round happen, and undoes all of it.
    pub(crate) fn play(&mut self, cluster: &mut Cluster, round: &Round) {
        let lasting = self.begin(cluster, round.lasting);
        std::thread::sleep(round.before);
        let brief = self.begin(cluster, round.brief);
        std::thread::sleep(round.during);
        self.end(cluster, brief);
        std::thread::sleep(round.after);
        self.end(cluster, lasting);
        std::thread::sleep(round.pause);
    }

    fn begin(&mut self, cluster: &mut Cluster, fault: Fault) -> Undo {
        let undo = match fault {
            Fault::KillServer(one) => kill_server(cluster, number_of(cluster, one)),
            Fault::FreezeServer(one) => freeze_server(cluster, number_of(cluster, one)),
            Fault::Isolate(one) => {
                let one = number_of(cluster, one);
                self.cut(cluster, cluster.others(one).iter().flat_map(|other| both(one, *other)).collect())
            }
            Fault::Cut(one, other) => self.cut(cluster, both(one, other).into()),
            Fault::CutOneWay(from, to) => self.cut(cluster, vec![(from, to)]),
            Fault::FreezeAgent(one) => {
                let number = number_of(cluster, one);
                cluster.machines[number].freeze_agent(true);
                Undo::ThawAgent(number)
            }
            Fault::KillAgent(one) => {
                let number = number_of(cluster, one);
                cluster.kill_agent(number);
                Undo::StartAgent(number)
            }
            Fault::KillMachine(one) => {
                let number = number_of(cluster, one);
                cluster.kill_machine(number);
                Undo::PowerOn(number)
            }
            Fault::Slow => {
                cluster.worsen(Duration::from_millis(20), 20);
                Undo::Smooth
            }
            Fault::Clock(number, hours) => {
                self.clocks[number].jump(hours);
                Undo::Clock(number)
            }
        };
        self.tell(&format!("{fault:?}: ended by {undo:?}"));
        undo
    }

    fn end(&mut self, cluster: &mut Cluster, undo: Undo) {
        self.tell(&format!("{undo:?}"));
        match undo {
            Undo::StartServer(number) => cluster.start_server(number),
            Undo::ThawServer(number) => cluster.machines[number].freeze_server(false),
            Undo::Mend(cuts) => {
                for cut in cuts {
                    // Once: another fault may have cut the same.
                    let at = self.cuts.iter().position(|one| *one == cut).expect("it was cut");
                    self.cuts.swap_remove(at);
                }
                cluster.cut_exactly(&self.cuts);
            }
            Undo::ThawAgent(number) => cluster.machines[number].freeze_agent(false),
            Undo::StartAgent(number) => cluster.start_agent(number),
            Undo::PowerOn(number) => {
                cluster.power_on(number);
                cluster.start_server(number);
                cluster.start_agent(number);
            }
            Undo::Smooth => cluster.smooth(),
            Undo::Clock(number) => self.clocks[number].jump(0),
            Undo::Nothing => {}
        }
    }

    #[allow(clippy::print_stdout, reason = "who looks at a failed run wants to know when what was done")]
    fn tell(&self, what: &str) {
        println!("{:?} {what}", self.begin.elapsed());
    }

    fn cut(&mut self, cluster: &mut Cluster, cuts: Vec<(usize, usize)>) -> Undo {
        self.cuts.extend(&cuts);
        cluster.cut_exactly(&self.cuts);
        Undo::Mend(cuts)
    }
}

fn number_of(cluster: &Cluster, who: Who) -> usize {
    let busy = |number: &usize| cluster.machines[*number].space.pids().len();
    match who {
        Who::Leader => cluster.leader(),
        Who::Busiest => (0..cluster.machines.len()).max_by_key(busy).expect("there are machines"),
        Who::Machine(number) => number,
    }
}

fn both(one: usize, other: usize) -> [(usize, usize); 2] {
    [(one, other), (other, one)]
}

fn kill_server(cluster: &mut Cluster, number: usize) -> Undo {
    if cluster.machines[number].server.is_none() {
        return Undo::Nothing;
    }
    cluster.kill_server(number);
    Undo::StartServer(number)
}

fn freeze_server(cluster: &Cluster, number: usize) -> Undo {
    if cluster.machines[number].server.is_none() {
        return Undo::Nothing;
    }
    cluster.machines[number].freeze_server(true);
    Undo::ThawServer(number)
}
