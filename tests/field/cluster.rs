//! A cluster on machines of its own: forming it, and what it is at this moment.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tests::wait::until;

use crate::credentials::Credentials;
use crate::machine::Machine;
use crate::net::Net;

/// How long anything may take on a small machine that does much else. What is promised of the time is asserted by itself.
pub(crate) const LONG: Duration = Duration::from_secs(90);

/// One cluster at a time: three servers and three agents are enough for two cores.
static TURN: Mutex<()> = Mutex::new(());

/// Machines with servers and agents. Dropping it leaves nothing of them.
pub(crate) struct Cluster {
    pub(crate) machines: Vec<Machine>,
    servers: usize,
    pub(crate) credentials: Credentials,
    // Dropped after the machines, and the turn last.
    pub(crate) net: Net,
    _turn: MutexGuard<'static, ()>,
}

impl Cluster {
    /// Three machines, each with a server and an agent, all known.
    pub(crate) fn of_three() -> Self {
        let mut cluster = Self::bare(3, 3);
        cluster.form();
        cluster
    }

    /// Machines with nothing on them yet; the first `servers` are meant to have one.
    pub(crate) fn bare(machines: usize, servers: usize) -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let net = Net::make();
        let machines =
            (0..machines).map(|number| Machine::new(number, net.dir(), net.plug(number))).collect();
        let credentials = Credentials::make(net.dir());
        Self { machines, servers, credentials, net, _turn: turn }
    }

    /// Starts all servers, the last one first, and all agents, and waits until everybody is known.
    pub(crate) fn form(&mut self) {
        for number in (0..self.servers).rev() {
            self.start_server(number);
        }
        self.wait_for_servers(self.servers);
        for number in 0..self.machines.len() {
            self.start_agent(number);
        }
        self.wait_for_nodes(self.machines.len());
    }

    /// Starts a machine's server, for the first time or again.
    pub(crate) fn start_server(&mut self, number: usize) {
        let mut flags = self.credentials.server_flags();
        // Who is alone has nobody to wait for.
        if self.servers > 1 {
            let expected = self.servers.to_string();
            flags.extend(["--join", &self.addresses(), "--bootstrap-expect", &expected].map(str::to_owned));
        }
        self.machines[number].start_server(&flags);
    }

    /// Starts a machine's agent, for the first time or again.
    pub(crate) fn start_agent(&mut self, number: usize) {
        let (servers, environment) = (self.addresses(), self.credentials.of_agents());
        self.machines[number].start_agent(&servers, &environment);
    }

    /// Where all servers are.
    pub(crate) fn addresses(&self) -> String {
        let addresses: Vec<_> = self.machines[..self.servers].iter().map(Machine::server_address).collect();
        addresses.join(",")
    }

    /// What people need in their environment.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        self.credentials.of_people(&self.machines[0].server_dir())
    }

    /// The servers as any of them sees them.
    pub(crate) fn members(&self) -> Result<Vec<Value>, String> {
        let answer = self.run(&["server", "members", "--json"]);
        if answer.code != 0 {
            return Err(format!("{answer:?}"));
        }
        answer.json()["items"].as_array().cloned().ok_or_else(|| format!("{answer:?}"))
    }

    /// Waits until that many servers answer and vote, and one leads.
    pub(crate) fn wait_for_servers(&self, wanted: usize) {
        until(LONG, "the servers are one cluster", || {
            let members = self.members()?;
            let there = members.iter().filter(|one| one["voter"] == true && one["reachable"] == true).count();
            let is_led = members.iter().any(|one| one["leader"] == true);
            if there == wanted && is_led { Ok(()) } else { Err(format!("{members:?}")) }
        });
    }

    /// Waits until that many nodes are up.
    pub(crate) fn wait_for_nodes(&self, wanted: usize) {
        until(LONG, "agents have registered", || {
            let answer = self.run(&["node", "--json"]);
            if answer.code != 0 {
                return Err(format!("{answer:?}"));
            }
            let nodes = answer.json();
            let up = nodes["items"].as_array().into_iter().flatten().filter(|node| node["liveness"] == "up");
            if up.count() == wanted { Ok(()) } else { Err(nodes.to_string()) }
        });
    }

    /// The machine whose server leads; waits until one does.
    pub(crate) fn leader(&self) -> usize {
        until(LONG, "one leads", || {
            let members = self.members()?;
            let leader = members.iter().find(|one| one["leader"] == true && one["reachable"] == true);
            let name = leader.and_then(|one| one["name"].as_str()).ok_or_else(|| format!("{members:?}"))?;
            name.trim_start_matches('s').parse().map_err(|_| name.to_owned())
        })
    }

    /// All machines but one.
    pub(crate) fn others(&self, number: usize) -> Vec<usize> {
        (0..self.machines.len()).filter(|other| *other != number).collect()
    }

    /// How often a server has stood for election so far.
    pub(crate) fn elections(&self) -> usize {
        self.said().matches("standing for election").count()
    }

    /// What all daemons said.
    pub(crate) fn said(&self) -> String {
        self.machines.iter().map(Machine::said).collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.said());
        }
    }
}
