//! Which fault comes when: drawn from a seed, so that what was found is found again.

use std::time::Duration;

use tests::rng::Rng;

/// Whom it happens to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Who {
    /// The machine whose server leads when it happens.
    Leader,
    /// The machine on which most runs.
    Busiest,
    /// That machine.
    Machine(usize),
}

/// Something that happens to machines, and is undone after a while.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    /// A server's process is killed.
    KillServer(Who),
    /// A server's process stands still.
    FreezeServer(Who),
    /// Nothing passes between a machine and the others.
    Isolate(Who),
    /// Nothing passes between two machines.
    Cut(usize, usize),
    /// Nothing that the first sends arrives at the second.
    CutOneWay(usize, usize),
    /// An agent's process stands still.
    FreezeAgent(Who),
    /// An agent's process is killed.
    KillAgent(Who),
    /// A machine's power is cut.
    KillMachine(Who),
    /// Packets come late, and some never.
    Slow,
    /// A machine's time of day is so many hours ahead.
    Clock(usize, i64),
}

/// Two faults, one inside the other.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Round {
    /// The outer one, about agents or machines: long enough for their work to be replaced.
    pub(crate) lasting: Fault,
    /// How long after it the inner one begins.
    pub(crate) before: Duration,
    /// The inner one, about servers.
    pub(crate) brief: Fault,
    /// How long that lasts.
    pub(crate) during: Duration,
    /// How long the outer one goes on alone.
    pub(crate) after: Duration,
    /// How long nothing is wrong then.
    pub(crate) pause: Duration,
}

/// Returns that many rounds for three machines. Kinds of faults are dealt like cards: none comes again before all others have.
pub(crate) fn schedule(seed: u64, rounds: usize) -> Vec<Round> {
    let mut dice = Rng::new(seed, "faults");
    let (mut lasting, mut brief) = (Deck::of(LASTING), Deck::of(BRIEF));
    let span = |dice: &mut Rng, low, high| Duration::from_millis(dice.within(low, high));
    (0..rounds)
        .map(|_| Round {
            lasting: lasting.deal(&mut dice),
            before: span(&mut dice, 500, 2500),
            brief: brief.deal(&mut dice),
            during: span(&mut dice, 1500, 4500),
            after: span(&mut dice, 3000, 6000),
            pause: span(&mut dice, 500, 2500),
        })
        .collect()
}

/// Makes a fault of its kind.
type Card = fn(&mut Rng) -> Fault;

const LASTING: &[Card] = &[
    |dice| Fault::Isolate(with_work(dice)),
    |dice| Fault::FreezeAgent(with_work(dice)),
    |dice| Fault::KillMachine(with_work(dice)),
    |dice| Fault::KillAgent(with_work(dice)),
    |_| Fault::Slow,
    |dice| Fault::Clock(machine(dice), *dice.pick(&[-5, 3, 200])),
];

const BRIEF: &[Card] = &[
    |_| Fault::KillServer(Who::Leader),
    |dice| Fault::KillServer(Who::Machine(machine(dice))),
    |_| Fault::FreezeServer(Who::Leader),
    |dice| Fault::FreezeServer(Who::Machine(machine(dice))),
    |_| Fault::Isolate(Who::Leader),
    |dice| two(dice, Fault::Cut),
    |dice| two(dice, Fault::CutOneWay),
];

fn machine(dice: &mut Rng) -> usize {
    dice.below(3) as usize
}

/// A machine, rather one that has something to lose: work that was replaced does not come back.
fn with_work(dice: &mut Rng) -> Who {
    let one = machine(dice);
    if dice.chance(700) { Who::Busiest } else { Who::Machine(one) }
}

fn two(dice: &mut Rng, fault: fn(usize, usize) -> Fault) -> Fault {
    let one = machine(dice);
    fault(one, (one + 1 + dice.below(2) as usize) % 3)
}

/// Cards, dealt in random order, and shuffled when all have been.
struct Deck {
    all: &'static [Card],
    left: Vec<Card>,
}

impl Deck {
    fn of(all: &'static [Card]) -> Self {
        Self { all, left: Vec::new() }
    }

    fn deal(&mut self, dice: &mut Rng) -> Fault {
        if self.left.is_empty() {
            self.left = self.all.to_vec();
        }
        let next = dice.below(self.left.len() as u64) as usize;
        self.left.swap_remove(next)(dice)
    }
}

#[test]
fn a_seed_says_what_happens_and_every_kind_has_its_turn() {
    assert_eq!(schedule(7, 20), schedule(7, 20));
    assert_ne!(schedule(7, 20), schedule(8, 20));
    for seed in 0..50 {
        let kinds = |of: fn(&Round) -> Fault| {
            let kinds = schedule(seed, LASTING.len())
                .iter()
                .map(of)
                .map(|fault| std::mem::discriminant(&fault))
                .collect::<Vec<_>>();
            kinds.into_iter().collect::<std::collections::HashSet<_>>().len()
        };
        assert_eq!(kinds(|round| round.lasting), LASTING.len(), "seed {seed}");
        assert!(kinds(|round| round.brief) >= 3, "seed {seed}");
        let rounds = schedule(seed, 20);
        assert!(rounds.iter().all(|round| !matches!(round.brief, Fault::Cut(one, other) if one == other)));
    }
}
