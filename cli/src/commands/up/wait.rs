//! Waiting until what `up` started is of use.

use std::path::PathBuf;
use std::time::Duration;

use proto::error::{Error, Kind};
use proto::key::ClusterKey;
use proto::model::Liveness;
use proto::time::boottime;
use proto::view::ServerList;
use proto::wire::v1;

use crate::address::Address;
use crate::config::{self, agent};
use crate::connect::{Client, Servers};
use crate::{limits, read, token};

/// What a member's data directory calls the CA of its cluster.
pub const CA_FILE: &str = "ca.pem";

/// How far what was started has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// The node is up: jobs run on it.
    Up,
    /// The server waits for the others that make the cluster.
    Alone,
    /// The servers are there, and what this machine has does not let it ask them: the administrator's token was changed.
    Unseen,
}

/// Where the services of this machine are to be found, by their files.
pub struct Place {
    /// Servers, the own one alone where there is one.
    pub address: String,
    /// The node's name.
    pub node: String,
    credential: Credential,
    /// The CA that members of a cluster are believed by; there once this one has enrolled.
    ca: Option<PathBuf>,
    forms: bool,
}

/// What lets this command in.
enum Credential {
    /// Kept by the server of this machine, which may be about to make it.
    File(PathBuf),
    /// Derived from the cluster's key, which a machine without a server has.
    Derived(ClusterKey),
}

impl Place {
    /// Returns the server of this machine.
    #[must_use]
    pub fn own(server: &config::server::Config, agent: &agent::Config) -> Self {
        let mut listen = server.listen.value;
        if listen.ip().is_unspecified() {
            listen.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        }
        Self {
            address: listen.to_string(),
            node: agent.name.value.clone(),
            credential: Credential::File(server.data_dir.value.join("token")),
            ca: server.key_file.value.as_ref().map(|_| server.data_dir.value.join(CA_FILE)),
            forms: server.bootstrap_expect.value > 1,
        }
    }

    /// Returns the servers of a machine that has an agent only.
    #[must_use]
    pub fn elsewhere(agent: &agent::Config, key: ClusterKey) -> Self {
        let servers: Vec<String> = agent.servers.value.iter().map(Address::host_and_port).collect();
        Self {
            address: servers.join(","),
            node: agent.name.value.clone(),
            credential: Credential::Derived(key),
            ca: Some(agent.data_dir.value.join(CA_FILE)),
            forms: false,
        }
    }

    /// Waits until the node is up, or, with a server that makes a cluster with others, until it is plain that these are not there yet.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] when the services do not come up in [`limits::SERVICES_UP`].
    pub async fn wait(&self) -> Result<Reached, Error> {
        let begun = boottime();
        loop {
            let last = match self.look().await {
                Ok(true) => return Ok(Reached::Up),
                Ok(false) => format!("node {} is not up", self.node),
                Err(error) if error.kind == Kind::Forbidden => return Ok(Reached::Unseen),
                Err(error) => error.message,
            };
            let waited = boottime().since(begun);
            if self.forms && waited >= limits::SERVERS_MEET && self.waits_for_others().await {
                return Ok(Reached::Alone);
            }
            if waited >= limits::SERVICES_UP {
                let message = format!("the services do not come up: {last}");
                let hint = "`journalctl -u minijob-server -u minijob-agent` shows what they say";
                return Err(Error::new(Kind::Unavailable, message).hint(hint));
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }

    async fn look(&self) -> Result<bool, Error> {
        let nodes = read::nodes(&self.servers()?, None).await?.view.items;
        Ok(nodes.iter().any(|node| node.name == self.node && node.liveness == Liveness::Up))
    }

    /// Whether the own server answers and belongs to no cluster yet.
    async fn waits_for_others(&self) -> bool {
        let call =
            |mut client: Client| async move { client.list_servers(v1::ListServersRequest::default()).await };
        let Ok(servers) = self.servers() else { return false };
        let Ok(document) = servers.ask(call).await else { return false };
        let list = read::understood::<ServerList>(document);
        list.is_ok_and(|list| list.view.items.iter().all(|server| !server.voter))
    }

    fn servers(&self) -> Result<Servers, Error> {
        let secret = match &self.credential {
            Credential::File(file) => {
                token::given(None, Some(file))?.map(|token| token.secret).unwrap_or_default()
            }
            Credential::Derived(key) => server::api::Token::of_key(key).reveal().to_owned(),
        };
        match &self.ca {
            Some(ca) => Servers::trusting(&self.address, &secret, ca),
            None => Servers::at(&self.address, &secret),
        }
    }
}
