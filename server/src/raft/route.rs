//! Who speaks to whom: every message between servers says whom it is meant for, and who is not meant refuses it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use proto::wire::{WIRE_VERSION, v1};

use crate::limits::PEER_WIRE_OLDEST as WIRE_OLDEST;

/// The cluster that a server belongs to, once it knows. Clones share it.
///
/// The log does not know what its commands say, so whoever does tells it here; until then any cluster is taken for its own, and only
/// the server's id protects it.
#[derive(Clone, Debug, Default)]
pub struct ClusterId(Arc<AtomicU64>);

impl ClusterId {
    /// Tells which cluster it is: what the state calls it. 0 means none yet. A second call takes the place of the first.
    pub fn set(&self, id: u64) {
        self.0.store(id, Ordering::Release);
    }

    /// Returns the cluster; none until it was told.
    #[must_use]
    pub fn get(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Acquire)).filter(|id| *id != 0)
    }
}

/// A message that was not meant for this server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Misdirected {
    #[error(
        "this server is {own:x}, the message is meant for {meant:x}: another server had this address before; \
         remove it from the cluster, or give it an address of its own"
    )]
    Server { own: u64, meant: u64 },
    #[error(
        "this server belongs to cluster {own:x}, the message came from cluster {other:x}: two clusters use one address; \
         see --join and --advertise of server {from:x}"
    )]
    Cluster { own: u64, other: u64, from: u64 },
    #[error(
        "server {from:x} speaks wire version {theirs}, which this server (wire version {WIRE_VERSION}) does not understand: \
         update the older one"
    )]
    Wire { theirs: u32, from: u64 },
    #[error("the message does not say whom it is meant for")]
    Missing,
}

/// One server's own side of every message.
#[derive(Clone, Debug)]
pub(crate) struct Own {
    pub(crate) id: u64,
    pub(crate) cluster: ClusterId,
}

impl Own {
    /// What goes with a message to a server.
    pub(crate) fn route_to(&self, to: u64) -> v1::Route {
        v1::Route {
            wire: WIRE_VERSION,
            wire_least: WIRE_OLDEST,
            cluster: self.cluster.get().unwrap_or_default(),
            from: self.id,
            to,
        }
    }

    /// Returns who sent a message, if it is meant for this server.
    pub(crate) fn accept(&self, route: Option<&v1::Route>) -> Result<u64, Misdirected> {
        let route = route.ok_or(Misdirected::Missing)?;
        let from = route.from;
        if route.wire < WIRE_OLDEST || route.wire_least > WIRE_VERSION {
            return Err(Misdirected::Wire { theirs: route.wire, from });
        }
        if route.to != self.id {
            return Err(Misdirected::Server { own: self.id, meant: route.to });
        }
        match self.cluster.get() {
            Some(own) if route.cluster != 0 && route.cluster != own => {
                Err(Misdirected::Cluster { own, other: route.cluster, from })
            }
            _ => Ok(from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(id: u64, cluster: u64) -> Own {
        let own = Own { id, cluster: ClusterId::default() };
        own.cluster.set(cluster);
        own
    }

    #[test]
    fn only_who_is_meant_accepts() {
        let route = own(1, 0xc1).route_to(2);
        assert_eq!(own(2, 0xc1).accept(Some(&route)), Ok(1));
        assert_eq!(own(2, 0).accept(Some(&route)), Ok(1), "who is to join has no cluster yet");
        assert_eq!(own(2, 0xc1).accept(Some(&own(1, 0).route_to(2))), Ok(1), "nor has who has just made it");
        let refused = own(3, 0xc1).accept(Some(&route)).unwrap_err().to_string();
        assert!(refused.starts_with("this server is 3, the message is meant for 2"), "{refused}");
        let refused = own(2, 0xc2).accept(Some(&route)).unwrap_err().to_string();
        assert!(
            refused.starts_with("this server belongs to cluster c2, the message came from cluster c1"),
            "{refused}"
        );
        assert_eq!(own(2, 0xc1).accept(None), Err(Misdirected::Missing));
    }

    #[test]
    fn a_version_that_is_not_understood_is_refused_by_name() {
        let newer = v1::Route { wire: WIRE_VERSION + 1, ..own(1, 0).route_to(2) };
        assert_eq!(own(2, 0).accept(Some(&newer)), Ok(1), "newer, and says that we understand it");
        let newer = v1::Route { wire_least: WIRE_VERSION + 1, ..newer };
        let refused = own(2, 0).accept(Some(&newer)).unwrap_err().to_string();
        assert!(refused.starts_with("server 1 speaks wire version 2"), "{refused}");
        let nothing = v1::Route { wire: 0, ..own(1, 0).route_to(2) };
        assert!(matches!(own(2, 0).accept(Some(&nothing)), Err(Misdirected::Wire { theirs: 0, .. })));
    }
}
