//! How well a fleet is packed: mixes of sizes that are placed one job after another by the shipped scheduler, and what comes of it
//! beside what any scheduler would need. The same seed is the same fleet, the same jobs and the same figures.

use proto::ids::JobKey;
use proto::model::{Job, Resources, Spread};

use crate::kernel::{Kernel, machine, service};
use crate::rng::Rng;
use crate::sampled::Sampled;

/// What all machines of a fleet have: 8 cores and 32 GiB.
pub const MACHINE: Resources = Resources { cpu_millis: 8000, memory_bytes: 32 << 30 };
/// Racks: the machines are in them in turn.
pub const RACKS: usize = 25;

/// A mix of sizes.
#[derive(Clone, Copy, Debug)]
pub struct Mix {
    /// What it is called.
    pub name: &'static str,
    size: fn(&mut Rng) -> Resources,
    /// Allocations of one job.
    count: u32,
}

/// At most an eighth of a machine each; cpu and memory have nothing to do with each other.
pub const EASY: Mix = Mix { name: "easy sizes", size: easy, count: 1 };
/// The same, ten of each.
pub const EASY_TENS: Mix = Mix { name: "easy sizes, jobs of ten", size: easy, count: 10 };
/// From a quarter to more than half of a machine of the one, and little of the other: two of a kind leave what only the other kind can use.
pub const HARD: Mix = Mix { name: "hard sizes", size: hard, count: 1 };

fn easy(dice: &mut Rng) -> Resources {
    let cpu_millis = *dice.pick(&[50, 100, 200, 250, 500, 1000]);
    let megabytes: u64 = *dice.pick(&[128, 256, 512, 1024, 2048, 4096]);
    Resources { cpu_millis, memory_bytes: megabytes << 20 }
}

/// Parts of a machine in thousandths: the large one and the small one.
fn hard(dice: &mut Rng) -> Resources {
    let (large, small) = (dice.within(250, 600), dice.within(20, 200));
    let (cpu, memory) = if dice.chance(500) { (large, small) } else { (small, large) };
    Resources {
        cpu_millis: MACHINE.cpu_millis * cpu / 1000,
        memory_bytes: MACHINE.memory_bytes / 1000 * memory,
    }
}

/// Little cpu and much memory, all of them: what is left over of the cpu is of no use to anybody.
pub const LOPSIDED: Mix = Mix { name: "lopsided sizes", size: lopsided, count: 1 };

fn lopsided(dice: &mut Rng) -> Resources {
    let cpu_millis = *dice.pick(&[50, 100, 200]);
    let megabytes: u64 = *dice.pick(&[512, 1024, 2048, 4096]);
    Resources { cpu_millis, memory_bytes: megabytes << 20 }
}

/// Who decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decider {
    /// The shipped scheduler.
    Shipped,
    /// Best fit among so many machines that are drawn from those with room, by the score that Nomad publishes: how it places a service
    /// (as many as the logarithm of the fleet to the base 2, rounded up) and batch work (two).
    Sampling(usize),
}

/// A fleet that is being filled with a mix.
#[derive(Debug)]
pub struct Packing {
    mix: Mix,
    fleet: Fleet,
    dice: Rng,
    machines: usize,
    jobs: Vec<(JobKey, Resources)>,
    submitted: usize,
    asked: Asked,
}

#[derive(Debug)]
enum Fleet {
    Shipped(Box<Kernel>),
    Sampled(Sampled),
}

/// What all jobs together ask.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    cpu_millis: u64,
    memory_bytes: u64,
}

impl Packing {
    /// Makes an empty fleet.
    #[must_use]
    pub fn new(decider: Decider, mix: Mix, machines: usize, seed: u64) -> Self {
        let fleet = match decider {
            Decider::Shipped => Fleet::Shipped(Box::new(Kernel::with((0..machines).map(in_racks)))),
            Decider::Sampling(most) => Fleet::Sampled(Sampled::new(MACHINE, machines, most, seed)),
        };
        let dice = Rng::new(seed, mix.name);
        Self { mix, fleet, dice, machines, jobs: Vec::new(), submitted: 0, asked: Asked::default() }
    }

    /// Submits the next job of the mix; one that does not fit as a whole is taken back. Returns whether it was placed.
    ///
    /// # Errors
    /// When the state refuses what the scheduler decided.
    pub fn add(&mut self) -> Result<bool, String> {
        let size = (self.mix.size)(&mut self.dice);
        self.add_size(size)
    }

    fn add_size(&mut self, size: Resources) -> Result<bool, String> {
        self.submitted += 1;
        let job = service(&format!("job-{}", self.submitted), self.mix.count, size);
        let key = job.key.clone();
        if !self.fleet.place(job, size, self.mix.count)? {
            return Ok(false);
        }
        self.jobs.push((key, size));
        self.asked.cpu_millis += size.cpu_millis * u64::from(self.mix.count);
        self.asked.memory_bytes += size.memory_bytes * u64::from(self.mix.count);
        Ok(true)
    }

    /// Adds jobs until so much of the fleet is asked for, of cpu or of memory, in percent.
    ///
    /// # Errors
    /// See [`Self::add`]; and when one has no place before.
    pub fn fill_to(&mut self, percent: f64) -> Result<(), String> {
        while self.use_percent() < percent {
            if !self.add()? {
                return Err(format!("{}: full at {:.1} %", self.mix.name, self.use_percent()));
            }
        }
        Ok(())
    }

