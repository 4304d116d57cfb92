//! A call that restores a snapshot: its first message says how, and all of them carry bytes.

use futures::StreamExt as _;
use proto::error::{Error, Kind};
use proto::view::Written;
use proto::wire::v1;
use tokio::time::timeout;
use tonic::{Status, Streaming};

use super::grpc::request_id;
use crate::cluster::Cluster;
use crate::limits::RESTORE_PART_WITHIN;
use crate::ops::{self, Caller};

/// Restores what the messages carry.
///
/// # Errors
/// Those of [`ops::restore_snapshot`]; invalid when nothing comes.
pub(super) async fn restore(
    cluster: &Cluster,
    caller: &Caller,
    mut inbound: Streaming<v1::RestoreSnapshotRequest>,
) -> Result<Written, Status> {
    let first = timeout(RESTORE_PART_WITHIN, inbound.message()).await;
    let nothing = || Error::new(Kind::Invalid, "no snapshot came");
    let first = first.map_err(|_| nothing())??.ok_or_else(nothing)?;
    let (id, force) = (request_id(&first.request_id)?, first.force);
    // Who hung up in the middle has not said that this was all of it.
    let broken =
        |status: Status| Error::new(Kind::Invalid, format!("the snapshot broke off: {}", status.message()));
    let rest = inbound.map(|part| part.map(|part| part.data).map_err(broken));
    let parts = futures::stream::once(async { Ok(first.data) }).chain(rest);
    Ok(ops::restore_snapshot(cluster, caller, id, force, parts).await?)
}
