//! What a server goes by: server.yml, under variables and flags.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use proto::error::{Error, Kind};
use proto::units::show_duration;
use proto::yaml::{Node, Reader};
use server::core::archive::schedule::Schedule;

use super::entry::{self, Entry};
use super::origin::{Given, Setting};
use super::table::{Key, Table, acted, later, later_unless};
use super::values::{self, Span};
use crate::address::Address;
use crate::daemon::server::{Backend, Scheduled};
use crate::daemon::{self, logging};
use crate::{address, args};

const KEYS: &[Key] = &[
    acted("name"),
    acted("data_dir"),
    acted("listen"),
    acted("advertise"),
    acted("heartbeat"),
    acted("node_timeout"),
    acted("raft"),
    acted("log_store"),
    acted("limits"),
    acted("log_level"),
    acted("log_json"),
    acted("join"),
    acted("bootstrap_expect"),
    acted("key_file"),
    later("failure_domain", "work is spread over the failure domains of nodes: agent.yml has it"),
    acted("snapshots"),
];

const SNAPSHOTS: &[Key] = &[acted("to"), acted("every"), acted("keep")];

const RAFT: &[Key] = &[
    acted("heartbeat"),
    acted("election_timeout"),
    later("snapshot_every", "a snapshot is taken whenever the log has grown by 64 MiB"),
];

const LIMITS: &[Key] = &[
    later_unless("job_file", "1MiB", "this limit is fixed"),
    later_unless("allocations_per_group", "10000", "this limit is fixed"),
];

/// What `server` is asked.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Flags {
    /// Its name [default: the name of this machine]
    #[arg(long, env = "MINIJOB_NAME", value_parser = args::machine, hide_env_values = true)]
    pub name: Option<String>,
    /// Where it keeps its data [default: /var/lib/minijob/server; not as root ~/.local/share/minijob/server]
    #[arg(long, env = "MINIJOB_DATA_DIR", value_name = "DIR", hide_env_values = true)]
    pub data_dir: Option<PathBuf>,
    /// Where it listens [default: 127.0.0.1:4650]
    #[arg(long, env = "MINIJOB_LISTEN", value_name = "ADDR", value_parser = address::listen, hide_env_values = true)]
    pub listen: Option<SocketAddr>,
    /// The address that others reach it at [default: where it listens]
    #[arg(long, env = "MINIJOB_ADVERTISE", value_name = "ADDR", hide_env_values = true)]
    pub advertise: Option<String>,
    /// How often an agent says that its node lives [default: 1s in a new cluster]
    #[arg(long, env = "MINIJOB_HEARTBEAT", value_name = "TIME", value_parser = values::duration, hide_env_values = true)]
    pub heartbeat: Option<Duration>,
    /// After how long a silence a node counts as lost [default: 4s in a new cluster]
    #[arg(long, env = "MINIJOB_NODE_TIMEOUT", value_name = "TIME", value_parser = values::duration, hide_env_values = true)]
    pub node_timeout: Option<Duration>,
    /// How often a leading server says so to the others [default: 200ms]
    #[arg(long, env = "MINIJOB_RAFT_HEARTBEAT", value_name = "TIME", value_parser = values::duration, hide_env_values = true)]
    pub raft_heartbeat: Option<Duration>,
    /// The shortest and the longest silence before a server stands for election [default: 600ms..900ms]
    #[arg(long, env = "MINIJOB_RAFT_ELECTION_TIMEOUT", value_name = "TIME..TIME", value_parser = values::span, hide_env_values = true)]
    pub raft_election_timeout: Option<Span>,
    /// What keeps the replicated log: segments or sled [default: what the data directory has; segments in a new one]
    #[arg(long, env = "MINIJOB_LOG_STORE", value_name = "STORE", value_parser = values::log_store, hide_env_values = true)]
    pub log_store: Option<Backend>,
    /// The other servers of its cluster, tried in turn; its own address may be among them [default: it is alone]
    #[arg(long, env = "MINIJOB_JOIN", value_name = "ADDR,..", hide_env_values = true)]
    pub join: Option<String>,
    /// How many servers make the new cluster, the same number on each; 1: it joins one that is there, or is alone [default: 1]
    #[arg(long, env = "MINIJOB_BOOTSTRAP_EXPECT", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=9), hide_env_values = true)]
    pub bootstrap_expect: Option<u32>,
    /// Where it writes a snapshot of the cluster from time to time while it leads [default: nowhere]
    #[arg(long, env = "MINIJOB_SNAPSHOTS_TO", value_name = "DIR", value_parser = values::absolute, hide_env_values = true)]
    pub snapshots_to: Option<PathBuf>,
    /// How often [default: 1h]
    #[arg(long, env = "MINIJOB_SNAPSHOTS_EVERY", value_name = "TIME", value_parser = values::duration, hide_env_values = true)]
    pub snapshots_every: Option<Duration>,
    /// How many of them stay there [default: 48]
    #[arg(long, env = "MINIJOB_SNAPSHOTS_KEEP", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000), hide_env_values = true)]
    pub snapshots_keep: Option<u32>,
    /// The cluster's key, the same file on every server: `minijob operator key FILE` makes one
    #[arg(long, env = "MINIJOB_KEY_FILE", value_name = "FILE", hide_env_values = true)]
    pub key_file: Option<PathBuf>,
    /// How much it says.
    #[command(flatten)]
    pub logging: logging::Args,
    /// Its file.
    #[command(flatten)]
    pub file: super::Args,
    /// Which of these were given, and how.
    #[arg(skip)]
    pub given: Given,
}

