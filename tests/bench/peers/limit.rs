//! The limit: one small loop that starts all services and starts each anew that ends, and knows nothing else.

use std::process::Child;

use super::{Ground, Peer, end};

/// One process for each time that services were asked for.
pub(super) struct Loop {
    ground: Ground,
    dir: tempfile::TempDir,
    loops: Vec<Child>,
}

impl Loop {
    pub(super) fn start(ground: &Ground) -> Result<Self, String> {
        Ok(Self { ground: ground.clone(), dir: ground.fresh("loop")?, loops: Vec::new() })
    }
}

impl Peer for Loop {
    fn add(&mut self, count: usize) -> Result<(), String> {
        let program = self.ground.stamp.with_file_name("loop");
        let mut command = self.ground.command(&program, self.dir.path());
        command.arg(count.to_string()).arg(&self.ground.stamp);
        self.loops.push(command.spawn().map_err(|error| format!("{}: {error}", program.display()))?);
        Ok(())
    }

    fn pids(&self) -> Vec<u32> {
        self.loops.iter().map(Child::id).collect()
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        end(&mut self.loops, self.dir.path());
    }
}
