//! Docker of Debian: an engine of our own, whose data, sockets, mounts and control groups are ours alone and go with it.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command};

use serde_json::{Value, json};

use super::{Ground, Peer, end_gently, engine, program, unpacked, until};

/// The image: nothing but the measured program.
const IMAGE: &str = "stamp:bench";

/// An engine with its containerd.
pub(super) struct Docker {
    ground: Ground,
    dir: tempfile::TempDir,
    engine: Child,
    containers: Vec<String>,
}

impl Docker {
    pub(super) fn start(ground: &Ground) -> Result<Self, String> {
        let (dockerd, dir) = (program("docker", "usr/sbin/dockerd")?, ground.fresh("docker")?);
        if !nix::unistd::geteuid().is_root() {
            return Err("an engine of one's own needs root".into());
        }
        let (dir, here) = (dir, |dir: &tempfile::TempDir, name: &str| dir.path().join(name));
        let conf = json!({ "deprecated-key-path": here(&dir, "key.json") });
        std::fs::write(here(&dir, "conf.json"), conf.to_string()).map_err(|error| error.to_string())?;
        // A mount namespace of its own, with a /run of its own: no mount and no folder of it outlives it.
        // Whoever interrupts the benchmark ends the engine with it.
        let mut command = ground.command(Path::new("/usr/bin/setpriv"), dir.path());
        command.args([
            "--pdeathsig",
            "TERM",
            "/usr/bin/unshare",
            "--mount",
            "--propagation",
            "private",
            "/bin/sh",
            "-c",
        ]);
        command.args(["mount -t tmpfs tmpfs /run && exec \"$@\"", "sh"]).arg(dockerd);
        command.args(["--bridge=none", "--iptables=false", "--ip-forward=false", "--ip-masq=false"]);
        command.args(["--userland-proxy=false", "--log-level=warn", "--cgroup-parent", &group(dir.path())]);
        for (flag, name) in [
            ("--data-root", "data"),
            ("--exec-root", "exec"),
            ("--pidfile", "pid"),
            ("--config-file", "conf.json"),
        ] {
            command.arg(flag).arg(here(&dir, name));
        }
        command.arg("-H").arg(format!("unix://{}", here(&dir, "sock").display()));
        let root = unpacked("docker").join("usr");
        let (bin, sbin) = (root.join("bin"), root.join("sbin"));
        command.env("PATH", format!("{}:{}:/usr/sbin:/usr/bin:/sbin:/bin", sbin.display(), bin.display()));
        command.env("LD_LIBRARY_PATH", super::libraries("docker"));
        let engine = command.spawn().map_err(|error| format!("setpriv: {error}"))?;
        let mut docker = Self { ground: ground.clone(), dir, engine, containers: Vec::new() };
        docker.wait()?;
        docker.import()?;
        Ok(docker)
    }

    fn wait(&mut self) -> Result<(), String> {
        let (dir, engine) = (self.dir.path().to_owned(), &mut self.engine);
        let mut ended = None;
        until(&dir, "answer of dockerd", || {
            ended = engine.try_wait().ok().flatten();
            ended.is_some() || call(&dir, "GET /_ping", "text/plain", b"").is_ok()
        })?;
        let said = || std::fs::read_to_string(dir.join("log")).unwrap_or_default();
        ended.map_or(Ok(()), |status| {
            Err(format!("dockerd ended ({status}): {}", said().lines().last().unwrap_or_default()))
        })
    }

    /// Makes the image of the static program: there is no registry.
    fn import(&self) -> Result<(), String> {
        let (folder, name) = (self.ground.stamp.parent(), self.ground.stamp.file_name());
        let (Some(folder), Some(name)) = (folder, name) else { return Err("a program has a folder".into()) };
        let tar = Command::new("tar").arg("-C").arg(folder).args(["-cf", "-"]).arg(name).output();
        let tar = tar.map_err(|error| format!("tar: {error}"))?.stdout;
        let (repo, tag) = IMAGE.split_once(':').unwrap_or((IMAGE, "bench"));
        let request = format!("POST /images/create?fromSrc=-&repo={repo}&tag={tag}");
        call(self.dir.path(), &request, "application/x-tar", &tar).map(drop)
    }
}

fn call(dir: &Path, request: &str, kind: &str, body: &[u8]) -> Result<Vec<u8>, String> {
    let stream = UnixStream::connect(dir.join("sock")).map_err(|error| error.to_string())?;
    engine::call(stream, request, kind, body)
}

/// Runs one container and returns its id: what `docker run --detach` asks for, without the command's own start.
fn run(dir: &Path, ground: &Ground) -> Result<String, String> {
    let body = json!({
        "Image": IMAGE,
        "Cmd": ["/stamp", ground.pipe, ground.mode],
        "HostConfig": {
            "Binds": [format!("{0}:{0}", ground.pipe)],
            "NetworkMode": "none",
            // The stamp says which process is to be killed; within a namespace of its own it would be process 1.
            "PidMode": "host",
            "RestartPolicy": { "Name": "always" },
        },
    });
    let made = call(dir, "POST /containers/create", "application/json", body.to_string().as_bytes())?;
    let made: Value = serde_json::from_slice(&made).map_err(|error| error.to_string())?;
    let id = made["Id"].as_str().ok_or("a container has an id")?.to_owned();
    call(dir, &format!("POST /containers/{id}/start"), "application/json", b"")?;
    Ok(id)
}

impl Peer for Docker {
    fn add(&mut self, count: usize) -> Result<(), String> {
        let (dir, ground) = (self.dir.path(), &self.ground);
        let made: Vec<Result<String, String>> = std::thread::scope(|scope| {
            let calls: Vec<_> = (0..count).map(|_| scope.spawn(|| run(dir, ground))).collect();
            calls
                .into_iter()
                .map(|call| call.join().unwrap_or_else(|_| Err("a call panicked".into())))
                .collect()
        });
        for id in made {
            self.containers.push(id?);
        }
        Ok(())
    }

    fn pids(&self) -> Vec<u32> {
        tests::process::mentioning(self.dir.path())
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        let dir = self.dir.path();
        std::thread::scope(|scope| {
            for id in &self.containers {
                scope.spawn(move || {
                    call(dir, &format!("DELETE /containers/{id}?force=1"), "text/plain", b"").ok()
                });
            }
        });
        end_gently(&mut self.engine, dir);
        let hierarchies = std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
        for hierarchy in hierarchies {
            std::fs::remove_dir(hierarchy.path().join(group(dir).trim_start_matches('/'))).ok();
        }
        std::fs::remove_dir(Path::new("/sys/fs/cgroup").join(group(dir).trim_start_matches('/'))).ok();
    }
}

/// The control group above all its containers.
fn group(dir: &Path) -> String {
    format!("/minijob-bench-{}", dir.file_name().unwrap_or_default().to_string_lossy())
}