/// What a server goes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Its name.
    pub name: Setting<String>,
    /// Where it keeps its data.
    pub data_dir: Setting<PathBuf>,
    /// Where it listens.
    pub listen: Setting<SocketAddr>,
    /// The address that others reach it at; none: where it listens.
    pub advertise: Setting<Option<String>>,
    /// How often an agent asks for its lease; none: as the cluster has it.
    pub heartbeat: Setting<Option<Duration>>,
    /// How long a lease lasts; none: as the cluster has it.
    pub node_timeout: Setting<Option<Duration>>,
    /// Between two heartbeats of a leader.
    pub raft_heartbeat: Setting<Duration>,
    /// The silence before an election.
    pub raft_election_timeout: Setting<Span>,
    /// What keeps the replicated log; none: as the data directory has it.
    pub log_store: Setting<Option<Backend>>,
    /// The other servers, maybe with its own address.
    pub join: Setting<Vec<Address>>,
    /// How many servers make a new cluster; 1: it makes none with others.
    pub bootstrap_expect: Setting<u32>,
    /// The cluster's key; none: it is alone, on loopback.
    pub key_file: Setting<Option<PathBuf>>,
    /// Where it writes snapshots while it leads; none: nowhere.
    pub snapshots_to: Setting<Option<PathBuf>>,
    /// How often.
    pub snapshots_every: Setting<Duration>,
    /// How many of them stay.
    pub snapshots_keep: Setting<u32>,
    /// What is logged.
    pub log_level: Setting<String>,
    /// Whether as JSON.
    pub log_json: Setting<bool>,
}

/// What the file says.
#[derive(Default)]
struct File {
    name: Option<Setting<String>>,
    data_dir: Option<Setting<PathBuf>>,
    listen: Option<Setting<SocketAddr>>,
    advertise: Option<Setting<Option<String>>>,
    heartbeat: Option<Setting<Option<Duration>>>,
    node_timeout: Option<Setting<Option<Duration>>>,
    raft_heartbeat: Option<Setting<Duration>>,
    raft_election_timeout: Option<Setting<Span>>,
    log_store: Option<Setting<Option<Backend>>>,
    join: Option<Setting<Vec<Address>>>,
    bootstrap_expect: Option<Setting<u32>>,
    key_file: Option<Setting<Option<PathBuf>>>,
    snapshots_to: Option<Setting<Option<PathBuf>>>,
    snapshots_every: Option<Setting<Duration>>,
    snapshots_keep: Option<Setting<u32>>,
    log_level: Option<Setting<String>>,
    log_json: Option<Setting<bool>>,
}

