//! The network between machines: one switch, and a wire to each. The switch is a namespace too, so nothing of this machine's own
//! network - its addresses, its firewall, a container engine's rules - is met or changed, and runs beside each other share nothing.

mod filter;
mod leftovers;
mod run;
mod slow_lane;
mod space;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

pub(crate) use filter::Filter;
pub(crate) use slow_lane::SlowLane;
pub(crate) use space::Space;

use run::ip;

/// What the names of namespaces and directories begin with; the number of the process that owns them follows.
const PREFIX: &str = "minijob-field-";

/// A switch and the machines' namespaces, and the directory of all files. Dropping it leaves nothing.
pub(crate) struct Net {
    name: String,
    switch: Space,
    dir: PathBuf,
}

impl Net {
    /// Makes the switch, and sweeps away what runs left that were killed.
    ///
    /// # Panics
    /// When this user may not, or a program or a part of the kernel is missing; says which.
    pub(crate) fn make() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        assert!(
            nix::unistd::geteuid().is_root(),
            "only root can make machines of its own: run the tests as root, or leave these out with `--test story`"
        );
        leftovers::sweep();
        let name = format!("{PREFIX}{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(&name);
        std::fs::create_dir_all(&dir).expect("a directory");
        let switch = Space::make(&format!("{name}-switch"));
        switch.ip("link add bridge type bridge forward_delay 0");
        switch.ip(&format!("addr add {}/24 dev bridge", address(0)));
        switch.ip("link set bridge up");
        Self { name, switch, dir }
    }

    /// Where the files of all machines are.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where people sit: reached by all machines, and no machine.
    pub(crate) fn desk(&self) -> &Space {
        &self.switch
    }

    /// Makes a namespace with a wire to the switch. The number is counted from 0.
    pub(crate) fn plug(&self, number: usize) -> Space {
        let space = Space::make(&format!("{}-m{number}", self.name));
        let (switch, own) = (self.switch.name(), space.name());
        ip(&format!("-n {switch} link add {} type veth peer name eth0 netns {own}", port(number)));
        self.switch.ip(&format!("link set {} master bridge up", port(number)));
        space.ip(&format!("addr add {}/24 dev eth0", address(number + 1)));
        space.ip("link set eth0 up");
        space
    }

    /// Pulls a machine's wire out of the switch, or plugs it in again: what is sent is lost, and nobody is told.
    pub(crate) fn wire(&self, number: usize, is_plugged: bool) {
        // Not `down`: a machine whose link goes down learns of it.
        let to = if is_plugged { "master bridge" } else { "nomaster" };
        self.switch.ip(&format!("link set {} {to}", port(number)));
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        leftovers::remove(&self.dir);
    }
}

/// The address of a machine, counted from 1; 0 is the desk. The same in every run: no two can meet.
pub(crate) fn address(place: usize) -> String {
    format!("10.79.0.{}", place + 1)
}

fn port(number: usize) -> String {
    format!("m{number}")
}
