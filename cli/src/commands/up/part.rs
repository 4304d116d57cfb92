//! Which part a machine takes in a cluster: a server with an agent, or an agent alone.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};

use nix::ifaddrs::getifaddrs;
use proto::error::{Error, Kind};

use crate::address::Address;
use crate::service::{Own, Setup};

/// What `up --join` was told.
#[derive(Debug)]
pub struct Asked {
    /// The servers of the cluster.
    pub join: Vec<Address>,
    /// This machine's address as one more server, or as one of them where that is not plain; none: found out.
    pub advertise: Option<SocketAddr>,
}

/// Returns what this machine is to be: a server where one of the servers' addresses is its own, else an agent. Names are looked up.
///
/// # Errors
/// [`Kind::Invalid`] for an address that is not this machine's, and where several of the servers are this machine.
pub fn of_this_machine(asked: Asked) -> Result<Setup, Error> {
    let unknown =
        |cause| Error::new(Kind::Internal, format!("this machine's addresses are unknown: {cause}"));
    let local = getifaddrs().map_err(unknown)?.filter_map(|interface| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
    });
    let local: BTreeSet<IpAddr> = local.collect();
    // A name that nobody knows yet may be another machine that is set up later.
    let look_up = |server: &Address| -> Vec<SocketAddr> {
        server.host_and_port().to_socket_addrs().map(Iterator::collect).unwrap_or_default()
    };
    let found: Vec<Vec<SocketAddr>> = asked.join.iter().map(look_up).collect();
    decide(asked, &found, &local)
}

/// Decides so from what the servers' names stand for and which addresses this machine has.
fn decide(asked: Asked, found: &[Vec<SocketAddr>], local: &BTreeSet<IpAddr>) -> Result<Setup, Error> {
    let Asked { join, advertise } = asked;
    let is_ours = |address: &SocketAddr| local.contains(&address.ip());
    let ours: Vec<SocketAddr> =
        found.iter().filter_map(|found| found.iter().copied().find(is_ours)).collect();
    let listen = match (advertise, &ours[..]) {
        (Some(own), _) if is_ours(&own) => Some(own),
        (Some(own), _) => {
            let message = format!("{own} is no address of this machine");
            return Err(Error::new(Kind::Invalid, message).hint(format!("it has {}", listed(local))));
        }
        (None, []) => None,
        (None, [own]) => Some(*own),
        (None, [one, other, ..]) => {
            let message = format!("both {one} and {other} are this machine, and it runs one server");
            let hint = "name other machines, or say which it is: --advertise ADDRESS:PORT";
            return Err(Error::new(Kind::Invalid, message).hint(hint));
        }
    };
    let expect = u32::try_from(join.len()).unwrap_or(u32::MAX);
    let own = listen.map(|listen| {
        let is_first = found.iter().any(|found| found.contains(&listen));
        // One more server joins what is there and makes nothing new.
        Own { listen, expect: if is_first { expect } else { 1 } }
    });
    Ok(Setup::Cluster { servers: join.iter().map(Address::host_and_port).collect(), own })
}

fn listed(local: &BTreeSet<IpAddr>) -> String {
    let others = local.iter().filter(|ip| !ip.is_loopback());
    others.map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE: &str = "10.0.0.1,10.0.0.2,10.0.0.3";

    fn decided(join: &str, advertise: Option<&str>, local: &[&str]) -> Result<Setup, Error> {
        let join = Address::list(join).expect("addresses");
        let found: Vec<Vec<SocketAddr>> =
            join.iter().map(|server| server.host_and_port().parse().into_iter().collect()).collect();
        let local = local.iter().map(|ip| ip.parse().expect("an address")).collect();
        let advertise = advertise.map(|address| address.parse().expect("an address"));
        decide(Asked { join, advertise }, &found, &local)
    }

    fn own(setup: Result<Setup, Error>) -> Option<(String, u32)> {
        let Setup::Cluster { own, .. } = setup.expect("decided") else { panic!("alone") };
        own.map(|own| (own.listen.to_string(), own.expect))
    }

    #[test]
    fn a_machine_whose_address_is_named_is_a_server_and_every_other_an_agent() {
        let local = ["127.0.0.1", "10.0.0.2"];
        assert_eq!(own(decided(THREE, None, &local)), Some(("10.0.0.2:4650".to_owned(), 3)));
        assert_eq!(own(decided(THREE, None, &["127.0.0.1", "10.0.0.7"])), None);
        assert_eq!(
            own(decided("db.example:4650,10.0.0.2", None, &local)),
            Some(("10.0.0.2:4650".to_owned(), 2))
        );
    }

    #[test]
    fn one_more_server_says_its_address_and_makes_no_cluster_of_its_own() {
        let fourth = decided(THREE, Some("10.0.0.4:4650"), &["10.0.0.4"]);
        assert_eq!(own(fourth), Some(("10.0.0.4:4650".to_owned(), 1)));
        let error = decided(THREE, Some("10.0.0.9:4650"), &["127.0.0.1", "10.0.0.4"]).expect_err("not ours");
        assert!(error.message.contains("10.0.0.9") && error.hint.contains("10.0.0.4"), "{error:?}");
    }

    #[test]
    fn which_of_two_servers_it_is_has_to_be_said() {
        let two = "10.0.0.1:4650,10.0.0.1:4651";
        let error = decided(two, None, &["10.0.0.1"]).expect_err("both");
        assert!(error.hint.contains("--advertise"), "{error:?}");
        let said = decided(two, Some("10.0.0.1:4651"), &["10.0.0.1"]);
        assert_eq!(own(said), Some(("10.0.0.1:4651".to_owned(), 2)));
    }
}
