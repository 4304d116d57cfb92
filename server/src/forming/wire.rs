//! Greetings to and from `peer.proto`.

use proto::error::{Error, Kind};
use proto::wire::v1;

use crate::core::forming::{Greeting, Promise, Server};
use crate::limits::PEERS_KNOWN;
use pki::limits::KEYS_MAX;

pub(super) fn greeting_to_wire(greeting: &Greeting) -> v1::PeerGreeting {
    v1::PeerGreeting {
        wire: greeting.wire,
        wire_least: greeting.wire_least,
        state: greeting.state,
        disk: greeting.disk,
        version: greeting.version.clone(),
        server: Some(server_to_wire(&greeting.server)),
        cluster: greeting.cluster,
        formed: greeting.formed,
        expect: greeting.expect,
        sees: greeting.sees.iter().copied().collect(),
        promise: greeting.promise.as_ref().map(promise_to_wire),
        applied: greeting.applied,
        keys: greeting.keys.clone(),
    }
}

pub(super) fn greeting_from_wire(greeting: v1::PeerGreeting) -> Result<Greeting, Error> {
    let bad = || Error::new(Kind::Invalid, "a server's greeting cannot be read");
    if greeting.sees.len() > PEERS_KNOWN || greeting.keys.len() > KEYS_MAX {
        return Err(bad());
    }
    Ok(Greeting {
        server: server_from_wire(greeting.server.ok_or_else(bad)?).ok_or_else(bad)?,
        wire: greeting.wire,
        wire_least: greeting.wire_least,
        state: greeting.state,
        disk: greeting.disk,
        version: greeting.version,
        cluster: greeting.cluster,
        formed: greeting.formed,
        expect: greeting.expect,
        sees: greeting.sees.into_iter().collect(),
        promise: match greeting.promise {
            Some(promise) => Some(promise_from_wire(promise).ok_or_else(bad)?),
            None => None,
        },
        applied: greeting.applied,
        keys: greeting.keys,
    })
}

pub(super) fn promise_to_wire(promise: &Promise) -> v1::PeerPromise {
    use v1::peer_promise::Kind;
    let kind = match promise {
        Promise::Form(servers) => {
            Kind::Form(v1::PeerServers { servers: servers.iter().map(server_to_wire).collect() })
        }
        Promise::Join(cluster) => Kind::Join(*cluster),
    };
    v1::PeerPromise { kind: Some(kind) }
}

/// None: it promises what this version does not know.
pub(super) fn promise_from_wire(promise: v1::PeerPromise) -> Option<Promise> {
    use v1::peer_promise::Kind;
    Some(match promise.kind? {
        Kind::Form(set) if set.servers.len() <= PEERS_KNOWN => {
            Promise::Form(set.servers.into_iter().map(server_from_wire).collect::<Option<_>>()?)
        }
        Kind::Form(_) => return None,
        Kind::Join(cluster) => Promise::Join(cluster),
    })
}

fn server_to_wire(server: &Server) -> v1::PeerServer {
    v1::PeerServer { id: server.id, name: server.name.clone(), address: server.addr.clone() }
}

fn server_from_wire(server: v1::PeerServer) -> Option<Server> {
    let whole = server.id != 0 && !server.name.is_empty() && !server.address.is_empty();
    whole.then_some(Server { id: server.id, addr: server.address, name: server.name })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(id: u64) -> Server {
        Server { id, addr: format!("10.0.0.{id}:4650"), name: format!("s{id}") }
    }

    #[test]
    fn greetings_come_back() {
        for promise in [None, Some(Promise::Join(7)), Some(Promise::Form(vec![server(1), server(2)]))] {
            let greeting = Greeting {
                server: server(1),
                wire: 3,
                wire_least: 2,
                state: 4,
                disk: 6,
                version: "1.2".into(),
                cluster: 5,
                formed: true,
                expect: 3,
                sees: [1, 2].into(),
                promise,
                applied: 9,
                keys: vec![7, 8],
            };
            assert_eq!(greeting_from_wire(greeting_to_wire(&greeting)).unwrap(), greeting);
        }
    }

    #[test]
    fn a_promise_that_is_not_understood_is_no_missing_one() {
        let unknown = v1::PeerPromise { kind: None };
        assert_eq!(promise_from_wire(unknown.clone()), None);
        let mut greeting =
            v1::PeerGreeting { server: Some(server_to_wire(&server(1))), ..Default::default() };
        assert!(greeting_from_wire(greeting.clone()).is_ok());
        greeting.promise = Some(unknown);
        assert!(greeting_from_wire(greeting).is_err());
        assert!(greeting_from_wire(v1::PeerGreeting::default()).is_err(), "nor is nobody anybody");
    }
}
