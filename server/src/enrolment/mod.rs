//! Certificates: this server's own, the cluster's CA, and those that it grants to members. [`crate::core::enrolment`] decides.
//!
//! Before there is a state that could keep the CA, the server that makes it keeps it in its data directory, and gives it, sealed, to the
//! servers that enrol with it; whichever leads first puts it into the state.

/// Keeping it all as the state has it.
mod keeping;
/// The cluster's keys, which are changed while this server runs.
mod keys;
/// What members call.
mod service;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pki::asked::{self, Enrolled};
use pki::ca;
use pki::files::{self, Folder};
use pki::tls::{Acceptor, BadTrust, Credentials, Keys, Trust};
use pki::{Ca, Member, Own, Pending, own, purpose, seal};
use proto::key::ClusterKey;
use proto::time::Timestamp;
use proto::token::{self, TokenHash};
use proto::wire::v1::enrol_server::EnrolServer;

pub use service::Service;

use self::keys::{Held, Key};
use crate::cluster::Cluster;
use crate::core::state::{Authority, State};
use crate::limits::ENROL_MESSAGE_BYTES;

/// What a server goes by.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where certificates and keys are kept.
    pub data_dir: PathBuf,
    /// Who it is.
    pub own: Member,
    /// Its names and addresses, for programs that go by them.
    pub hosts: Vec<String>,
    /// The keys of the cluster that hold, the newest first.
    pub keys: Vec<ClusterKey>,
}

/// See the module. Clones are the same.
#[derive(Clone)]
pub struct Enrolment {
    shared: Arc<Shared>,
}

struct Shared {
    folder: Folder,
    own: Member,
    hosts: Vec<String>,
    keys: Held,
    /// Of what lets people in at first: it follows from the oldest key, which their machines had when they were set up.
    first_token: Option<TokenHash>,
    credentials: Credentials,
    /// As in the data directory.
    kept: Mutex<Option<Arc<Ca>>>,
    /// The state's, as it was last opened.
    opened: Mutex<Option<(Arc<Authority>, Arc<Ca>)>>,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data directory's files.
    #[error(transparent)]
    Files(files::Error),
    /// It cannot be made.
    #[error("cannot make a certificate: {0}")]
    Make(ca::Error),
    /// The key for it cannot be made.
    #[error("cannot make a certificate: {0}")]
    Own(own::Error),
    /// Another server gave none, or the CA cannot be opened.
    #[error(transparent)]
    Asked(asked::Error),
    /// The CA cannot be sealed.
    #[error("cannot seal the cluster's CA: {0}")]
    Seal(seal::Error),
    /// What the state says to trust is nothing.
    #[error("the cluster's CA cannot be used: {0}")]
    Trust(BadTrust),
    /// The CA that came is not the one to trust.
    #[error("the server at {addr} gave a CA that it does not go by itself: ask another one")]
    AnotherCa {
        /// Where.
        addr: String,
    },
    /// There is none yet.
    #[error("this server has no certificate itself yet: ask again in a moment")]
    None,
}

impl Enrolment {
    /// Reads what the data directory has. A server without a certificate is reached all the same, by who has the key.
    ///
    /// # Errors
    /// [`Error::Files`] for a file that cannot be used; [`Error::Make`].
    pub fn open(config: Config, now: Timestamp) -> Result<Self, Error> {
        let Config { data_dir, own, hosts, keys } = config;
        let folder = Folder::new(data_dir);
        let credentials =
            match (folder.member().map_err(Error::Files)?, folder.trust().map_err(Error::Files)?) {
                // After a change of the name it shows another one.
                (Some(shown), Some(trust)) if shown.identity().member == own => {
                    Credentials::of_member(shown, trust)
                }
                _ => Credentials::provisional(&own, now).map_err(Error::Make)?,
            };
        let shared = Shared {
            kept: Mutex::new(folder.authority().map_err(Error::Files)?.map(Arc::new)),
            folder,
            own,
            hosts,
            keys: Held::new(&keys),
            first_token: keys.last().map(|key| token::hash(key.token().as_bytes())),
            credentials,
            opened: Mutex::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Returns what this server shows and whom it believes.
    #[must_use]
    pub fn credentials(&self) -> &Credentials {
        &self.shared.credentials
    }

    /// Returns what servers prove to each other before there are certificates.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        self.shared.keys.peer()
    }

    /// Goes by these keys from now on, the newest first: connections that are there go on. The same ones again change nothing.
    pub fn rekey(&self, keys: &[ClusterKey]) {
        self.shared.keys.replace(keys);
    }

    /// Returns the marks of the keys that hold, the newest first.
    #[must_use]
    pub fn marks(&self) -> Vec<u64> {
        self.shared.keys.now().iter().map(|key| key.mark).collect()
    }

    /// Returns the hashes of the tokens that follow from the keys that hold.
    #[must_use]
    pub fn tokens(&self) -> Vec<TokenHash> {
        self.shared.keys.now().iter().map(|key| key.token).collect()
    }

    /// Returns the mark of the key that the state's CA is sealed with; none: it has no CA, or not one that this server can open.
    #[must_use]
    pub fn sealed_with(&self, state: &State) -> Option<u64> {
        let sealed = &state.authority.as_ref()?.sealed;
        let keys = self.shared.keys.now();
        let opens = |key: &&Key| seal::open(&[key.authority], purpose::AUTHORITY, sealed).is_ok();
        keys.iter().find(opens).map(|key| key.mark)
    }

    /// Returns the state's CA as it is, sealed with the newest key.
    ///
    /// # Errors
    /// When none of the keys that hold opens it; [`Error::Seal`].
    pub fn sealed_anew(&self, state: &State) -> Result<Authority, Error> {
        let trust = state.authority.as_ref().ok_or(Error::None)?.trust.clone();
        Ok(Authority { trust, ..self.sealed(&*self.authority(state)?)? })
    }

    /// Returns what accepts connections of members, people and those who only have the key.
    #[must_use]
    pub fn acceptor(&self) -> Acceptor {
        self.shared.credentials.acceptor_for(self.shared.keys.peer().clone())
    }

    /// Returns the gRPC service for whoever wants a certificate. It checks by itself who may have one.
    #[must_use]
    pub fn service(&self, cluster: Cluster) -> EnrolServer<Service> {
        EnrolServer::new(Service::new(self.clone(), cluster))
            .max_decoding_message_size(ENROL_MESSAGE_BYTES)
            .max_encoding_message_size(ENROL_MESSAGE_BYTES)
    }

    /// Keeps CA, certificate and the list of who is thrown out as the state has them, and renews the certificate, until it is dropped.
    pub async fn run(self, cluster: Cluster) {
        keeping::run(&self, &cluster).await;
    }

    /// Makes the cluster's CA, unless it is there, and a certificate for this server: for the one that makes the cluster. A second
    /// call changes nothing. Blocks for a few syncs.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn found(&self, cluster: &str, now: Timestamp) -> Result<(), Error> {
        let ca = self.keep_made(cluster, now)?;
        if self.shared.credentials.is_enrolled() {
            return Ok(());
        }
        self.issue_own(&ca, &ca.certificate_pem(), now)
    }