/// Reads the file and puts variables and flags over it.
///
/// # Errors
/// [`Kind::Invalid`] with all that is wrong in the file, and for values that do not go together.
pub fn load(flags: &Flags) -> Result<Config, Error> {
    let file = super::file::read(flags.file.config.as_deref(), &super::file::usual("server.yml"), decode)?;
    let given = &flags.given;
    let defaults = server::raft::Timings::default();
    let election = Span { least: defaults.election_min, most: defaults.election_max };
    let json = Some(flags.logging.log_json);
    let join = flags.join.as_deref().map(Address::list).transpose()?;
    let config = Config {
        name: given.choose("name", flags.name.clone(), file.name, daemon::host_name()),
        data_dir: given.choose(
            "data_dir",
            flags.data_dir.clone(),
            file.data_dir,
            daemon::default_data_dir("server"),
        ),
        listen: given.choose("listen", flags.listen, file.listen, LISTEN),
        advertise: given.choose("advertise", flags.advertise.clone().map(Some), file.advertise, None),
        heartbeat: given.choose("heartbeat", flags.heartbeat.map(Some), file.heartbeat, None),
        node_timeout: given.choose("node_timeout", flags.node_timeout.map(Some), file.node_timeout, None),
        raft_heartbeat: given.choose(
            "raft_heartbeat",
            flags.raft_heartbeat,
            file.raft_heartbeat,
            defaults.heartbeat,
        ),
        raft_election_timeout: given.choose(
            "raft_election_timeout",
            flags.raft_election_timeout,
            file.raft_election_timeout,
            election,
        ),
        log_store: given.choose("log_store", flags.log_store.map(Some), file.log_store, None),
        join: given.choose("join", join, file.join, Vec::new()),
        bootstrap_expect: given.choose("bootstrap_expect", flags.bootstrap_expect, file.bootstrap_expect, 1),
        key_file: given.choose("key_file", flags.key_file.clone().map(Some), file.key_file, None),
        snapshots_to: given.choose(
            "snapshots_to",
            flags.snapshots_to.clone().map(Some),
            file.snapshots_to,
            None,
        ),
        snapshots_every: given.choose(
            "snapshots_every",
            flags.snapshots_every,
            file.snapshots_every,
            SNAPSHOTS_EVERY,
        ),
        snapshots_keep: given.choose(
            "snapshots_keep",
            flags.snapshots_keep,
            file.snapshots_keep,
            SNAPSHOTS_KEEP,
        ),
        log_level: logging::level(given, &flags.logging, file.log_level),
        log_json: given.choose("log_json", json, file.log_json, false),
    };
    config.check()?;
    Ok(config)
}

/// How often a snapshot is written unless told otherwise: what an hour changes can be written again by hand.
const SNAPSHOTS_EVERY: Duration = Duration::from_secs(3600);
/// How many stay unless told otherwise: two days.
const SNAPSHOTS_KEEP: u32 = 48;
/// The least time between two: writing one takes seconds where a cluster is large.
const SNAPSHOTS_LEAST: Duration = Duration::from_secs(1);

/// Where a server listens unless told otherwise.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 4650);

