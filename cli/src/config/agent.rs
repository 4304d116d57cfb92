//! What an agent goes by: agent.yml, under variables and flags.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use proto::error::Error;
use proto::units::{show_cpu, show_duration, show_size};
use proto::yaml::{Node, Reader};

use super::entry::{self, Entry};
use super::origin::{Given, Setting};
use super::table::{Key, Table, acted, later};
use super::values::{self, Amounts};
use crate::address::Address;
use crate::args::Global;
use crate::daemon::agent::Rules;
use crate::daemon::{self, logging};
use crate::{address, args};

const ONE_CONTAINERS: &str = "this version runs processes, and registers them nowhere";

/// The shortest time in which a node's work may move.
const DRAIN_LEAST: Duration = Duration::from_secs(1);

const KEYS: &[Key] = &[
    acted("name"),
    acted("data_dir"),
    acted("servers"),
    acted("token_file"),
    acted("key_file"),
    acted("advertise"),
    acted("http"),
    acted("meta"),
    acted("failure_domain"),
    acted("capacity"),
    acted("reserve"),
    acted("volumes"),
    acted("allow_paths"),
    acted("allow_root"),
    acted("default_user"),
    acted("drain_on_shutdown"),
    acted("log_level"),
    acted("log_json"),
    later("networks", "a node has one address for its tasks: `advertise: ADDRESS`"),
    later("namespaces", "a node takes work of every namespace"),
    later("docker", ONE_CONTAINERS),
    later("registries", ONE_CONTAINERS),
    later("adopt", ONE_CONTAINERS),
    later("watch", "this version looks after its own tasks only"),
];

/// What `agent` is asked.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Flags {
    /// The node's name [default: the name of this machine]
    #[arg(long, env = "MINIJOB_NAME", value_parser = args::machine, hide_env_values = true)]
    pub name: Option<String>,
    /// Where it keeps its data [default: /var/lib/minijob/agent; not as root ~/.local/share/minijob/agent]
    #[arg(long, env = "MINIJOB_DATA_DIR", value_name = "DIR", hide_env_values = true)]
    pub data_dir: Option<PathBuf>,
    /// The servers, tried in turn [default: 127.0.0.1:4650]
    #[arg(long, env = "MINIJOB_SERVERS", value_name = "ADDR,..", hide_env_values = true)]
    pub servers: Option<String>,
    /// Holds what lets it in [default: --token; else the token of a server on this machine]
    #[arg(long, env = "MINIJOB_TOKEN_FILE", value_name = "FILE", hide_env_values = true)]
    pub token_file: Option<PathBuf>,
    /// The cluster's key, to enrol with: it may be taken away afterwards
    #[arg(long, env = "MINIJOB_KEY_FILE", value_name = "FILE", hide_env_values = true)]
    pub key_file: Option<PathBuf>,
    /// The address that others reach this machine's tasks at [default: the one that reaches the servers]
    #[arg(long, env = "MINIJOB_ADVERTISE", value_name = "ADDR", hide_env_values = true)]
    pub advertise: Option<String>,
    /// Where it answers /health and /metrics [default: nowhere]
    #[arg(long = "http-addr", env = "MINIJOB_HTTP_ADDR", value_name = "ADDR", value_parser = address::listen, hide_env_values = true)]
    pub http: Option<SocketAddr>,
    /// A fact about this machine, for placement; may be given several times
    #[arg(long, env = "MINIJOB_META", value_name = "KEY=VALUE", value_delimiter = ',', value_parser = values::fact, hide_env_values = true)]
    pub meta: Vec<(String, String)>,
    /// What this machine fails together with, such as its rack: work is spread over these [default: nothing but itself]
    #[arg(long, env = "MINIJOB_FAILURE_DOMAIN", value_name = "NAME", value_parser = args::machine, hide_env_values = true)]
    pub failure_domain: Option<String>,
    /// What this machine has [default: what the kernel says]
    #[arg(long, env = "MINIJOB_CAPACITY", value_name = "cpu=N,memory=SIZE", value_parser = values::amounts_flag, hide_env_values = true)]
    pub capacity: Option<Amounts>,
    /// What of it is kept for the machine itself
    #[arg(long, env = "MINIJOB_RESERVE", value_name = "cpu=N,memory=SIZE", value_parser = values::amounts_flag, hide_env_values = true)]
    pub reserve: Option<Amounts>,
    /// A directory that jobs may use by this name; may be given several times
    #[arg(long = "volume", env = "MINIJOB_VOLUMES", value_name = "NAME=DIR", value_delimiter = ',', value_parser = values::volume, hide_env_values = true)]
    pub volumes: Vec<(String, PathBuf)>,
    /// A directory below which jobs may use any by its path; may be given several times
    #[arg(long = "allow-path", env = "MINIJOB_ALLOW_PATHS", value_name = "DIR", value_delimiter = ',', value_parser = values::absolute, hide_env_values = true)]
    pub allow_paths: Vec<PathBuf>,
    /// Lets jobs run tasks as root
    #[arg(long, env = "MINIJOB_ALLOW_ROOT", value_parser = clap::builder::FalseyValueParser::new(), hide_env_values = true)]
    pub allow_root: bool,
    /// Whom tasks run as that name nobody [default: nobody; not as root whoever runs the agent]
    #[arg(long, env = "MINIJOB_DEFAULT_USER", value_name = "USER", hide_env_values = true)]
    pub default_user: Option<String>,
    /// Ends only when the node's work has moved to others, or this time is over [default: its tasks run on]
    #[arg(long, env = "MINIJOB_DRAIN_ON_SHUTDOWN", value_name = "TIME", value_parser = values::duration, hide_env_values = true)]
    pub drain_on_shutdown: Option<Duration>,
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

