//! What a member asks a certificate with, and what it has then. The private key is made here and stays here.

use std::fmt;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

use crate::identity::{self, Identity, NoMember};

/// A new private key without a certificate.
pub struct Pending {
    key: KeyPair,
    request: Vec<u8>,
}

/// A private key and the certificate for it.
pub struct Own {
    key: Vec<u8>,
    certificate: Vec<u8>,
    identity: Identity,
    certified: Arc<CertifiedKey>,
}

/// Why key and certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no randomness.
    #[error("cannot make a key")]
    Make(#[source] rcgen::Error),
    /// The text has no key or no certificate.
    #[error("it holds no {0}")]
    Content(&'static str),
    /// The certificate names nobody.
    #[error("its certificate is no member's")]
    Nobody(#[source] NoMember),
    /// The certificate was made for another key.
    #[error("key and certificate do not belong together")]
    Mismatch,
}

impl Pending {
    /// Makes a key (P-256).
    ///
    /// # Errors
    /// [`Error::Make`]
    pub fn new() -> Result<Self, Error> {
        let key = KeyPair::generate().map_err(Error::Make)?;
        let mut params = CertificateParams::default();
        // Who asks is said, and proven, beside it.
        params.distinguished_name = rcgen::DistinguishedName::new();
        let request = params.serialize_request(&key).map_err(Error::Make)?.der().to_vec();
        Ok(Self { key, request })
    }

    /// Returns the request (PKCS #10, DER): the public key, signed by the private one.
    #[must_use]
    pub fn request(&self) -> &[u8] {
        &self.request
    }

    /// Takes the certificate (DER) that was issued for the request.
    ///
    /// # Errors
    /// [`Error::Mismatch`] when it was issued for another one, [`Error::Nobody`].
    pub fn certified(&self, certificate: Vec<u8>) -> Result<Own, Error> {
        Own::new(self.key.serialize_der(), certificate)
    }
}

impl Own {
    fn new(key: Vec<u8>, certificate: Vec<u8>) -> Result<Self, Error> {
        let identity = identity::read(&certificate).map_err(Error::Nobody)?;
        let chain = vec![CertificateDer::from(certificate.clone())];
        let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.clone()));
        let certified =
            CertifiedKey::from_der(chain, private, &ring::default_provider()).map_err(|_| Error::Mismatch)?;
        Ok(Self { key, certificate, identity, certified: Arc::new(certified) })
    }

    /// Reads what [`Own::secret_pem`] wrote.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn from_pem(text: &str) -> Result<Self, Error> {
        let parts = pem::parse_many(text).map_err(|_| Error::Content("key"))?;
        let part = |tag, what| {
            let part = parts.iter().find(|part| part.tag() == tag).ok_or(Error::Content(what))?;
            Ok(part.contents().to_vec())
        };
        Self::new(part("PRIVATE KEY", "key")?, part("CERTIFICATE", "certificate")?)
    }

    /// Returns both, for one file that only its owner reads: so one is never replaced without the other.
    #[must_use]
    pub fn secret_pem(&self) -> String {
        pem_of("PRIVATE KEY", &self.key) + &pem_of("CERTIFICATE", &self.certificate)
    }

    /// Returns the certificate (DER).
    #[must_use]
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// Returns who it says this is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(crate) fn certified_key(&self) -> Arc<CertifiedKey> {
        self.certified.clone()
    }
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Own").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pending(..)")
    }
}

pub(crate) fn pem_of(tag: &str, der: &[u8]) -> String {
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    pem::encode_config(&pem::Pem::new(tag, der), config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::Role;
    use crate::testing::{self, NOW, member};

    #[test]
    fn key_and_certificate_come_back_from_their_text() {
        let own = testing::issue(&testing::ca(), &member(Role::Agent, "a", 1), NOW);
        let back = Own::from_pem(&own.secret_pem()).unwrap();
        assert_eq!((back.certificate(), back.identity()), (own.certificate(), own.identity()));
        assert!(!format!("{own:?}").contains("key"));
    }

    #[test]
    fn a_certificate_for_another_key_is_refused() {
        let (ca, agent) = (testing::ca(), member(Role::Agent, "a", 1));
        let (one, other) = (Pending::new().unwrap(), Pending::new().unwrap());
        let certificate = ca.issue(one.request(), &agent, &[], NOW).unwrap();
        assert!(matches!(other.certified(certificate.clone()), Err(Error::Mismatch)));
        assert!(one.certified(certificate).is_ok());
        assert!(matches!(one.certified(ca.certificate().to_vec()), Err(Error::Nobody(_))));
        assert!(matches!(Own::from_pem(""), Err(Error::Content("key"))));
        assert!(Own::from_pem(&ca.secret_pem()).is_err());
    }
}