    /// Gets a certificate, and the CA, from the server at `addr`, unless this server has one.
    ///
    /// # Errors
    /// See [`Error`]; to be tried again.
    pub async fn enrol_at(&self, addr: &str) -> Result<(), Error> {
        let shared = &self.shared;
        if shared.credentials.is_enrolled() {
            return Ok(());
        }
        let (enrol, authority) = (shared.keys.to_enrol(), shared.keys.of_authority());
        let asked = asked::enrol(addr, &enrol, &authority, &shared.own, &shared.hosts);
        let Enrolled { own, trust, authority } = asked.await.map_err(Error::Asked)?;
        if let Some(ca) = authority {
            if !trust.pem().contains(&ca.certificate_pem()) {
                return Err(Error::AnotherCa { addr: addr.to_owned() });
            }
            shared.folder.keep_authority(&ca).map_err(Error::Files)?;
            *lock(&shared.kept) = Some(Arc::new(ca));
        }
        self.adopt(&own, trust)
    }

    /// Makes a CA and keeps it, on disk first: what it issues must not outlive it.
    fn keep_made(&self, cluster: &str, now: Timestamp) -> Result<Arc<Ca>, Error> {
        let mut kept = lock(&self.shared.kept);
        if let Some(ca) = &*kept {
            return Ok(ca.clone());
        }
        let ca = Arc::new(Ca::create(cluster, now).map_err(Error::Make)?);
        self.shared.folder.keep_authority(&ca).map_err(Error::Files)?;
        *kept = Some(ca.clone());
        Ok(ca)
    }

    fn issue_own(&self, ca: &Ca, trust: &str, now: Timestamp) -> Result<(), Error> {
        let pending = Pending::new().map_err(Error::Own)?;
        let issued = ca.issue(pending.request(), &self.shared.own, &self.shared.hosts, now);
        let own = pending.certified(issued.map_err(Error::Make)?).map_err(Error::Own)?;
        self.adopt(&own, Trust::from_pem(trust).map_err(Error::Trust)?)
    }

    /// Shows and believes these. After a crash between the files the trust is the old one, and all is done again.
    fn adopt(&self, own: &Own, trust: Trust) -> Result<(), Error> {
        let Shared { folder, credentials, .. } = &*self.shared;
        folder.keep_member(own).map_err(Error::Files)?;
        folder.keep_trust(&trust).map_err(Error::Files)?;
        credentials.trust(trust);
        credentials.replace(own);
        Ok(())
    }

    /// Returns the CA: the state's, else the one that is kept until the state has it.
    fn authority(&self, state: &State) -> Result<Arc<Ca>, Error> {
        let Some(authority) = &state.authority else {
            return lock(&self.shared.kept).clone().ok_or(Error::None);
        };
        let mut opened = lock(&self.shared.opened);
        if let Some((_, ca)) = opened.as_ref().filter(|(of, _)| Arc::ptr_eq(of, authority)) {
            return Ok(ca.clone());
        }
        let ca = asked::open_authority(&self.shared.keys.of_authority(), &authority.sealed)
            .map_err(Error::Asked)?;
        let ca = Arc::new(ca);
        *opened = Some((authority.clone(), ca.clone()));
        Ok(ca)
    }

    /// Returns the CAs to trust, and the CA as servers get it.
    fn granted(&self, state: &State, ca: &Ca) -> Result<Authority, Error> {
        match state.authority.as_deref() {
            Some(authority) => Ok(authority.clone()),
            None => self.sealed(ca),
        }
    }

    fn sealed(&self, ca: &Ca) -> Result<Authority, Error> {
        // Without a key there is no server with certificates.
        let secret = *self.shared.keys.of_authority().first().ok_or(Error::None)?;
        let sealed =
            seal::seal(&secret, purpose::AUTHORITY, ca.secret_pem().as_bytes()).map_err(Error::Seal)?;
        Ok(Authority { sealed, trust: ca.certificate_pem() })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