/// What an agent goes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The node's name.
    pub name: Setting<String>,
    /// Where it keeps its data.
    pub data_dir: Setting<PathBuf>,
    /// The servers.
    pub servers: Setting<Vec<Address>>,
    /// Holds what lets it in; none: it is given or found.
    pub token_file: Setting<Option<PathBuf>>,
    /// The cluster's key, to enrol with; none: it has enrolled, or servers speak without TLS.
    pub key_file: Setting<Option<PathBuf>>,
    /// The address of its tasks; none: the one that reaches the servers.
    pub advertise: Setting<Option<String>>,
    /// Where it answers probes; none: nowhere.
    pub http: Setting<Option<SocketAddr>>,
    /// Facts about the machine.
    pub meta: Setting<BTreeMap<String, String>>,
    /// What the machine fails together with; none: with nothing but itself.
    pub failure_domain: Setting<Option<String>>,
    /// What the machine has, where the kernel is not asked.
    pub capacity: Setting<Amounts>,
    /// What of it is kept.
    pub reserve: Setting<Amounts>,
    /// Host volumes by name.
    pub volumes: Setting<BTreeMap<String, PathBuf>>,
    /// Below which jobs may use any directory.
    pub allow_paths: Setting<Vec<PathBuf>>,
    /// Whether tasks may run as root.
    pub allow_root: Setting<bool>,
    /// Whom tasks run as that name nobody; none: whoever runs the agent.
    pub default_user: Setting<Option<String>>,
    /// How long its node's work may take to move to others before it ends; none: its tasks run on.
    pub drain_on_shutdown: Setting<Option<Duration>>,
    /// What is logged.
    pub log_level: Setting<String>,
    /// Whether as JSON.
    pub log_json: Setting<bool>,
    /// Whether a token was given beside the file, and how: it is never shown.
    pub token: Setting<bool>,
}

/// What the file says.
#[derive(Default)]
struct File {
    name: Option<Setting<String>>,
    data_dir: Option<Setting<PathBuf>>,
    servers: Option<Setting<Vec<Address>>>,
    token_file: Option<Setting<Option<PathBuf>>>,
    key_file: Option<Setting<Option<PathBuf>>>,
    advertise: Option<Setting<Option<String>>>,
    http: Option<Setting<Option<SocketAddr>>>,
    meta: Option<Setting<BTreeMap<String, String>>>,
    failure_domain: Option<Setting<Option<String>>>,
    capacity: Option<Setting<Amounts>>,
    reserve: Option<Setting<Amounts>>,
    volumes: Option<Setting<BTreeMap<String, PathBuf>>>,
    allow_paths: Option<Setting<Vec<PathBuf>>>,
    allow_root: Option<Setting<bool>>,
    default_user: Option<Setting<Option<String>>>,
    drain_on_shutdown: Option<Setting<Option<Duration>>>,
    log_level: Option<Setting<String>>,
    log_json: Option<Setting<bool>>,
}

