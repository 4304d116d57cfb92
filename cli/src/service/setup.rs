//! What the services of a machine are to be, and what its configuration files say of that when they are made.

use std::net::SocketAddr;

use crate::config::SYSTEM_DIR;

/// What the services of a machine are to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setup {
    /// Server and agent of this machine alone, on loopback.
    Alone,
    /// Part of a cluster whose members know each other by its key.
    Cluster {
        /// The servers that were named: host:port.
        servers: Vec<String>,
        /// This machine's server; none: it runs an agent.
        own: Option<Own>,
    },
}

/// The server of a machine in a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Own {
    /// Where it listens, and where others reach it.
    pub listen: SocketAddr,
    /// How many servers make the cluster; 1: it joins one that is there.
    pub expect: u32,
}

const SERVER_HEAD: &str = "\
# What the server of this machine goes by. `minijob server --print-config` shows all keys, what holds, and why;
# `systemctl reload minijob-server` reads this file again.
data_dir: /var/lib/minijob/server
";

const SERVER_TAIL: &str = "\
# name: s1                          the host name where it is left out
# advertise: 10.0.0.1:4650          where others reach it, if not where it listens
# node_timeout: 4s                  after how long a silence a node counts as lost
";

const AGENT_HEAD: &str = "\
# What the agent of this machine goes by. `minijob agent --print-config` shows all keys, what holds, and why;
# `systemctl reload minijob-agent` reads this file again, and tasks do not notice.
data_dir: /var/lib/minijob/agent
";

const AGENT_TAIL: &str = "\
# name: vm7                         the host name where it is left out
# token_file: /etc/minijob/token    what lets it in, where the servers are elsewhere
# meta: {rack: r1}                  facts for placement
# drain_on_shutdown: 10m            its work moves to other nodes before it ends
# failure_domain: sm1               what this machine fails together with: work is spread over these
# reserve: {cpu: 500m, memory: 512MiB}   kept for the machine itself
# volumes: {pgdata: /srv/pg}        directories that jobs may use by name
# allow_paths: [/srv]               below which jobs may use any directory
# allow_root: false                 whether tasks may run as root
# http: 127.0.0.1:4651              answers /health and /metrics
";

impl Setup {
    /// Returns where a member of a cluster keeps its key.
    #[must_use]
    pub fn key_file() -> String {
        format!("{SYSTEM_DIR}/cluster.key")
    }

    /// Returns the text of server.yml; none where the machine runs no server.
    #[must_use]
    pub fn server_yml(&self) -> Option<String> {
        let own = match self {
            Self::Alone => "listen: 127.0.0.1:4650\n".to_owned(),
            Self::Cluster { servers, own } => {
                let Own { listen, expect } = (*own)?;
                let expect = if expect > 1 { format!("bootstrap_expect: {expect}\n") } else { String::new() };
                let (join, key) = (servers.join(", "), Self::key_file());
                format!("listen: {listen}\njoin: [{join}]\n{expect}key_file: {key}\n")
            }
        };
        Some(format!("{SERVER_HEAD}{own}{SERVER_TAIL}"))
    }

    /// Returns the text of agent.yml.
    #[must_use]
    pub fn agent_yml(&self) -> String {
        let servers = match self {
            Self::Alone => "servers: [127.0.0.1:4650]\n".to_owned(),
            Self::Cluster { servers, own } => {
                // The nearest first.
                let own = own.map(|own| own.listen.to_string());
                let mut all: Vec<&str> = own.iter().map(String::as_str).collect();
                all.extend(
                    servers.iter().map(String::as_str).filter(|server| own.as_deref() != Some(*server)),
                );
                format!("servers: [{}]\nkey_file: {}\n", all.join(", "), Self::key_file())
            }
        };
        format!("{AGENT_HEAD}{servers}{AGENT_TAIL}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Setup> {
        let servers: Vec<String> = (1..4).map(|number| format!("10.0.0.{number}:4650")).collect();
        let own = |expect| Own { listen: "10.0.0.2:4650".parse().expect("an address"), expect };
        let cluster = |own| Setup::Cluster { servers: servers.clone(), own };
        vec![Setup::Alone, cluster(Some(own(3))), cluster(Some(own(1))), cluster(None)]
    }

    #[test]
    fn the_configuration_files_are_valid_and_say_nothing_that_is_not_so() {
        for setup in all() {
            let texts = [("server", setup.server_yml()), ("agent", Some(setup.agent_yml()))];
            for (daemon, text) in texts.into_iter().filter_map(|(daemon, text)| Some((daemon, text?))) {
                crate::config::testing::check(daemon, &text);
                // What is commented out must be right, too, once somebody takes the sign away.
                let shown: String = text
                    .lines()
                    .filter_map(|line| {
                        line.strip_prefix("# ")
                            .filter(|line| line.split(' ').next().is_some_and(|key| key.ends_with(':')))
                    })
                    .map(|line| format!("{}\n", line.split("   ").next().unwrap_or_default()))
                    .collect();
                crate::config::testing::check(daemon, &shown);
                assert!(shown.lines().count() >= 3, "{shown}");
            }
        }
    }

    #[test]
    fn a_machine_without_a_server_has_no_file_for_one_and_asks_its_own_server_first() {
        let [_, first, fourth, agent] = &all()[..] else { panic!("four") };
        assert_eq!(agent.server_yml(), None);
        let line = |text: &str, key: &str| text.lines().find(|line| line.starts_with(key)).map(str::to_owned);
        let servers = line(&first.agent_yml(), "servers").expect("servers");
        assert_eq!(servers, "servers: [10.0.0.2:4650, 10.0.0.1:4650, 10.0.0.3:4650]");
        assert_eq!(
            line(&first.server_yml().expect("a server"), "bootstrap_expect").as_deref(),
            Some("bootstrap_expect: 3")
        );
        assert_eq!(
            line(&fourth.server_yml().expect("a server"), "bootstrap_expect"),
            None,
            "it makes nothing new"
        );
    }
}
