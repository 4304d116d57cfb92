//! This agent's certificate: got from a server with the cluster's key, kept in the data directory, renewed before it expires.

use std::path::Path;
use std::sync::Arc;

use pki::asked::{self, Enrolled};
use pki::files::{self, Folder};
use pki::proof::Secret;
use pki::renew::{self, Renewal};
use pki::tls::{Credentials, Trust};
use pki::{Member, Own, purpose};
use proto::key::ClusterKey;
use proto::time::{Timestamp, now};
use tokio::sync::Mutex;

/// What makes this agent a member of a cluster. Clones are the same.
#[derive(Clone, Debug)]
pub struct Membership {
    shared: Arc<Shared>,
}

struct Shared {
    folder: Folder,
    own: Member,
    secrets: Vec<Secret>,
    credentials: Credentials,
    /// One question at a time: the second caller finds the answer of the first.
    asking: Mutex<()>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("own", &self.own).finish_non_exhaustive()
    }
}

/// Returns whether an agent has enrolled with this data directory, and so needs neither key nor token.
#[must_use]
pub fn has_enrolled(data_dir: &Path) -> bool {
    matches!(Folder::new(data_dir).member(), Ok(Some(_)))
}

/// Why this agent has no certificate that holds.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// Its files cannot be used.
    #[error(transparent)]
    Files(files::Error),
    /// A server gave none.
    #[error(transparent)]
    Asked(asked::Error),
    /// There is no key to ask with.
    #[error(
        "this agent's certificate {why}, and it has no key to get another one: start it once with --key-file and the cluster's key"
    )]
    NoKey {
        /// What is wrong with the one that there is.
        why: &'static str,
    },
}

impl Membership {
    /// Reads what the data directory has. None without a key and without a certificate: then servers are spoken to without TLS. A
    /// certificate is enough: the key may be taken away once this agent has enrolled.
    ///
    /// # Errors
    /// [`Trouble::Files`]
    pub fn open(data_dir: &Path, own: Member, key: Option<&ClusterKey>) -> Result<Option<Self>, Trouble> {
        let folder = Folder::new(data_dir);
        let (shown, trust) =
            (folder.member().map_err(Trouble::Files)?, folder.trust().map_err(Trouble::Files)?);
        if key.is_none() && shown.is_none() {
            return Ok(None);
        }
        let credentials = match (shown, trust) {
            // One that was renamed enrols anew: servers compare what it says with what it shows.
            (Some(shown), Some(trust)) if shown.identity().member == own => {
                Credentials::of_member(shown, trust)
            }
            _ => Credentials::of_person(Trust::nobody()),
        };
        let secrets = key.map(|key| key.secret(purpose::ENROL)).into_iter().collect();
        let shared = Shared { folder, own, secrets, credentials, asking: Mutex::default() };
        Ok(Some(Self { shared: Arc::new(shared) }))
    }

    /// Returns what this agent shows and whom it believes.
    #[must_use]
    pub fn credentials(&self) -> &Credentials {
        &self.shared.credentials
    }

    /// Sees to it that there is a certificate that holds, if need be by enrolling with the server at `addr`. At once when there is one.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn ensure(&self, addr: &str) -> Result<(), Trouble> {
        let shared = &self.shared;
        let _one_at_a_time = shared.asking.lock().await;
        let why = match self.renewal(now()) {
            Some(Renewal::Fresh(_) | Renewal::Due(_)) => return Ok(()),
            Some(Renewal::Expired(_)) => "has expired",
            None => "names another node, or is not there",
        };
        if shared.secrets.is_empty() {
            return Err(Trouble::NoKey { why });
        }
        self.enrol(addr).await
    }

    /// Enrols anew with the server at `addr`, although the certificate holds: its CA is another one, as that of servers is that took the
    /// place of ones that were lost. It is believed because it has the cluster's key, and whether this agent belongs to its cluster is
    /// judged when it registers.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn anew(&self, addr: &str) -> Result<(), Trouble> {
        let _one_at_a_time = self.shared.asking.lock().await;
        self.enrol(addr).await
    }

    /// Returns whether there is a key to enrol with.
    #[must_use]
    pub fn has_key(&self) -> bool {
        !self.shared.secrets.is_empty()
    }

    async fn enrol(&self, addr: &str) -> Result<(), Trouble> {
        let shared = &self.shared;
        let enrolled = asked::enrol(addr, &shared.secrets, &[], &shared.own, &[]).await;
        let Enrolled { own, trust, .. } = enrolled.map_err(Trouble::Asked)?;
        tracing::info!(server = addr, "enrolled: this agent has a certificate");
        self.adopt(&own, trust)
    }

    /// Renews the certificate before it expires, until it is dropped. One that expired all the same is replaced when a server is next dialled.
    pub async fn run(self, servers: Vec<String>) {
        loop {
            let wait = match self.renewal(now()) {
                Some(Renewal::Due(again)) => {
                    self.renew(&servers).await;
                    again
                }
                Some(Renewal::Fresh(wait) | Renewal::Expired(wait)) => wait,
                None => pki::limits::RENEW_AGAIN,
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// Asks the servers in turn for another certificate.
    async fn renew(&self, servers: &[String]) {
        for server in servers {
            let renewed = asked::renew(server, &self.shared.credentials).await.map_err(Trouble::Asked);
            match renewed.and_then(|(own, trust)| self.adopt(&own, trust)) {
                Ok(()) => {
                    tracing::info!(server, "this agent's certificate is renewed");
                    return;
                }
                Err(error) => {
                    tracing::warn!(server, why = %error, "this agent's certificate is not renewed yet")
                }
            }
        }
    }

    fn adopt(&self, own: &Own, trust: Trust) -> Result<(), Trouble> {
        let Shared { folder, credentials, .. } = &*self.shared;
        folder.keep_member(own).map_err(Trouble::Files)?;
        folder.keep_trust(&trust).map_err(Trouble::Files)?;
        credentials.trust(trust);
        credentials.replace(own);
        Ok(())
    }

    /// What is to be done about the certificate; none: there is none.
    fn renewal(&self, now: Timestamp) -> Option<Renewal> {
        let Shared { credentials, own, .. } = &*self.shared;
        let identity = credentials.identity().filter(|_| credentials.is_enrolled())?;
        Some(renew::decide(&identity, now, own.id))
    }
}