/// Reads the file and puts variables and flags over it.
///
/// # Errors
/// [`proto::error::Kind::Invalid`] with all that is wrong in the file, and for servers that are no addresses.
pub fn load(flags: &Flags, global: &Global) -> Result<Config, Error> {
    let file = super::file::read(flags.file.config.as_deref(), &super::file::usual("agent.yml"), decode)?;
    let given = &flags.given;
    let servers = flags.servers.as_deref().map(Address::list).transpose()?;
    let user = || nix::unistd::geteuid().is_root().then(|| "nobody".to_owned());
    let data_dir = || daemon::default_data_dir("agent");
    let json = Some(flags.logging.log_json);
    let token = global.token.as_deref().is_some_and(|token| !token.trim().is_empty());
    Ok(Config {
        name: given.choose("name", flags.name.clone(), file.name, daemon::host_name()),
        data_dir: given.choose("data_dir", flags.data_dir.clone(), file.data_dir, data_dir()),
        servers: given.choose("servers", servers, file.servers, vec![Address::default()]),
        token_file: given.choose("token_file", flags.token_file.clone().map(Some), file.token_file, None),
        key_file: given.choose("key_file", flags.key_file.clone().map(Some), file.key_file, None),
        advertise: given.choose("advertise", flags.advertise.clone().map(Some), file.advertise, None),
        http: given.choose("http", flags.http.map(Some), file.http, None),
        meta: given.choose("meta", Some(flags.meta.iter().cloned().collect()), file.meta, BTreeMap::new()),
        failure_domain: given.choose(
            "failure_domain",
            flags.failure_domain.clone().map(Some),
            file.failure_domain,
            None,
        ),
        capacity: given.choose("capacity", flags.capacity, file.capacity, Amounts::default()),
        reserve: given.choose("reserve", flags.reserve, file.reserve, Amounts::default()),
        volumes: given.choose(
            "volumes",
            Some(flags.volumes.iter().cloned().collect()),
            file.volumes,
            BTreeMap::new(),
        ),
        allow_paths: given.choose(
            "allow_paths",
            Some(flags.allow_paths.clone()),
            file.allow_paths,
            Vec::new(),
        ),
        allow_root: given.choose("allow_root", Some(flags.allow_root), file.allow_root, false),
        default_user: given.choose(
            "default_user",
            flags.default_user.clone().map(Some),
            file.default_user,
            user(),
        ),
        drain_on_shutdown: given.choose(
            "drain_on_shutdown",
            flags.drain_on_shutdown.map(Some),
            file.drain_on_shutdown,
            None,
        ),
        log_level: logging::level(given, &flags.logging, file.log_level),
        log_json: given.choose("log_json", json, file.log_json, false),
        token: given.choose("token", Some(token), None, token),
    })
}

fn decode(reader: &mut Reader<'_>, path: &str, root: Option<&Node>) -> File {
    let table = Table::read(reader, path, root, KEYS, "agent.yml");
    let text = |reader: &mut Reader<'_>, key: &str| {
        table.get(reader, key, |reader, node| reader.text(node, key).map(|text| Some(text.to_owned())))
    };
    File {
        name: table.get(reader, "name", values::machine),
        data_dir: table.get(reader, "data_dir", |reader, node| values::path(reader, node, "data_dir")),
        servers: table.get(reader, "servers", |reader, node| values::servers(reader, node, "servers")),
        token_file: table
            .get(reader, "token_file", |reader, node| values::path(reader, node, "token_file").map(Some)),
        key_file: table
            .get(reader, "key_file", |reader, node| values::path(reader, node, "key_file").map(Some)),
        advertise: text(reader, "advertise"),
        http: table.get(reader, "http", |reader, node| values::socket(reader, node, "http").map(Some)),
        meta: table.get(reader, "meta", |reader, node| values::facts(reader, node, "meta")),
        failure_domain: table
            .get(reader, "failure_domain", |reader, node| values::machine(reader, node).map(Some)),
        capacity: table.get(reader, "capacity", |reader, node| values::amounts(reader, node, "capacity")),
        reserve: table.get(reader, "reserve", |reader, node| values::amounts(reader, node, "reserve")),
        volumes: table.get(reader, "volumes", |reader, node| values::volumes(reader, node, "volumes")),
        allow_paths: table
            .get(reader, "allow_paths", |reader, node| values::paths(reader, node, "allow_paths")),
        allow_root: table
            .get(reader, "allow_root", |reader, node| values::switch(reader, node, "allow_root")),
        default_user: text(reader, "default_user"),
        drain_on_shutdown: table.get(reader, "drain_on_shutdown", |reader, node| {
            reader.duration(node, "drain_on_shutdown", DRAIN_LEAST).map(Some)
        }),
        log_level: table.get(reader, "log_level", logging::level_in_file),
        log_json: table.get(reader, "log_json", |reader, node| values::switch(reader, node, "log_json")),
    }
}