fn decode(reader: &mut Reader<'_>, path: &str, root: Option<&Node>) -> File {
    let table = Table::read(reader, path, root, KEYS, "server.yml");
    let raft = Table::read(reader, path, table.node("raft"), RAFT, "raft");
    Table::read(reader, path, table.node("limits"), LIMITS, "limits");
    let snapshots = Table::read(reader, path, table.node("snapshots"), SNAPSHOTS, "snapshots");
    let least = Duration::from_millis(1);
    let optional = |reader: &mut Reader<'_>, key: &str| {
        table.get(reader, key, |reader, node| reader.duration(node, key, least).map(Some))
    };
    File {
        name: table.get(reader, "name", values::machine),
        data_dir: table.get(reader, "data_dir", |reader, node| values::path(reader, node, "data_dir")),
        listen: table.get(reader, "listen", |reader, node| values::socket(reader, node, "listen")),
        advertise: table.get(reader, "advertise", |reader, node| {
            reader.text(node, "advertise").map(|text| Some(text.to_owned()))
        }),
        heartbeat: optional(reader, "heartbeat"),
        node_timeout: optional(reader, "node_timeout"),
        raft_heartbeat: raft
            .get(reader, "heartbeat", |reader, node| reader.duration(node, "heartbeat", least)),
        raft_election_timeout: raft.get(reader, "election_timeout", |reader, node| {
            values::parsed(reader, node, "election_timeout", values::span)
        }),
        log_store: table.get(reader, "log_store", |reader, node| {
            values::parsed(reader, node, "log_store", values::log_store).map(Some)
        }),
        join: table.get(reader, "join", values::servers_or_none),
        bootstrap_expect: table.get(reader, "bootstrap_expect", |reader, node| {
            values::parsed(reader, node, "bootstrap_expect", expected)
        }),
        key_file: table
            .get(reader, "key_file", |reader, node| values::path(reader, node, "key_file").map(Some)),
        snapshots_to: snapshots.get(reader, "to", |reader, node| values::path(reader, node, "to").map(Some)),
        snapshots_every: snapshots
            .get(reader, "every", |reader, node| reader.duration(node, "every", SNAPSHOTS_LEAST)),
        snapshots_keep: snapshots
            .get(reader, "keep", |reader, node| values::parsed(reader, node, "keep", kept)),
        log_level: table.get(reader, "log_level", logging::level_in_file),
        log_json: table.get(reader, "log_json", |reader, node| values::switch(reader, node, "log_json")),
    }
}

/// Reads how many servers make a cluster.
fn expected(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| (1..=9).contains(number));
    number.ok_or_else(|| format!("`{text}`: expected a number of servers from 1 to 9, best 3 or 5"))
}

/// Reads how many snapshots stay.
fn kept(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| (1..=100_000).contains(number));
    number.ok_or_else(|| format!("`{text}`: expected a number of snapshots from 1 to 100000"))
}

impl Config {
    /// Returns what a server that leads writes by itself; none without a directory.
    #[must_use]
    pub fn scheduled(&self) -> Option<Scheduled> {
        let to = self.snapshots_to.value.clone()?;
        let keep = usize::try_from(self.snapshots_keep.value).unwrap_or(usize::MAX);
        let schedule = Schedule { every: self.snapshots_every.value, keep };
        Some(Scheduled { to, schedule, counts: Default::default() })
    }

