//! P11, placement quality through the same code path as every placement: what a fleet of 500 machines needs and bears, beside what
//! linear programming says that any scheduler would. No time is in it: a round is another seed.

use tests::packing::{Decider, EASY, EASY_TENS, HARD, Mix, Packing};
use tokio::runtime::Runtime;

use crate::Bench;
use crate::report::{Row, Table};

/// Machines.
const MACHINES: usize = 500;
/// How often everything is replaced by something else.
const TIMES: usize = 10;
/// Allocations of the job that is spread.
const SPREAD: u32 = 310;

struct Rows {
    half: Row,
    churned: Row,
    compacted: Row,
    full: Row,
    full_churned: Row,
    skew: Row,
}

impl Rows {
    fn of(who: &str, mix: &Mix) -> Self {
        let ratio = |what: &str| Row::new(format!("{who}{}, {what}", mix.name), "x");
        let percent = |what: &str| Row::rate(format!("{who}{}, {what}", mix.name), "%");
        Self {
            half: ratio("machines in use at 50 %"),
            churned: ratio("machines in use at 50 % after all was replaced ten times"),
            compacted: ratio("machines needed for what filled 80 %"),
            full: percent("in use when the first has no place"),
            full_churned: percent("the same after all was replaced ten times"),
            skew: Row::new(
                format!("{}, at 50 %: spread of 310 over 25 racks, most less least", mix.name),
                "",
            ),
        }
    }
}

/// Runs the benchmark.
pub(crate) fn run(bench: &Bench, _: &Runtime) -> Result<Table, String> {
    let mut table = Table::default();
    let machines = bench.size(MACHINES);
    let deciders = [
        ("", Decider::Shipped),
        ("best of 9 drawn: ", Decider::Sampling(9)),
        ("best of 2 drawn: ", Decider::Sampling(2)),
    ];
    for (mix, (who, decider)) in
        [EASY, EASY_TENS, HARD].into_iter().flat_map(|mix| deciders.map(|by| (mix, by)))
    {
        let mut rows = Rows::of(who, &mix);
        for seed in 0..bench.rounds as u64 {
            let new = || Packing::new(decider, mix, machines, seed);
            one_seed(bench, new, &mut rows)?;
            if decider == Decider::Shipped {
                let mut spread = new();
                spread.fill_to(50.0)?;
                rows.skew.add(spread.skew(SPREAD)? as f64);
            }
        }
        for row in [rows.half, rows.churned, rows.compacted, rows.full, rows.full_churned, rows.skew] {
            table.push(row);
        }
    }
    table.note(format!("{machines} machines of 8 cores and 32 GiB, empty at first, decisions and plans as P10 has them, one job after another. A round is another seed; the same seed gives the same figures on every machine."));
    table.note("Easy: 50 m to a core and 128 MiB to 4 GiB, drawn apart. Hard: 25 to 60 % of a machine of cpu or of memory and 2 to 20 % of the other. Jobs of one allocation, or of ten alike.");
    table.note("Drawn: a model of the way in which Nomad places a service on 500 nodes (9) and batch work (2): machines with room drawn at random, the best of them by its published score, others of the same job avoided. The same jobs, machines and bounds; it is no measurement of Nomad.");
    table.note("Limit: what would do if allocations could be cut, for cpu and for memory, whichever asks more. Machines needed (Borg's cell compaction): the fewest on which the same jobs, in the same order, have places from scratch.");
    Ok(table)
}

fn one_seed(bench: &Bench, new: impl Fn() -> Packing, rows: &mut Rows) -> Result<(), String> {
    let mut packing = new();
    packing.fill_to(50.0)?;
    rows.half.add_with(packing.ratio(), 1.0);
    packing.churn(if bench.quick { 1 } else { TIMES })?;
    rows.churned.add_with(packing.ratio(), 1.0);
    rows.full_churned.add_with(packing.fill()?, 100.0);
    let mut packing = new();
    // Whoever does not get that far is measured where it got to.
    packing.fill_to(80.0).ok();
    rows.compacted.add_with(packing.compacted()?, 1.0);
    rows.full.add_with(packing.fill()?, 100.0);
    Ok(())
}
