//! s6 of Debian: `s6-svscan` over a directory, an `s6-supervise` for each service. Its programs know each other by where Debian
//! installs them: they are laid over /usr/bin in a mount namespace that is theirs alone.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use super::runit::service;
use super::{Ground, Peer, children, end, program, unpacked, until};

const LAID_OVER: &str =
    "mount -t overlay overlay -o lowerdir=\"$1\":/usr/bin /usr/bin && shift && exec \"$@\"";

pub(super) struct S6 {
    ground: Ground,
    dir: tempfile::TempDir,
    made: usize,
    scanner: Child,
}

impl S6 {
    pub(super) fn start(ground: &Ground) -> Result<Self, String> {
        let (svscan, dir) = (program("s6", "usr/bin/s6-svscan")?, ground.fresh("s6")?);
        for folder in ["made", "scanned"] {
            std::fs::create_dir(dir.path().join(folder)).map_err(|error| error.to_string())?;
        }
        if !nix::unistd::geteuid().is_root() {
            return Err("a mount namespace needs root".into());
        }
        let mut command = ground.command(Path::new("/usr/bin/unshare"), dir.path());
        with_libraries(&mut command).args([
            "--mount",
            "--propagation",
            "private",
            "/bin/sh",
            "-c",
            LAID_OVER,
            "sh",
        ]);
        command.arg(unpacked("s6").join("usr/bin")).arg(&svscan).arg(dir.path().join("scanned"));
        let scanner = command.spawn().map_err(|error| format!("unshare: {error}"))?;
        let s6 = Self { ground: ground.clone(), dir, made: 0, scanner };
        let control = s6.scanned().join(".s6-svscan/control");
        until(s6.dir.path(), "control pipe of s6-svscan", || control.exists())?;
        Ok(s6)
    }

    fn scanned(&self) -> PathBuf {
        self.dir.path().join("scanned")
    }
}

/// Its programs look for each other in PATH, and for libraries that are unpacked beside them.
fn with_libraries(command: &mut Command) -> &mut Command {
    let root = unpacked("s6");
    command.env("PATH", format!("{}:/usr/bin:/bin", root.join("usr/bin").display()));
    command.env("LD_LIBRARY_PATH", super::libraries("s6"))
}

impl Peer for S6 {
    fn add(&mut self, count: usize) -> Result<(), String> {
        for _ in 0..count {
            let name = self.made.to_string();
            let folder = self.dir.path().join("made").join(&name);
            service(&folder, &self.ground.stamp)?;
            symlink(&folder, self.scanned().join(&name)).map_err(|error| error.to_string())?;
            self.made += 1;
        }
        let control: &Path = &program("s6", "usr/bin/s6-svscanctl")?;
        let mut command = self.ground.command(control, self.dir.path());
        let told = with_libraries(&mut command).arg("-a").arg(self.scanned()).status();
        match told {
            Ok(status) if status.success() => Ok(()),
            other => Err(format!("s6-svscanctl: {other:?}")),
        }
    }

    fn pids(&self) -> Vec<u32> {
        [vec![self.scanner.id()], children(self.scanner.id())].concat()
    }
}

impl Drop for S6 {
    fn drop(&mut self) {
        end(std::slice::from_mut(&mut self.scanner), self.dir.path());
    }
}