impl Config {
    /// Returns what of it may change while the agent runs.
    #[must_use]
    pub fn rules(&self) -> Rules {
        Rules {
            meta: self.meta.value.clone(),
            failure_domain: self.failure_domain.value.clone(),
            capacity: self.capacity.value,
            reserve: self.reserve.value,
            volumes: self.volumes.value.clone(),
            allow_paths: self.allow_paths.value.clone(),
            allow_root: self.allow_root.value,
            default_user: self.default_user.value.clone(),
            drain_on_shutdown: self.drain_on_shutdown.value,
        }
    }

    /// Takes over what of another reading may change while the agent runs.
    pub fn take_live(&mut self, read: &Self) {
        let Self {
            meta,
            failure_domain,
            capacity,
            reserve,
            volumes,
            allow_paths,
            allow_root,
            default_user,
            drain_on_shutdown,
            log_level,
            ..
        } = read.clone();
        *self = Self {
            meta,
            failure_domain,
            capacity,
            reserve,
            volumes,
            allow_paths,
            allow_root,
            default_user,
            drain_on_shutdown,
            log_level,
            ..self.clone()
        };
    }

    /// Returns all keys as they hold; a token is only said to be there.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        let plain = |text: &String| Some(entry::text(text).into_owned());
        let optional = |text: &Option<String>| entry::optional(text.as_deref());
        let mut entries = vec![
            Entry::new("name", &self.name, plain),
            Entry::new("data_dir", &self.data_dir, |path| Some(entry::path(path))),
            Entry::new("servers", &self.servers, |servers| {
                let servers: Vec<String> = servers.iter().map(Address::host_and_port).collect();
                Some(entry::list(servers.iter().map(String::as_str)))
            }),
            Entry::new("token_file", &self.token_file, |path| path.as_deref().map(entry::path)),
            Entry::new("key_file", &self.key_file, |path| path.as_deref().map(entry::path)),
            Entry::new("advertise", &self.advertise, optional),
            Entry::new("http", &self.http, |http| {
                entry::optional(http.map(|http| http.to_string()).as_deref())
            }),
            Entry::new("meta", &self.meta, |meta| {
                let pairs = meta.iter().map(|(key, value)| (key.as_str(), entry::text(value).into_owned()));
                Some(entry::mapping(pairs))
            })
            .live(),
            Entry::new("failure_domain", &self.failure_domain, optional).live(),
            Entry::new("capacity", &self.capacity, shown).live(),
            Entry::new("reserve", &self.reserve, shown).live(),
            Entry::new("volumes", &self.volumes, |volumes| {
                Some(entry::mapping(volumes.iter().map(|(name, path)| (name.as_str(), entry::path(path)))))
            })
            .live(),
            Entry::new("allow_paths", &self.allow_paths, |paths| {
                let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
                Some(entry::list(paths.iter().map(String::as_str)))
            })
            .live(),
            Entry::new("allow_root", &self.allow_root, |allow| Some(allow.to_string())).live(),
            Entry::new("default_user", &self.default_user, optional).live(),
            Entry::new("drain_on_shutdown", &self.drain_on_shutdown, |within| {
                entry::optional(within.map(show_duration).as_deref())
            })
            .live(),
            Entry::new("log_level", &self.log_level, plain).live(),
            Entry::new("log_json", &self.log_json, |json| Some(json.to_string())),
        ];
        if self.token.value {
            entries.push(Entry::secret("token", &self.token.origin));
        }
        entries
    }
}