    /// Checks what only a start needs: that nobody can reach this server who does not know the cluster's key.
    ///
    /// # Errors
    /// [`Kind::Refused`] without a key for a server beyond loopback or one of several; [`Kind::Invalid`] when others would be told an
    /// address that is none.
    pub fn check_reach(&self) -> Result<(), Error> {
        let (listen, several) =
            (self.listen.value, !self.join.value.is_empty() || self.bootstrap_expect.value > 1);
        if self.key_file.value.is_none() && (several || !listen.ip().is_loopback()) {
            let message = if several {
                "servers of one cluster know each other by its key, and --key-file names none".to_owned()
            } else {
                format!("without a key a server does not listen beyond loopback, and {listen} is beyond")
            };
            let hint = "make a key once with `minijob operator key FILE`, copy it to every server, and give it with --key-file FILE";
            return Err(Error::new(Kind::Refused, message).hint(hint));
        }
        if self.bootstrap_expect.value > 1 && self.join.value.is_empty() {
            let message =
                format!("--bootstrap-expect is {} and --join names no server", self.bootstrap_expect.value);
            return Err(Error::new(Kind::Invalid, message).hint("name the servers: --join a,b,c"));
        }
        if several && listen.ip().is_unspecified() && self.advertise.value.is_none() {
            let message = format!("others cannot reach this server at {listen}");
            return Err(
                Error::new(Kind::Invalid, message).hint("say where they do: --advertise ADDRESS:PORT")
            );
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Error> {
        let (beat, election) = (self.raft_heartbeat.value, self.raft_election_timeout.value);
        if beat * 2 > election.least {
            let message = format!(
                "raft.heartbeat is {} and raft.election_timeout begins at {}: a server would stand for election between two heartbeats",
                show_duration(beat),
                show_duration(election.least)
            );
            return Err(
                Error::new(Kind::Invalid, message).hint("let the election wait for two heartbeats at least")
            );
        }
        if self.snapshots_every.value < SNAPSHOTS_LEAST {
            let message = format!("snapshots.every is {}", show_duration(self.snapshots_every.value));
            return Err(
                Error::new(Kind::Invalid, message).hint("let it be 1s at least, best minutes or hours")
            );
        }
        let beat = self.heartbeat.value.unwrap_or(Duration::from_secs(1));
        match self.node_timeout.value {
            Some(timeout) if timeout < beat * 2 => {
                let (beat, timeout) = (show_duration(beat), show_duration(timeout));
                let message = format!(
                    "node_timeout is {timeout} and a heartbeat comes every {beat}: every node would be lost"
                );
                Err(Error::new(Kind::Invalid, message).hint("let it be two heartbeats at least"))
            }
            _ => Ok(()),
        }
    }

    /// Returns all keys as they hold.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        let span = |span: &Span| format!("{}..{}", show_duration(span.least), show_duration(span.most));
        let optional = |duration: &Option<Duration>| duration.map(show_duration);
        vec![
            Entry::new("name", &self.name, |name| Some(entry::text(name).into_owned())),
            Entry::new("data_dir", &self.data_dir, |path| Some(entry::path(path))),
            Entry::new("listen", &self.listen, |listen| Some(entry::text(&listen.to_string()).into_owned())),
            Entry::new("advertise", &self.advertise, |address| entry::optional(address.as_deref())),
            Entry::new("heartbeat", &self.heartbeat, optional),
            Entry::new("node_timeout", &self.node_timeout, optional),
            Entry::new("raft.heartbeat", &self.raft_heartbeat, |beat| Some(show_duration(*beat))),
            Entry::new("raft.election_timeout", &self.raft_election_timeout, |election| Some(span(election))),
            Entry::new("log_store", &self.log_store, |store| store.map(|store| store.name().to_owned())),
            Entry::new("join", &self.join, |join| {
                let servers: Vec<String> = join.iter().map(Address::host_and_port).collect();
                (!servers.is_empty()).then(|| entry::list(servers.iter().map(String::as_str)))
            }),
            Entry::new("bootstrap_expect", &self.bootstrap_expect, |expect| Some(expect.to_string())),
            Entry::new("key_file", &self.key_file, |path| path.as_deref().map(entry::path)),
            Entry::new("snapshots.to", &self.snapshots_to, |path| path.as_deref().map(entry::path)),
            Entry::new("snapshots.every", &self.snapshots_every, |every| Some(show_duration(*every))),
            Entry::new("snapshots.keep", &self.snapshots_keep, |keep| Some(keep.to_string())),
            Entry::new("log_level", &self.log_level, |level| Some(entry::text(level).into_owned())).live(),
            Entry::new("log_json", &self.log_json, |json| Some(json.to_string())),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;
    use crate::config;

    fn of(text: &str, args: &[&str]) -> Result<Config, Error> {
        testing::server(text, args)
    }

    #[test]
    fn an_empty_file_is_all_defaults() {
        let config = of("", &[]).expect("valid");
        assert!(config.entries().iter().all(|entry| entry.origin == config::Origin::Default), "{config:?}");
        assert_eq!(config.listen.value.to_string(), "127.0.0.1:4650");
    }

    #[test]
    fn what_is_printed_reads_back_as_the_same() {
        let text = "name: s1\ndata_dir: /data\nlisten: 10.0.0.1:4650\nadvertise: h:1\nheartbeat: 500ms\nnode_timeout: 4s\n\
                    raft: {heartbeat: 100ms, election_timeout: 500ms..1s}\nlog_store: sled\njoin: [a, b:1]\nbootstrap_expect: 3\nkey_file: /k\nsnapshots: {to: /b, every: 5m, keep: 7}\nlimits: {job_file: 1MiB}\nlog_level: debug\nlog_json: true\n";
        let config = of(text, &[]).expect("valid");
        let again = of(&config::print(&config.entries()), &[]).expect("valid");
        assert!(config::changes(&config.entries(), &again.entries()).is_empty(), "{again:?}");
    }

    #[test]
    fn a_wrong_key_is_told_with_its_place_and_the_nearest_one() {
        let error = of("name: s1\nlistne: 10.0.0.1:4650\nraft: {heartbeet: 1s}\n", &[]).expect_err("wrong");
        let told = error.details.join("\n");
        assert!(
            told.contains(":2:1: unknown key `listne`") && told.contains("did you mean `listen`?"),
            "{told}"
        );
        assert!(
            told.contains("| listne: 10.0.0.1:4650") && told.contains("did you mean `heartbeat`?"),
            "{told}"
        );
    }

    #[test]
    fn keys_of_a_later_version_are_refused_where_they_would_say_something() {
        for text in ["failure_domain: r1", "raft: {snapshot_every: 1h}", "limits: {job_file: 2MiB}"] {
            let error = of(text, &[]).expect_err(text);
            assert!(error.details[0].contains("is not supported yet"), "{error:?}");
        }
        of("bootstrap_expect: 1\njoin: []\nkey_file:\n", &[]).expect("they say nothing");
    }

    #[test]
    fn durations_without_a_unit_and_times_that_do_not_fit_are_refused() {
        let error = of("node_timeout: 4\n", &[]).expect_err("no unit");
        assert!(error.details[0].contains("did you mean `4s`?"), "{error:?}");
        let error = of("node_timeout: 1s\n", &[]).expect_err("too short");
        assert!(error.message.contains("every node would be lost"), "{error:?}");
        assert!(of("raft: {heartbeat: 1s}\n", &[]).is_err());
    }

    #[test]
    fn a_log_store_that_there_is_none_of_is_refused_with_those_that_there_are() {
        let error = of("log_store: rocks\n", &[]).expect_err("none of that name");
        assert!(error.details[0].contains("expected `segments` or `sled`"), "{error:?}");
    }

    #[test]
    fn without_a_key_a_server_is_alone_and_on_loopback() {
        let reach = |text: &str| of(text, &[]).expect("valid").check_reach();
        assert_eq!(reach("listen: 127.0.0.1:1"), Ok(()));
        for text in
            ["listen: 10.0.0.1:4650", "listen: 0.0.0.0:4650", "join: [a]", "{join: [a], bootstrap_expect: 3}"]
        {
            let refused = reach(text).expect_err(text);
            assert!(refused.hint.contains("`minijob operator key FILE`"), "{text}: {refused:?}");
        }
        assert_eq!(
            reach("{listen: 10.0.0.1:4650, key_file: /k, join: [a, b, c], bootstrap_expect: 3}"),
            Ok(())
        );
        let nowhere = reach("{listen: 0.0.0.0:4650, key_file: /k, join: [a]}").expect_err("no address");
        assert!(nowhere.hint.contains("--advertise"), "{nowhere:?}");
        let nobody = reach("{key_file: /k, bootstrap_expect: 3}").expect_err("nobody");
        assert!(nobody.hint.contains("--join a,b,c"), "{nobody:?}");
        assert!(of("bootstrap_expect: 0", &[]).is_err() && of("bootstrap_expect: many", &[]).is_err());
    }

    #[test]
    fn a_flag_wins_over_the_file() {
        let config = of("listen: 10.0.0.1:4650\n", &["--listen", "127.0.0.1:1"]).expect("valid");
        assert_eq!((config.listen.value.port(), config.listen.origin.to_string().as_str()), (1, "--listen"));
    }
}
