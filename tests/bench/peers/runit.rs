//! runit of Debian: a `runsv` for each service, alone or under `runsvdir`.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Child;

use super::{Ground, Peer, children, end, program};

/// Makes a service. The measured program itself is its `run`, so that no shell stands between.
pub(super) fn service(folder: &Path, stamp: &Path) -> Result<(), String> {
    std::fs::create_dir(folder).map_err(|error| error.to_string())?;
    symlink(stamp, folder.join("run")).map_err(|error| error.to_string())
}

/// `runsv` without the directory that is looked at every 5 seconds.
pub(super) struct Runsv {
    ground: Ground,
    runsv: PathBuf,
    dir: tempfile::TempDir,
    supervisors: Vec<Child>,
}

impl Runsv {
    pub(super) fn start(ground: &Ground) -> Result<Self, String> {
        let (runsv, dir) = (program("runit", "usr/bin/runsv")?, ground.fresh("runsv")?);
        Ok(Self { ground: ground.clone(), runsv, dir, supervisors: Vec::new() })
    }
}

impl Peer for Runsv {
    fn add(&mut self, count: usize) -> Result<(), String> {
        for _ in 0..count {
            let folder = self.dir.path().join(self.supervisors.len().to_string());
            service(&folder, &self.ground.stamp)?;
            let mut command = self.ground.command(&self.runsv, self.dir.path());
            let child = command.arg(&folder).spawn();
            self.supervisors.push(child.map_err(|error| format!("{}: {error}", self.runsv.display()))?);
        }
        Ok(())
    }

    fn pids(&self) -> Vec<u32> {
        self.supervisors.iter().map(Child::id).collect()
    }
}

impl Drop for Runsv {
    fn drop(&mut self) {
        end(&mut self.supervisors, self.dir.path());
    }
}

/// `runsvdir`. It is started with the first services that are asked for: a directory that has just changed keeps it waiting for a
/// second, later changes for up to five.
pub(super) struct Runsvdir {
    ground: Ground,
    dir: tempfile::TempDir,
    made: usize,
    supervisor: Option<Child>,
}

impl Runsvdir {
    pub(super) fn start(ground: &Ground) -> Result<Self, String> {
        program("runit", "usr/bin/runsvdir")?;
        let dir = ground.fresh("runsvdir")?;
        for folder in ["made", "scanned"] {
            std::fs::create_dir(dir.path().join(folder)).map_err(|error| error.to_string())?;
        }
        Ok(Self { ground: ground.clone(), dir, made: 0, supervisor: None })
    }
}

impl Peer for Runsvdir {
    fn add(&mut self, count: usize) -> Result<(), String> {
        for _ in 0..count {
            let name = self.made.to_string();
            let folder = self.dir.path().join("made").join(&name);
            service(&folder, &self.ground.stamp)?;
            symlink(&folder, self.dir.path().join("scanned").join(&name))
                .map_err(|error| error.to_string())?;
            self.made += 1;
        }
        if self.supervisor.is_none() {
            let runsvdir = program("runit", "usr/bin/runsvdir")?;
            let mut command = self.ground.command(&runsvdir, self.dir.path());
            let programs = runsvdir.parent().unwrap_or(Path::new("/usr/bin"));
            command.env("PATH", format!("{}:/usr/bin:/bin", programs.display()));
            let child = command.arg(self.dir.path().join("scanned")).spawn();
            self.supervisor = Some(child.map_err(|error| error.to_string())?);
        }
        Ok(())
    }

    fn pids(&self) -> Vec<u32> {
        let above = self.supervisor.as_ref().map(Child::id);
        above.into_iter().flat_map(|pid| [vec![pid], children(pid)].concat()).collect()
    }
}

impl Drop for Runsvdir {
    fn drop(&mut self) {
        end(self.supervisor.as_mut_slice(), self.dir.path());
    }
}
