//! The time of day jumps on one machine, for its server and its agent. The other clocks go on, as they do when a person sets the time.

use std::path::PathBuf;

use tests::shim;

use crate::machine::Machine;

/// What a machine's time of day is ahead by; may be changed at any time.
pub(crate) struct WallClock(PathBuf);

impl WallClock {
    /// Prepares a machine, before anything runs on it.
    pub(crate) fn prepare(machine: &mut Machine) -> Self {
        let library = shim::build("support/wall_clock.c", machine.dir()).expect("a C compiler");
        let file = machine.dir().join("clock");
        shim::tell(&file, &0i64.to_ne_bytes());
        let variables = [("LD_PRELOAD", &library), ("WALL_CLOCK_FILE", &file)];
        let variables = variables.map(|(name, path)| (name.to_owned(), path.display().to_string()));
        machine.environment.extend(variables);
        Self(file)
    }

    /// Lets it be ahead by so many hours; behind if there are fewer than none.
    pub(crate) fn jump(&self, hours: i64) {
        shim::tell(&self.0, &(hours * 3_600_000).to_ne_bytes());
    }
}
