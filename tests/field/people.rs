//! What people do with a cluster: commands, from the desk or on a machine.

use std::process::Command;

use serde_json::Value;
use tests::cluster::live;
use tests::command::{Answer, bare, fed};
use tests::job;
use tests::wait::until;

use crate::cluster::{Cluster, LONG};
use crate::net::Space;

/// Where somebody sits, and what they know.
#[derive(Clone)]
pub(crate) struct Person {
    space: Space,
    servers: String,
    environment: Vec<(&'static str, String)>,
}

impl Person {
    /// Returns a command of the program.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = bare(args);
        command.env("MINIJOB_ADDR", &self.servers).envs(self.environment.iter().cloned());
        self.space.enter(&command)
    }

    /// Runs a command.
    pub(crate) fn run(&self, args: &[&str]) -> Answer {
        self.command(args).output().expect("it runs").into()
    }

    /// Submits a job and does not wait for it.
    pub(crate) fn submit(&self, text: &str) -> Answer {
        self.submit_with(text, &[])
    }

    /// The same with more flags.
    pub(crate) fn submit_with(&self, text: &str, flags: &[&str]) -> Answer {
        fed(self.command(&[&["run", "-", "--detach"], flags].concat()), text)
    }
}

impl Cluster {
    /// Somebody at the desk who knows all servers.
    pub(crate) fn person(&self) -> Person {
        let (space, servers) = (self.net.desk().clone(), self.addresses());
        Person { space, servers, environment: self.environment() }
    }

    /// Somebody at the desk who knows one machine's server only: reaches it also when no other machine does.
    pub(crate) fn person_at(&self, number: usize) -> Person {
        Person { servers: self.machines[number].server_address(), ..self.person() }
    }

    /// Somebody on a machine who knows its server only.
    pub(crate) fn person_on(&self, number: usize) -> Person {
        let machine = &self.machines[number];
        let (space, servers) = (machine.space.clone(), machine.server_address());
        Person { space, servers, environment: self.environment() }
    }

    /// Runs a command at the desk.
    pub(crate) fn run(&self, args: &[&str]) -> Answer {
        self.person().run(args)
    }

    /// Submits a job at the desk.
    pub(crate) fn submit(&self, text: &str) {
        let answer = self.person().submit(text);
        assert_eq!(answer.code, 0, "{answer:?}");
    }

    /// Returns a job's status.
    pub(crate) fn status(&self, job: &str) -> Result<Value, String> {
        let answer = self.run(&["status", job, "--json"]);
        if answer.code == 0 { Ok(answer.json()) } else { Err(format!("{answer:?}")) }
    }

    /// Waits until a job's status is as wanted.
    pub(crate) fn wait_job(&self, job: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        until(LONG, what, || {
            let status = self.status(job)?;
            if wanted(&status) { Ok(status) } else { Err(status.to_string()) }
        })
    }

    /// Runs a service of so many and waits until all of it is healthy.
    pub(crate) fn serve(&self, name: &str, count: u32) -> Value {
        self.submit(&job::shell(name, count, SLEEP));
        self.wait_job(name, "all of it is healthy", |status| status["healthy"] == count)
    }

    /// Waits until exactly so many of a service are healthy on these machines, and no copy of it runs anywhere else.
    pub(crate) fn wait_settled(&self, name: &str, machines: &[usize], wanted: usize) -> Value {
        self.wait_job(name, "exactly one set is left", |status| {
            let nodes: Vec<_> = machines.iter().map(|number| self.machines[*number].node()).collect();
            healthy_on(status, &nodes, wanted)
                && live(status).count() == wanted
                && self.sleepers().len() == wanted
        })
    }

    /// Waits until so many of a service are healthy on these machines; what is lost may still run where nobody reaches it.
    pub(crate) fn wait_settled_elsewhere(&self, name: &str, machines: &[usize], wanted: usize) -> Value {
        let nodes: Vec<_> = machines.iter().map(|number| self.machines[*number].node()).collect();
        self.wait_job(name, "its work runs elsewhere", |status| healthy_on(status, &nodes, wanted))
    }

    /// The processes of [`Self::serve`] on all machines, whoever knows of them.
    pub(crate) fn sleepers(&self) -> Vec<u32> {
        let is_sleeper = |pid: &u32| {
            std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == b"sleep\x00100000\x00")
        };
        let pids = self.machines.iter().flat_map(|machine| machine.space.pids());
        let mut pids: Vec<u32> = pids.filter(is_sleeper).collect();
        pids.sort_unstable();
        pids
    }
}

/// What a task of [`Cluster::serve`] does.
const SLEEP: &str = "exec sleep 100000";

/// The allocations of a node that have not ended and are not lost.
pub(crate) fn on<'s>(status: &'s Value, node: &'s str) -> impl Iterator<Item = &'s Value> {
    live(status).filter(move |alloc| alloc["node_name"] == node && alloc["lost"] == false)
}

/// Whether so many are healthy on these nodes, and none that is not lost is anywhere else.
pub(crate) fn healthy_on(status: &Value, nodes: &[String], wanted: usize) -> bool {
    let healthy = |alloc: &&Value| alloc["healthy"] == true;
    let there: usize = nodes.iter().map(|node| on(status, node).filter(healthy).count()).sum();
    there == wanted && live(status).filter(|alloc| alloc["lost"] == false).count() == wanted
}
