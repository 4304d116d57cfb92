//! Calls to other servers, over one connection to each.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use proto::error::{Error, Kind};
use proto::wire::v1;
use proto::wire::v1::peer_client::PeerClient;
use tokio::time::timeout;
use tonic::transport::Channel;

use crate::limits::{GREET_WITHIN, JOIN_WITHIN, PEERS_KNOWN};
use crate::raft::{Dial, Purpose};

type Client = PeerClient<Channel>;

/// The connections.
#[derive(Debug)]
pub(super) struct Calls {
    dial: Arc<dyn Dial>,
    known: Mutex<BTreeMap<String, Client>>,
}

impl Calls {
    pub(super) fn new(dial: Arc<dyn Dial>) -> Self {
        Self { dial, known: Mutex::default() }
    }

    pub(super) async fn greet(&self, addr: &str, own: v1::PeerGreeting) -> Result<v1::PeerGreeting, Error> {
        let mut client = self.to(addr)?;
        answered(addr, timeout(GREET_WITHIN, client.greet(own)).await)
    }

    pub(super) async fn join(&self, addr: &str, own: v1::PeerGreeting) -> Result<v1::PeerJoined, Error> {
        let mut client = self.to(addr)?;
        answered(addr, timeout(JOIN_WITHIN, client.join(v1::PeerJoin { from: Some(own) })).await)
    }

    fn to(&self, addr: &str) -> Result<Client, Error> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = known.get(addr) {
            return Ok(client.clone());
        }
        let channel = self.dial.dial(addr, Purpose::Calls);
        let channel = channel.map_err(|error| Error::new(Kind::Invalid, error.to_string()))?;
        let client = PeerClient::new(channel);
        if known.len() >= PEERS_KNOWN {
            // Addresses of servers that went: those that are there come back with the next call.
            known.clear();
        }
        known.insert(addr.to_owned(), client.clone());
        Ok(client)
    }
}

type Answered<T> = Result<Result<tonic::Response<T>, tonic::Status>, tokio::time::error::Elapsed>;

fn answered<T>(addr: &str, answered: Answered<T>) -> Result<T, Error> {
    match answered {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(Error::from(&status)),
        Err(_) => Err(Error::new(Kind::Unavailable, format!("the server at {addr} does not answer"))),
    }
}
