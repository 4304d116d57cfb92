//! The keys of the cluster that hold: one, or two while it is changed, the newest first.

use std::sync::{Arc, Mutex, PoisonError};

use pki::limits::KEYS_MAX;
use pki::proof::Secret;
use pki::purpose;
use pki::tls::Keys;
use proto::key::ClusterKey;
use proto::token::{self, TokenHash};

/// What is derived of one key.
pub(super) struct Key {
    /// What tells it from others.
    pub(super) mark: u64,
    /// Of the token that follows from it.
    pub(super) token: TokenHash,
    enrol: Secret,
    /// What the CA is sealed with.
    pub(super) authority: Secret,
}

/// The keys.
pub(super) struct Held {
    peer: Keys,
    keys: Mutex<Arc<Vec<Key>>>,
}

impl Held {
    pub(super) fn new(keys: &[ClusterKey]) -> Self {
        let held = Self { peer: Keys::new(Vec::new()), keys: Mutex::default() };
        held.replace(keys);
        held
    }

    /// Goes by these from now on.
    pub(super) fn replace(&self, keys: &[ClusterKey]) {
        let keys = &keys[..keys.len().min(KEYS_MAX)];
        let derived = |key: &ClusterKey| Key {
            mark: key.mark(),
            token: token::hash(key.token().as_bytes()),
            enrol: key.secret(purpose::ENROL),
            authority: key.secret(purpose::AUTHORITY),
        };
        *self.keys.lock().unwrap_or_else(PoisonError::into_inner) =
            Arc::new(keys.iter().map(derived).collect());
        self.peer.replace(keys.iter().map(|key| key.secret(purpose::PEER)).collect());
    }

    /// What servers prove to each other.
    pub(super) fn peer(&self) -> &Keys {
        &self.peer
    }

    pub(super) fn now(&self) -> Arc<Vec<Key>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is proven by who wants a first certificate.
    pub(super) fn to_enrol(&self) -> Vec<Secret> {
        self.now().iter().map(|key| key.enrol).collect()
    }

    /// What the CA is sealed with.
    pub(super) fn of_authority(&self) -> Vec<Secret> {
        self.now().iter().map(|key| key.authority).collect()
    }
}
