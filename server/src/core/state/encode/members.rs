//! The CA and who was thrown out, in commands and in the header of a snapshot.

use proto::time::Timestamp;
use proto::wire::{BadMessage, v1};

use super::need;
use crate::core::state::{Authority, Denied, Kind, OperatorToken};

pub(super) fn authority_to_wire(authority: &Authority) -> v1::Authority {
    v1::Authority { sealed: authority.sealed.clone().into(), trust: authority.trust.clone() }
}

pub(super) fn authority_from_wire(authority: v1::Authority) -> Authority {
    Authority { sealed: authority.sealed.to_vec(), trust: authority.trust }
}

pub(super) fn token_to_wire(token: &OperatorToken) -> v1::OperatorToken {
    v1::OperatorToken { hash: token.hash.to_vec().into(), first: token.first }
}

pub(super) fn token_from_wire(token: &v1::OperatorToken) -> Result<OperatorToken, BadMessage> {
    Ok(OperatorToken { hash: need(token.hash.as_ref().try_into().ok(), "hash")?, first: token.first })
}

pub(super) fn deny_to_wire(id: u64, denied: Option<&Denied>) -> v1::DenyMember {
    let name = denied.map(|denied| denied.name.clone()).unwrap_or_default();
    v1::DenyMember { id, name, until_ms: denied.map_or(0, |denied| denied.until.0), admit: denied.is_none() }
}

pub(super) fn deny_from_wire(deny: v1::DenyMember) -> Kind {
    let denied = Denied { name: deny.name, until: Timestamp(deny.until_ms) };
    Kind::DenyMember { id: deny.id, denied: (!deny.admit).then_some(denied) }
}

pub(super) fn denied_to_wire((id, denied): (&u64, &Denied)) -> v1::DeniedMember {
    v1::DeniedMember { id: *id, name: denied.name.clone(), until_ms: denied.until.0 }
}

pub(super) fn denied_from_wire(denied: v1::DeniedMember) -> (u64, Denied) {
    (denied.id, Denied { name: denied.name, until: Timestamp(denied.until_ms) })
}
