//! What a process shows, whom it believes and whom no more; all of it can be replaced while the process runs on.

use std::collections::BTreeSet;
use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use proto::time::Timestamp;
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig, SignatureScheme};
use tokio::sync::watch;

use super::accept::Acceptor;
use super::connect::Connector;
use super::judge::{Expected, Members, Servers};
use super::keyed::{self, Keys};
use super::{PROTOCOLS, PROVIDER, Trust};
use crate::ca::{self, Ca};
use crate::identity::Identity;
use crate::member::Member;
use crate::own::{self, Own, Pending};

/// See the module. Clones are the same: what is replaced in one holds for every handshake that begins after it. Connections that there are
/// stay; whoever throws a member out ends them.
#[derive(Clone, Debug)]
pub struct Credentials(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    own: ArcSwapOption<Shown>,
    trust: ArcSwap<Trust>,
    denied: watch::Sender<BTreeSet<u64>>,
}

#[derive(Debug)]
struct Shown {
    key: Arc<CertifiedKey>,
    identity: Identity,
}

impl Credentials {
    /// For a member: it shows its certificate.
    #[must_use]
    pub fn of_member(own: Own, trust: Trust) -> Self {
        let credentials = Self::of_person(trust);
        credentials.replace(&own);
        credentials
    }

    /// For a server before there is a CA, or before it has enrolled: it shows a certificate that nobody has a reason to believe, so that
    /// others can reach it ([`super::unproven`]) and exchange proofs, and believes none. Later [`Credentials::trust`] and
    /// [`Credentials::replace`] take its place while it runs on.
    ///
    /// # Errors
    /// When the member's name is none, or there is no randomness.
    pub fn provisional(member: &Member, now: Timestamp) -> Result<Self, ca::Error> {
        let pending = Pending::new().map_err(own_failed)?;
        let certificate = Ca::create("nobody's", now)?.issue(pending.request(), member, &[], now)?;
        let own = pending.certified(certificate).map_err(own_failed)?;
        Ok(Self::of_member(own, Trust::nobody()))
    }

    /// For a person, or a program of theirs: nothing is shown, a token goes with what is asked.
    #[must_use]
    pub fn of_person(trust: Trust) -> Self {
        Self(Arc::new(Shared {
            own: ArcSwapOption::empty(),
            trust: ArcSwap::from_pointee(trust),
            denied: watch::Sender::default(),
        }))
    }

    /// Shows another certificate from here on.
    pub fn replace(&self, own: &Own) {
        let shown = Shown { key: own.certified_key(), identity: own.identity().clone() };
        self.0.own.store(Some(Arc::new(shown)));
    }

    /// Believes these CAs from here on, and no others.
    pub fn trust(&self, trust: Trust) {
        self.0.trust.store(Arc::new(trust));
    }

    /// Takes the members with these ids for strangers from here on, whatever they show.
    pub fn deny(&self, ids: BTreeSet<u64>) {
        self.0.denied.send_if_modified(|denied| std::mem::replace(denied, ids.clone()) != ids);
    }

    /// Returns whether the member with that id is taken for a stranger.
    #[must_use]
    pub fn denies(&self, id: u64) -> bool {
        self.0.denied.borrow().contains(&id)
    }

    /// Returns when the member with that id is thrown out; never when it is not.
    pub(super) async fn until_denied(&self, id: u64) {
        // The sender lives as long as this.
        self.0.denied.subscribe().wait_for(|denied| denied.contains(&id)).await.ok();
    }

    /// Returns who this process shows that it is.
    #[must_use]
    pub fn identity(&self) -> Option<Identity> {
        self.0.own.load().as_ref().map(|shown| shown.identity.clone())
    }

    /// Returns whether this process has enrolled: it believes a CA, and shows a certificate.
    #[must_use]
    pub fn is_enrolled(&self) -> bool {
        !self.0.trust.load().pem().is_empty() && self.0.own.load().is_some()
    }

    /// Returns the CAs that are believed (PEM).
    #[must_use]
    pub fn trust_pem(&self) -> String {
        self.0.trust.load().pem().to_owned()
    }

    /// Returns what accepts connections. Without a certificate of its own it refuses all.
    #[must_use]
    pub fn acceptor(&self) -> Acceptor {
        self.accepting(None)
    }

    /// The same; who proves to have one of these keys is let in beside, as nobody in particular ([`super::Peer::knows_key`]).
    #[must_use]
    pub fn acceptor_for(&self, keys: Keys) -> Acceptor {
        self.accepting(Some(keys))
    }

    fn accepting(&self, keys: Option<Keys>) -> Acceptor {
        let config = ServerConfig::builder_with_provider(PROVIDER.clone()).with_protocol_versions(&[&TLS13]);
        let config = config.expect("the provider has TLS 1.3");
        let mut config = config
            .with_client_cert_verifier(Arc::new(Members(self.clone())))
            .with_cert_resolver(Arc::new(Resolver(self.clone())));
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        config.alpn_protocols.extend(keys.as_ref().map(|_| keyed::PROTOCOL.to_vec()));
        // Who resumes a session is not judged again.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Acceptor::new(Arc::new(config), self.clone(), keys)
    }

    /// Returns what connects to a server that is meant.
    #[must_use]
    pub fn connector(&self, expected: Expected) -> Connector {
        let config = ClientConfig::builder_with_provider(PROVIDER.clone()).with_protocol_versions(&[&TLS13]);
        let config = config.expect("the provider has TLS 1.3");
        let mut config = config
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Servers { credentials: self.clone(), expected }))
            .with_client_cert_resolver(Arc::new(Resolver(self.clone())));
        config.alpn_protocols = vec![PROTOCOLS[0].to_vec()];
        config.resumption = Resumption::disabled();
        Connector::new(Arc::new(config))
    }

    pub(super) fn believed(&self) -> Arc<Trust> {
        self.0.trust.load_full()
    }

    /// From when this process's own certificate holds: it is not earlier than that, whatever the clock says.
    pub(super) fn begins_at(&self) -> Timestamp {
        self.0.own.load().as_ref().map(|shown| shown.identity.begins_at).unwrap_or_default()
    }

    fn key(&self) -> Option<Arc<CertifiedKey>> {
        self.0.own.load().as_ref().map(|shown| shown.key.clone())
    }
}

fn own_failed(error: own::Error) -> ca::Error {
    match error {
        own::Error::Make(source) => ca::Error::Make(source),
        _ => ca::Error::Content("its certificate"),
    }
}

/// Looks the certificate up anew for every handshake.
#[derive(Debug)]
struct Resolver(Credentials);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.key()
    }
}

impl ResolvesClientCert for Resolver {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.key()
    }

    fn has_certs(&self) -> bool {
        self.0.key().is_some()
    }
}