    /// Adds jobs until the first that has no place, and returns how much of the fleet is then in use, of the dimension that is used
    /// more, in percent.
    ///
    /// # Errors
    /// See [`Self::add`].
    pub fn fill(&mut self) -> Result<f64, String> {
        while self.add()? {}
        Ok(self.use_percent())
    }

    /// Ends a job, any, and adds the next, so often that as many have come as there are, `times` over.
    ///
    /// # Errors
    /// See [`Self::fill_to`].
    pub fn churn(&mut self, times: usize) -> Result<(), String> {
        let (there, goal) = (self.jobs.len(), self.use_percent());
        for _ in 0..there * times {
            if !self.jobs.is_empty() {
                let victim = self.dice.below(self.jobs.len() as u64) as usize;
                let (key, size) = self.jobs.swap_remove(victim);
                self.asked.cpu_millis -= size.cpu_millis * u64::from(self.mix.count);
                self.asked.memory_bytes -= size.memory_bytes * u64::from(self.mix.count);
                self.fleet.end(&key, size)?;
            }
            self.fill_to(goal)?;
        }
        Ok(())
    }

    /// Returns how many machines have something, divided by the least number that has room for it: what linear programming says, as if
    /// allocations could be cut.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.fleet.in_use() as f64 / self.bound().max(1) as f64
    }

    /// Returns on how few machines all of it fits when it is placed anew, one by one in the same order, divided by the least number that
    /// has room for it: Borg's cell compaction.
    ///
    /// # Errors
    /// See [`Self::add`].
    pub fn compacted(&self) -> Result<f64, String> {
        let (mut least, mut enough) = (self.bound(), self.machines);
        while least < enough {
            let middle = usize::midpoint(least, enough);
            if self.fits_on(middle)? {
                enough = middle;
            } else {
                least = middle + 1;
            }
        }
        Ok(enough as f64 / self.bound().max(1) as f64)
    }

    fn fits_on(&self, machines: usize) -> Result<bool, String> {
        let mut anew = Self::new(self.fleet.decider(), self.mix, machines, 0);
        for (_, size) in &self.jobs {
            if !anew.add_size(*size)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Places a job of so many with a spread over the racks, and returns by how many the rack with the most has more than the one with
    /// the least.
    ///
    /// # Errors
    /// See [`Self::add`]; and where not the shipped scheduler decides.
    pub fn skew(&mut self, count: u32) -> Result<usize, String> {
        let Fleet::Shipped(kernel) = &mut self.fleet else { return Err("it knows no spread".to_owned()) };
        let mut job = service("spread", count, Resources { cpu_millis: 50, memory_bytes: 64 << 20 });
        for group in job.groups.values_mut() {
            let racks = Spread { over: "meta.rack".to_owned(), weight: 50, targets: Default::default() };
            group.placement.spread.push(racks);
        }
        let key = kernel.submit(job);
        if kernel.place(&key)? < count as usize {
            return Err("the spread job has no place".to_owned());
        }
        let mut racks = [0usize; RACKS];
        for (_, alloc) in kernel.state.allocs.iter().filter(|(_, alloc)| *alloc.job == key) {
            racks[(alloc.node.0 - in_racks(0).id.0) as usize % RACKS] += 1;
        }
        let (most, least) = (racks.iter().max(), racks.iter().min());
        Ok(most.unwrap_or(&0) - least.unwrap_or(&0))
    }

    fn use_percent(&self) -> f64 {
        let machines = self.machines as f64;
        let cpu = self.asked.cpu_millis as f64 / MACHINE.cpu_millis as f64;
        let memory = self.asked.memory_bytes as f64 / MACHINE.memory_bytes as f64;
        cpu.max(memory) / machines * 100.0
    }

    fn bound(&self) -> usize {
        let cpu = self.asked.cpu_millis.div_ceil(MACHINE.cpu_millis);
        cpu.max(self.asked.memory_bytes.div_ceil(MACHINE.memory_bytes)) as usize
    }
}

impl Fleet {
    /// Places a job as a whole, or not at all; returns whether it was placed.
    fn place(&mut self, job: Job, size: Resources, count: u32) -> Result<bool, String> {
        match self {
            Self::Shipped(kernel) => {
                let key = kernel.submit(job);
                let fits = kernel.place(&key)? == count as usize;
                if !fits {
                    kernel.end(&key)?;
                }
                Ok(fits)
            }
            Self::Sampled(sampled) => Ok(sampled.place(&job.key, size, count)),
        }
    }

    fn end(&mut self, key: &JobKey, size: Resources) -> Result<(), String> {
        match self {
            Self::Shipped(kernel) => kernel.end(key),
            Self::Sampled(sampled) => {
                sampled.end(key, size);
                Ok(())
            }
        }
    }

    fn in_use(&self) -> usize {
        match self {
            Self::Shipped(kernel) => kernel.state.nodes.iter().filter(|(_, node)| node.taking > 0).count(),
            Self::Sampled(sampled) => sampled.in_use(),
        }
    }

    fn decider(&self) -> Decider {
        match self {
            Self::Shipped(_) => Decider::Shipped,
            Self::Sampled(sampled) => Decider::Sampling(sampled.most),
        }
    }
}

fn in_racks(number: usize) -> proto::model::NodeIdentity {
    let mut node = machine(number, MACHINE);
    node.attributes.insert("meta.rack".to_owned(), format!("rack-{}", number % RACKS));
    node
}
