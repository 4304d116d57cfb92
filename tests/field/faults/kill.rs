//! Processes that are killed, alone or with everything on their machine.

use nix::sys::signal::Signal;

use crate::cluster::Cluster;

impl Cluster {
    /// Kills a machine's server and nothing else.
    pub(crate) fn kill_server(&mut self, number: usize) {
        self.end_server(number, Signal::SIGKILL);
    }

    /// Ends a machine's server with a signal, and waits until it has ended.
    pub(crate) fn end_server(&mut self, number: usize, how: Signal) {
        let machine = &mut self.machines[number];
        let daemon = machine.server.take().expect("it runs");
        machine.remember(&daemon);
        daemon.kill(how);
    }

    /// Kills a machine's agent and nothing else: its keeper and its tasks go on.
    pub(crate) fn kill_agent(&mut self, number: usize) {
        self.end_agent(number, Signal::SIGKILL);
    }

    /// Ends a machine's agent with a signal, and waits until it has ended.
    pub(crate) fn end_agent(&mut self, number: usize, how: Signal) {
        let machine = &mut self.machines[number];
        let daemon = machine.agent.take().expect("it runs");
        machine.remember(&daemon);
        daemon.kill(how);
    }

    /// Kills everything of a machine - server, agent, keeper, tasks - and pulls its wire, as when its power is cut: nobody is told.
    pub(crate) fn kill_machine(&mut self, number: usize) {
        self.net.wire(number, false);
        let machine = &mut self.machines[number];
        machine.space.kill_all();
        for daemon in [machine.server.take(), machine.agent.take()].into_iter().flatten() {
            machine.remember(&daemon);
            daemon.kill(Signal::SIGKILL);
        }
    }

    /// Puts a machine's wire back and gives it another boot; nothing runs on it yet.
    pub(crate) fn power_on(&mut self, number: usize) {
        self.machines[number].boot_anew();
        self.net.wire(number, true);
    }
}
