//! Nomad, where `MJ_NOMAD` names its program: an agent in its development mode, server and client in one process, jobs sent to its
//! HTTP API and run by `raw_exec`.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command};

use serde_json::json;

use super::{Ground, Peer, end_gently, engine, until};
use crate::meter;

/// Says which of the three ports is which: they are taken one after another.
const PORTS: [&str; 3] = ["http", "rpc", "serf"];

pub(super) struct Nomad {
    ground: Ground,
    dir: tempfile::TempDir,
    program: PathBuf,
    http: u16,
    made: usize,
    agent: Child,
}

fn given() -> Result<PathBuf, String> {
    let program = std::env::var_os("MJ_NOMAD").map(PathBuf::from).ok_or("MJ_NOMAD names no program")?;
    if program.is_file() {
        Ok(program)
    } else {
        Err(format!("MJ_NOMAD names {}, no program", program.display()))
    }
}

/// What it says it is.
pub(super) fn version() -> String {
    let said = given().ok().and_then(|program| Command::new(program).arg("version").output().ok());
    let said = said.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    said.split_whitespace().nth(1).unwrap_or_default().to_owned()
}

impl Nomad {
    pub(super) fn start(ground: &Ground) -> Result<Self, String> {
        let (program, dir) = (given()?, ground.fresh("nomad")?);
        // All held at once, so that they differ.
        let held = PORTS
            .map(|_| TcpListener::bind("127.0.0.1:0").and_then(|held| Ok((held.local_addr()?.port(), held))));
        let mut ports = Vec::new();
        for (name, held) in PORTS.iter().zip(held) {
            ports.push((*name, held.map_err(|error| error.to_string())?.0));
        }
        let lines: Vec<String> = ports.iter().map(|(name, port)| format!("  {name} = {port}\n")).collect();
        let config = format!(
            "ports {{\n{}}}\nplugin \"raw_exec\" {{\n  config {{\n    enabled = true\n  }}\n}}\n",
            lines.concat()
        );
        std::fs::write(dir.path().join("nomad.hcl"), config).map_err(|error| error.to_string())?;
        let mut command = ground.command(&program, dir.path());
        command.args(["agent", "-dev", "-bind", "127.0.0.1", "-log-level", "WARN"]).env("TMPDIR", dir.path());
        command.arg("-config").arg(dir.path().join("nomad.hcl"));
        command.arg("-data-dir").arg(dir.path().join("data"));
        let agent = command.spawn().map_err(|error| format!("{}: {error}", program.display()))?;
        let http = ports.first().map_or(0, |(_, port)| *port);
        let nomad = Self { ground: ground.clone(), dir, program, http, made: 0, agent };
        until(nomad.dir.path(), "ready node of Nomad", || {
            let nodes = nomad.call("GET /v1/nodes", "");
            nodes.is_ok_and(|nodes| String::from_utf8_lossy(&nodes).contains("\"Status\":\"ready\""))
        })?;
        Ok(nomad)
    }

    fn call(&self, request: &str, body: &str) -> Result<Vec<u8>, String> {
        let stream = TcpStream::connect(("127.0.0.1", self.http)).map_err(|error| error.to_string())?;
        engine::call(stream, request, "application/json", body.as_bytes())
    }
}

impl Peer for Nomad {
    fn add(&mut self, count: usize) -> Result<(), String> {
        let id = format!("bench-{}", self.made);
        self.made += 1;
        let task = json!({
            "Name": "main",
            "Driver": "raw_exec",
            "Config": { "command": self.ground.stamp, "args": [self.ground.pipe, self.ground.mode] },
            "Resources": { "CPU": 20, "MemoryMB": 10 },
            "LogConfig": { "MaxFiles": 1, "MaxFileSizeMB": 1 },
        });
        let group = json!({
            "Name": "main",
            "Count": count,
            "EphemeralDisk": { "SizeMB": 10 },
            // A tuned policy: by default an end is answered after more than 15 s.
            "RestartPolicy": { "Attempts": 100_000, "Interval": 3_600_000_000_000_u64, "Delay": 0, "Mode": "delay" },
            "Tasks": [task],
        });
        let job =
            json!({ "ID": id, "Name": id, "Type": "service", "Datacenters": ["dc1"], "TaskGroups": [group] });
        self.call("PUT /v1/jobs", &json!({ "Job": job }).to_string()).map(drop)
    }

    fn pids(&self) -> Vec<u32> {
        meter::running(&self.program, self.dir.path())
    }
}

impl Drop for Nomad {
    fn drop(&mut self) {
        for number in 0..self.made {
            self.call(&format!("DELETE /v1/job/bench-{number}?purge=true"), "").ok();
        }
        end_gently(&mut self.agent, self.dir.path());
    }
}
