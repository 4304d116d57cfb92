//! The host ports of a node that are taken.

use std::fmt;

use imbl::OrdSet;

use crate::limits::{DYNAMIC_PORT_FIRST, DYNAMIC_PORT_LAST};

/// Taken ports; how many dynamic ones are left is known without counting.
#[derive(Clone, Default)]
pub struct Ports {
    taken: OrdSet<u16>,
    dynamic: u32,
}

impl Ports {
    /// Takes a port; nothing happens when it is taken.
    pub fn insert(&mut self, port: u16) {
        let new = self.taken.insert(port).is_none();
        self.dynamic += u32::from(new && is_dynamic(port));
    }

    /// Gives a port back; nothing happens when it is free.
    pub fn remove(&mut self, port: u16) {
        let was_taken = self.taken.remove(&port).is_some();
        self.dynamic -= u32::from(was_taken && is_dynamic(port));
    }

    /// Returns whether a port is taken.
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        self.taken.contains(&port)
    }

    /// Returns the taken ports in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u16> {
        self.taken.iter().copied()
    }

    /// Returns how many of the ports that the server picks are left.
    #[must_use]
    pub const fn free_dynamic(&self) -> u32 {
        (DYNAMIC_PORT_LAST - DYNAMIC_PORT_FIRST) as u32 + 1 - self.dynamic
    }
}

impl fmt::Debug for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.taken.fmt(f)
    }
}

const fn is_dynamic(port: u16) -> bool {
    port >= DYNAMIC_PORT_FIRST && port <= DYNAMIC_PORT_LAST
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dynamic_ports_are_counted_once_and_others_never() {
        let mut ports = Ports::default();
        let all = ports.free_dynamic();
        for port in [80, DYNAMIC_PORT_FIRST, DYNAMIC_PORT_FIRST, DYNAMIC_PORT_LAST, DYNAMIC_PORT_LAST + 1] {
            ports.insert(port);
        }
        assert_eq!(ports.free_dynamic(), all - 2);
        for port in [80, DYNAMIC_PORT_FIRST, DYNAMIC_PORT_FIRST] {
            ports.remove(port);
        }
        assert_eq!(ports.free_dynamic(), all - 1);
        assert_eq!(ports.iter().collect::<Vec<_>>(), [DYNAMIC_PORT_LAST, DYNAMIC_PORT_LAST + 1]);
    }
}
