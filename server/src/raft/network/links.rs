//! The connections of a server to all others: one for the log and one for snapshots to each, shared by all who send.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use proto::wire::v1::raft_client::RaftClient;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::appends::Appends;
use super::dial::{BadAddress, Dial, Purpose};
use crate::limits::RAFT_MESSAGE_BYTES;
use crate::raft::route::Own;
use crate::raft::types::Peer;

/// All connections of one server. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Links {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    own: Own,
    dial: Arc<dyn Dial>,
    /// As many as there ever were servers.
    known: Mutex<BTreeMap<u64, Link>>,
}

/// The connections to one server. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) own: Own,
    pub(crate) target: u64,
    pub(crate) peer: Peer,
    pub(crate) log: RaftClient<Channel>,
    pub(crate) snapshots: RaftClient<Channel>,
    pub(super) appends: Appends,
    /// What was last refused, so that it is told once and not five times a second.
    refusal: Arc<Mutex<Option<String>>>,
}

impl Links {
    pub(crate) fn new(own: Own, dial: Arc<dyn Dial>) -> Self {
        Self { shared: Arc::new(Shared { own, dial, known: Mutex::default() }) }
    }

    /// Returns the connections to a server; the same ones as long as its address stays.
    pub(crate) fn to(&self, target: u64, peer: &Peer) -> Result<Link, BadAddress> {
        let mut known = self.shared.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(link) = known.get(&target).filter(|link| link.peer == *peer) {
            return Ok(link.clone());
        }
        let client = |purpose| {
            let channel = self.shared.dial.dial_server(target, &peer.addr, purpose)?;
            Ok(RaftClient::new(channel)
                .max_decoding_message_size(RAFT_MESSAGE_BYTES)
                .max_encoding_message_size(RAFT_MESSAGE_BYTES))
        };
        let link = Link {
            own: self.shared.own.clone(),
            target,
            peer: peer.clone(),
            log: client(Purpose::Log)?,
            snapshots: client(Purpose::Snapshots)?,
            appends: Appends::default(),
            refusal: Arc::default(),
        };
        known.insert(target, link.clone());
        Ok(link)
    }
}

impl Link {
    /// What goes with every message to this server.
    pub(crate) fn route(&self) -> proto::wire::v1::Route {
        self.own.route_to(self.target)
    }

    /// Tells a person about a server that answers and refuses; one that does not answer is told by who waits for it.
    pub(crate) fn note(&self, status: &Status) {
        let refused = status.code() == Code::FailedPrecondition;
        let said = refused.then(|| status.message().to_owned());
        let mut last = self.refusal.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reason) = said.as_ref().filter(|said| last.as_ref() != Some(said)) {
            let Peer { name, addr } = &self.peer;
            tracing::error!(peer = name, addr, reason, "another server refuses our messages");
        }
        if refused {
            *last = said;
        }
    }
}
