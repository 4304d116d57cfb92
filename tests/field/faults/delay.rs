//! A slow and lossy network: what arrives at a machine arrives late, or not at all.

use std::time::Duration;

use crate::cluster::Cluster;
use crate::net::SlowLane;

impl Cluster {
    /// Everything that arrives at any machine has waited for `delay`, the same each time, and of a thousand packets `lost` do not arrive.
    pub(crate) fn worsen(&mut self, delay: Duration, lost: u32) {
        for machine in &mut self.machines {
            machine.slow_lane.get_or_insert_with(|| SlowLane::open(&machine.space, delay));
            machine.filter.is_slow = true;
            machine.filter.loses = lost;
            machine.filter_again();
        }
    }

    /// Everything arrives at once again.
    pub(crate) fn smooth(&mut self) {
        for machine in &mut self.machines {
            (machine.filter.is_slow, machine.filter.loses) = (false, 0);
            machine.filter_again();
        }
    }
}

/// How long a machine's packets to another and back take.
pub(crate) fn round_trip(cluster: &Cluster, from: usize, to: usize) -> Duration {
    let space = cluster.machines[from].space.clone();
    let target: std::net::SocketAddr = cluster.machines[to].server_address().parse().expect("an address");
    let connected = std::thread::spawn(move || {
        space.settle();
        let begin = std::time::Instant::now();
        let _stream = std::net::TcpStream::connect(target).expect("its server listens");
        begin.elapsed()
    });
    connected.join().expect("it connects")
}
