//! Picks host ports on this machine.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::ops::RangeInclusive;

use proto::model::Port;

/// Where dynamic ports come from, as on a node of a cluster: below the range that the kernel takes for outgoing connections.
const DYNAMIC: RangeInclusive<u16> = 20_000..=32_000;

/// Every port of the range is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no port of {}-{} is free on this machine", DYNAMIC.start(), DYNAMIC.end())]
pub(super) struct NoneFree;

/// Chooses a port for every name: static ones as they are, others the first that is free, looking from `seed` on, and is not in
/// `given`.
pub(super) fn choose(
    wanted: &BTreeMap<String, Port>,
    given: &BTreeSet<u16>,
    seed: u64,
    is_free: impl Fn(u16) -> bool,
) -> Result<BTreeMap<String, u16>, NoneFree> {
    let count = u64::from(DYNAMIC.end() - DYNAMIC.start()) + 1;
    let at = |offset: u64| DYNAMIC.start() + ((seed % count + offset) % count) as u16;
    let mut taken = given.clone();
    let mut chosen = BTreeMap::new();
    for (name, port) in wanted {
        let number = match port {
            Port::Static(number) => *number,
            Port::Dynamic => {
                let mut candidates = (0..count).map(at).filter(|port| !taken.contains(port));
                candidates.find(|port| is_free(*port)).ok_or(NoneFree)?
            }
        };
        taken.insert(number);
        chosen.insert(name.clone(), number);
    }
    Ok(chosen)
}

/// Returns whether nobody listens there, neither by TCP nor by UDP. It may be taken the next moment.
pub(super) fn is_free(port: u16) -> bool {
    let any = (Ipv4Addr::UNSPECIFIED, port);
    TcpListener::bind(any).is_ok() && UdpSocket::bind(any).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(ports: &[(&str, Port)]) -> BTreeMap<String, Port> {
        ports.iter().map(|(name, port)| ((*name).to_owned(), *port)).collect()
    }

    #[test]
    fn static_ports_stay_and_dynamic_ones_are_free_and_differ() {
        let wanted = wanted(&[("a", Port::Dynamic), ("b", Port::Dynamic), ("c", Port::Static(80))]);
        let given = BTreeSet::from([32_000]);
        let chosen = choose(&wanted, &given, 12_000, |port| port != 20_000).expect("free ones");
        let expected = [("a".to_owned(), 20_001), ("b".to_owned(), 20_002), ("c".to_owned(), 80)];
        assert_eq!(chosen, BTreeMap::from(expected));
    }

    #[test]
    fn a_machine_without_a_free_port_is_said_so() {
        let chosen = choose(&wanted(&[("a", Port::Dynamic)]), &BTreeSet::new(), 7, |_| false);
        assert_eq!(chosen, Err(NoneFree));
        assert_eq!(NoneFree.to_string(), "no port of 20000-32000 is free on this machine");
    }

    #[test]
    fn a_port_that_somebody_listens_on_is_not_free() {
        let listener = TcpListener::bind("0.0.0.0:0").expect("a port");
        assert!(!is_free(listener.local_addr().expect("an address").port()));
    }
}
