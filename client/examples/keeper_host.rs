//! Plays the agent's first lines for tests: ensures a keeper, says so on standard output, and stays until it is killed or
//! its standard input ends. Usage: `keeper_host DATA_DIR [auto|v2|v1|off] [END_WITH_AGENT_MS]`.

use std::io::{Read, Write};
use std::time::Duration;

use client::keeper::{self, Choice, Config};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let data_dir: std::path::PathBuf = arguments.next().expect("a data directory").into();
    let cgroups = match arguments.next().as_deref() {
        None | Some("auto") => Choice::Auto,
        Some("v2") => Choice::V2,
        Some("v1") => Choice::V1,
        Some("off") => Choice::Off,
        Some(other) => panic!("{other} is no choice of control groups"),
    };
    let end_with_agent = arguments.next().map(|ms| Duration::from_millis(ms.parse().expect("milliseconds")));
    let line = match keeper::ensure(&Config { end_with_agent, cgroups, ..Config::new(data_dir) }) {
        Ok(keeper) => format!("ok {} {} {}", keeper.keeper_pid, keeper.guard_pid, keeper.found),
        Err(error) => format!("error {error}"),
    };
    let mut out = std::io::stdout();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("somebody reads");
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}
