//! Waiting for a time of the cluster's clock.

use std::time::Duration;

use proto::time::Timestamp;

use crate::cluster::Cluster;

/// The longest sleep: tokio's clock stands still while the machine is suspended and the cluster's does not.
const NAP: Duration = Duration::from_secs(10);

/// Waits until that time has come; for ever without one.
pub(super) async fn until(cluster: &Cluster, at: Option<Timestamp>) {
    let Some(at) = at else { return std::future::pending().await };
    loop {
        let left = at.since(cluster.now());
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(NAP)).await;
    }
}
