//! Processes that stand still and go on later, as on a host that is overloaded or moves a virtual machine.

use nix::sys::signal::Signal;
use tests::daemon::Daemon;
use tests::process::signal;

use crate::machine::Machine;

impl Machine {
    /// Lets its server stand still, or go on.
    pub(crate) fn freeze_server(&self, is_frozen: bool) {
        freeze(self.server.as_ref(), is_frozen);
    }

    /// Lets its agent stand still, or go on. Its tasks go on.
    pub(crate) fn freeze_agent(&self, is_frozen: bool) {
        freeze(self.agent.as_ref(), is_frozen);
    }
}

fn freeze(daemon: Option<&Daemon>, is_frozen: bool) {
    let how = if is_frozen { Signal::SIGSTOP } else { Signal::SIGCONT };
    signal(daemon.expect("it runs").pid(), how);
}
