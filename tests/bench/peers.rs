//! Other supervisors, in the same round as ours.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::stamps::Stamps;

/// Returns runit's `runsv`, if there is one.
pub(crate) fn runsv() -> Option<PathBuf> {
    std::env::var_os("MJ_RUNSV").map(PathBuf::from).filter(|path| path.is_file())
}

/// Says which peers took part.
pub(crate) fn presence() -> String {
    let runit = match runsv() {
        Some(_) => "runit of Debian takes part",
        None => "runit is missing (MJ_RUNSV names no program)",
    };
    let nomad = match std::env::var_os("MJ_NOMAD") {
        Some(_) => "Nomad is not driven by this harness, although MJ_NOMAD names one",
        None => "Nomad is missing (MJ_NOMAD names no program)",
    };
    format!("Peers: {runit}; {nomad}.")
}

/// A `runsv` for each of some services, as `runsvdir` would start them.
pub(crate) struct Runit {
    dir: tempfile::TempDir,
    supervisors: Vec<Child>,
}

impl Runit {
    /// Starts them. The program itself is the service's `run`, so that no shell stands between.
    ///
    /// # Errors
    /// What keeps a supervisor from starting.
    pub(crate) fn start(
        runsv: &Path,
        dir: &Path,
        stamp: &Path,
        stamps: &Stamps,
        count: usize,
        mode: &str,
    ) -> Result<Self, String> {
        let dir = tempfile::Builder::new().prefix("runit-").tempdir_in(dir).map_err(|e| e.to_string())?;
        let mut runit = Self { dir, supervisors: Vec::new() };
        for number in 0..count {
            let service = runit.dir.path().join(number.to_string());
            std::fs::create_dir(&service).map_err(|error| error.to_string())?;
            std::os::unix::fs::symlink(stamp, service.join("run")).map_err(|error| error.to_string())?;
            let mut command = Command::new(runsv);
            command.arg(&service).env("STAMP_PIPE", stamps.path()).env("STAMP_MODE", mode);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            runit.supervisors.push(command.spawn().map_err(|error| format!("{}: {error}", runsv.display()))?);
        }
        Ok(runit)
    }

    /// The supervisors' processes.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.supervisors.iter().map(Child::id).collect()
    }
}

impl Drop for Runit {
    fn drop(&mut self) {
        for child in &mut self.supervisors {
            child.kill().ok();
            child.wait().ok();
        }
        // The services, whose environment names the pipe; their command line is `./run`.
        for pid in tests::process::mentioning(self.dir.path()) {
            tests::process::signal(pid, nix::sys::signal::Signal::SIGKILL);
        }
        let services = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let inside = |path: PathBuf| {
            std::fs::read_link(path.join("cwd")).is_ok_and(|cwd| cwd.starts_with(self.dir.path()))
        };
        for entry in services.filter(|entry| inside(entry.path())) {
            if let Ok(pid) = entry.file_name().to_string_lossy().parse() {
                tests::process::signal(pid, nix::sys::signal::Signal::SIGKILL);
            }
        }
    }
}