/// Shows amounts; nothing said is nothing to show.
fn shown(amounts: &Amounts) -> Option<String> {
    let cpu = amounts.cpu.map(|cpu| ("cpu", show_cpu(cpu)));
    let memory = amounts.memory.map(|memory| ("memory", show_size(memory)));
    (cpu.is_some() || memory.is_some()).then(|| entry::mapping(cpu.into_iter().chain(memory)))
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;
    use crate::config;

    const FULL: &str = "name: vm7\ndata_dir: /data\nservers: [10.0.0.1:4650, 10.0.0.2]\ntoken_file: /etc/t\nkey_file: /etc/k\nadvertise: 10.0.0.7\n\
        http: 127.0.0.1:4651\nmeta: {rack: r1, note: \"a: b\"}\nfailure_domain: sm1\ncapacity: {cpu: 8}\nreserve: {cpu: 500m, memory: 512MiB}\n\
        volumes: {pgdata: /srv/pg}\nallow_paths: [/srv]\nallow_root: true\ndefault_user: web\ndrain_on_shutdown: 10m\nlog_level: debug\nlog_json: true\n";

    #[test]
    fn what_is_printed_reads_back_as_the_same() {
        for text in [FULL, ""] {
            let config = testing::agent(text, &[]).expect("valid");
            let again = testing::agent(&config::print(&config.entries()), &[]).expect("valid");
            assert!(config::changes(&config.entries(), &again.entries()).is_empty(), "{again:?}");
        }
    }

    #[test]
    fn every_key_has_a_flag_that_wins() {
        let args = [
            "--name=vm8",
            "--data-dir=/d",
            "--servers=h:1",
            "--token-file=/t",
            "--key-file=/k",
            "--advertise=10.0.0.8",
            "--http-addr=127.0.0.1:1",
            "--meta=rack=r2",
            "--failure-domain=sm2",
            "--capacity=cpu=4",
            "--reserve=cpu=1",
            "--volume=a=/a",
            "--volume=b=/b",
            "--allow-path=/x",
            "--allow-root",
            "--default-user=me",
            "--drain-on-shutdown=5m",
            "--log-level=warn",
            "--log-json",
        ];
        let config = testing::agent(FULL, &args).expect("valid");
        for entry in config.entries() {
            assert!(matches!(entry.origin, config::Origin::Flag(_)), "{entry:?}");
        }
        assert_eq!(config.volumes.value.len(), 2);
    }

    #[test]
    fn only_what_the_agent_can_take_over_is_live() {
        let before = testing::agent("", &[]).expect("valid");
        let after = testing::agent(FULL, &[]).expect("valid");
        let changes = config::changes(&before.entries(), &after.entries());
        let live: Vec<&str> = changes.iter().filter(|change| change.live).map(|change| change.key).collect();
        let expected = [
            "meta",
            "failure_domain",
            "capacity",
            "reserve",
            "volumes",
            "allow_paths",
            "allow_root",
            "default_user",
            "drain_on_shutdown",
            "log_level",
        ];
        assert_eq!(live, expected);
        assert!(changes.iter().any(|change| change.key == "servers" && !change.live));
    }

    #[test]
    fn all_faults_come_at_once_each_with_its_line() {
        let text = "nmae: x\nreserve: {memory: 512}\nvolumes: {UP: /a, b: rel}\nallow_paths: [/a/../b]\ndocker: {socket: x}\n\
                    log_level: \"a=b=c\"\n";
        let error = testing::agent(text, &[]).expect_err("wrong");
        assert_eq!(error.details.len(), 6, "{:#?}", error.details);
        assert!(error.details[1].contains("did you mean `512MiB`?"), "{:#?}", error.details);
        assert!(error.details[4].contains("`docker` is not supported yet"), "{:#?}", error.details);
    }

    #[test]
    fn a_token_is_never_shown() {
        let mut config = testing::agent("", &[]).expect("valid");
        config.token = Setting::default(true);
        let shown = config::print(&config.entries());
        assert!(shown.contains("# token: (not shown)"), "{shown}");
    }
}
