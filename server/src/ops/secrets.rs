//! Keys and tokens: what lets members and people in.

use proto::error::{Error, Kind as ErrorKind};
use proto::ids::RequestId;
use proto::view::{KeyHolder, KeyStatus, Written};

use super::jobs::written;
use super::{Caller, Capability};
use crate::cluster::Cluster;
use crate::core::state::{Kind, OperatorToken};
use crate::forming::Forming;

/// Says which keys the servers have, each asked at this moment, and which of them the cluster's CA is sealed with.
///
/// # Errors
/// Forbidden; refused for a server without a key.
pub async fn key_status(
    cluster: &Cluster,
    forming: Option<&Forming>,
    caller: &Caller,
) -> Result<KeyStatus, Error> {
    caller.need(Capability::Read)?;
    let forming = forming.ok_or_else(|| Error::new(ErrorKind::Refused, "this cluster has no key"))?;
    let mark = |mark: &u64| format!("{mark:016x}");
    let holder = |(name, keys): (String, Option<Vec<u64>>)| KeyHolder {
        name,
        reachable: keys.is_some(),
        keys: keys.iter().flatten().map(mark).collect(),
    };
    let mut servers: Vec<_> = forming.keys_of_all().await.into_iter().map(holder).collect();
    servers.sort_by(|one, other| one.name.cmp(&other.name));
    let sealed_with = forming.sealed_with(&cluster.snapshot()).as_ref().map(mark);
    Ok(KeyStatus { sealed_with, servers })
}

/// Lets administrators in by another token from now on, of which only the hash is told; the one before, and the one that the cluster began with,
/// open nothing any more. The same again changes nothing.
///
/// # Errors
/// Forbidden; invalid for what is no hash; refused without a key; and those of [`Cluster::write`].
pub async fn set_operator_token(
    cluster: &Cluster,
    has_key: bool,
    caller: &Caller,
    request: RequestId,
    hash: &[u8],
) -> Result<Written, Error> {
    caller.need(Capability::Operator)?;
    if !has_key {
        let error = Error::new(
            ErrorKind::Refused,
            "the token of a server without a key is the file `token` in its data directory",
        );
        return Err(error.hint("stop the server, remove the file, and start it again: it makes another one"));
    }
    let wrong = |_| Error::new(ErrorKind::Invalid, format!("a hash has 32 bytes, this one {}", hash.len()));
    let token = OperatorToken { hash: hash.try_into().map_err(wrong)?, first: false };
    written(cluster.write(&caller.actor, request, Kind::PutOperatorToken(token)).await?)
}
