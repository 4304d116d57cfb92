//! supervisord of PyPI: one process for all services, told what to do by `supervisorctl`.

use std::path::Path;
use std::process::{Child, Command};

use super::{Ground, Peer, end, program, unpacked, until};

/// No log of a service: ours are measured without output too.
const SERVICE: &str = "stdout_logfile = NONE\nstderr_logfile = NONE\nautorestart = true\nstopsignal = KILL\n";

pub(super) struct Supervisord {
    ground: Ground,
    dir: tempfile::TempDir,
    made: usize,
    supervisor: Child,
}

impl Supervisord {
    pub(super) fn start(ground: &Ground) -> Result<Self, String> {
        program("supervisor", "supervisor/supervisord.py")?;
        let dir = ground.fresh("supervisord")?;
        std::fs::create_dir(dir.path().join("programs")).map_err(|error| error.to_string())?;
        let here = dir.path().display();
        let conf = format!(
            "[unix_http_server]\nfile = {here}/sock\n[supervisord]\nnodaemon = true\nminfds = 4096\n\
             logfile = {here}/supervisord.log\npidfile = {here}/pid\nchildlogdir = {here}\nuser = root\n\
             [rpcinterface:supervisor]\n\
             supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n\
             [supervisorctl]\nserverurl = unix://{here}/sock\n[include]\nfiles = {here}/programs/*.conf\n"
        );
        let conf = if nix::unistd::geteuid().is_root() { conf } else { conf.replace("user = root\n", "") };
        std::fs::write(dir.path().join("conf"), conf).map_err(|error| error.to_string())?;
        let mut command = python(ground, dir.path(), "supervisor.supervisord");
        let supervisor = command.spawn().map_err(|error| format!("python3: {error}"))?;
        let peer = Self { ground: ground.clone(), dir, made: 0, supervisor };
        let sock = peer.dir.path().join("sock");
        until(peer.dir.path(), "socket of supervisord", || sock.exists())?;
        Ok(peer)
    }
}

/// A module of it, by Debian's Python if it is there: another one's start would be measured too.
fn python(ground: &Ground, dir: &Path, module: &str) -> Command {
    let debian = Path::new("/usr/bin/python3");
    let python = if debian.is_file() { debian } else { Path::new("python3") };
    let mut command = ground.command(python, dir);
    command.env("PYTHONPATH", unpacked("supervisor"));
    command.args(["-m", module, "-c"]).arg(dir.join("conf"));
    command
}

impl Peer for Supervisord {
    fn add(&mut self, count: usize) -> Result<(), String> {
        let text = format!(
            "[program:p{}]\ncommand = {} {} {}\nnumprocs = {count}\nprocess_name = %(program_name)s_%(process_num)d\n{SERVICE}",
            self.made,
            self.ground.stamp.display(),
            self.ground.pipe,
            self.ground.mode,
        );
        let path = self.dir.path().join("programs").join(format!("{}.conf", self.made));
        std::fs::write(path, text).map_err(|error| error.to_string())?;
        self.made += 1;
        let told = python(&self.ground, self.dir.path(), "supervisor.supervisorctl").arg("update").status();
        match told {
            Ok(status) if status.success() => Ok(()),
            other => Err(format!("supervisorctl: {other:?}")),
        }
    }

    fn pids(&self) -> Vec<u32> {
        vec![self.supervisor.id()]
    }
}

impl Drop for Supervisord {
    fn drop(&mut self) {
        end(std::slice::from_mut(&mut self.supervisor), self.dir.path());
    }
}
