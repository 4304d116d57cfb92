//! P7 and P8, what dies and how soon it does not matter: measured by `tests/field/measure.rs`, whose machines are network namespaces, with
//! the program that was built beside this one.

use std::process::Command;

use tokio::runtime::Runtime;

use crate::Bench;
use crate::report::{Row, Table};

/// What begins a line with the figures of all rounds.
const FIGURE: &str = "figure: ";
/// How long pauses go on; with `--large` as long as is promised.
const PAUSES_S: usize = 60;
const PAUSES_LARGE_S: usize = 1800;

/// Runs P7.
pub(crate) fn nodes(bench: &Bench, _: &Runtime) -> Result<Table, String> {
    let mut table = measured(bench, "measure::p7_")?;
    table.note("Three servers and five agents on five machines, 50 allocations. A machine's power is cut: its wire is pulled, everything on it is killed, nobody is told. Until the process of the last replacement is there.");
    table.note("A silent node is taken for lost after 4 s (`node_timeout`) or after the second that is named: that is the limit.");
    table.note("Pauses: SIGSTOP to the server or the agent of a machine chosen at random, half a second apart on average, while twice as many loops as there are cores run beside them.");
    Ok(table)
}

/// Runs P8.
pub(crate) fn leaders(bench: &Bench, _: &Runtime) -> Result<Table, String> {
    let mut table = measured(bench, "measure::p8_")?;
    table.note("Three machines, each with a server and an agent. A writer submits job after job, each with a command of its own; the gap is the longest time between two that were acknowledged. What was acknowledged before a kill is there after it.");
    table.note("Asking any of three: the command tries the servers in their order, and may have to find out that the first does not answer. The machine has 17 of 50 tasks, or 16; until the process of the last replacement is there.");
    table.note("A silent leader is given up after 0.5 to 1 s (`raft.election_timeout`), a silent node after 4 s: these are the limits.");
    Ok(table)
}

/// Runs the tests with that name, and makes rows of what they print. A promise that was not kept is a line below the table.
fn measured(bench: &Bench, tests: &str) -> Result<Table, String> {
    let pauses = bench.size(if bench.large { PAUSES_LARGE_S } else { PAUSES_S });
    let mut command = Command::new(option_env!("CARGO").unwrap_or("cargo"));
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    command.args(["test", "--quiet", "-p", "tests", "--test", "field", tests]);
    command.args(["--", "--ignored", "--nocapture", "--test-threads=1"]);
    command.env("MINIJOB_BIN", ::tests::command::program());
    command.env("MJ_FIELD_ROUNDS", bench.rounds.to_string()).env("MJ_FIELD_SECONDS", pauses.to_string());
    let output = command.output().map_err(|error| format!("cargo: {error}"))?;
    let printed = String::from_utf8_lossy(&output.stdout);
    let mut table = Table::default();
    for line in printed.lines().filter_map(|line| line.strip_prefix(FIGURE)) {
        table.push(row(line).ok_or_else(|| format!("no figure: {line}"))?);
    }
    if table.is_empty() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last: Vec<&str> = said.lines().rev().take(20).collect();
        return Err(last.into_iter().rev().collect::<Vec<_>>().join("\n"));
    }
    for test in printed.lines().filter_map(failed) {
        table.note(format!("**Not kept**: the promise of `{test}`."));
    }
    if !output.status.success() {
        println!("{printed}\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(table)
}

/// Reads the name of a test that failed from a line of the tests' runner.
fn failed(line: &str) -> Option<&str> {
    line.trim_end().strip_suffix(" --- FAILED")?.split_whitespace().last()
}

/// Reads `WHAT | UNIT | VALUES`.
fn row(line: &str) -> Option<Row> {
    let mut parts = line.split(" | ");
    let (what, unit, values) = (parts.next()?, parts.next()?, parts.next()?);
    let mut row = Row::new(what, if unit == "s" { "s" } else { "" });
    for value in values.split_whitespace() {
        row.add(value.parse().ok()?);
    }
    Some(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_figure_is_a_row() {
        let mut table = Table::default();
        table.push(row("leader killed | s | 1.5 0.5 1.0").expect("it is one"));
        table.push(row("nodes taken for lost |  | 0").expect("it is one"));
        let text = table.markdown("head");
        assert!(text.contains("| leader killed | 1.00 (0.500 - 1.50) s |"), "{text}");
        assert!(text.contains("| nodes taken for lost | 0.0000"), "{text}");
        assert_eq!(failed("measure::p8_from --- FAILED"), Some("measure::p8_from"));
        assert!(row("nothing").is_none() && row("x | s | what").is_none());
    }
}
