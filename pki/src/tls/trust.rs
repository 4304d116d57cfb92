//! The CAs that are believed.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;

use super::PROVIDER;
use crate::limits::TRUSTED_MAX;
use crate::own::pem_of;

/// The CAs that are believed: the cluster's, and beside it the next one while it is changed.
#[derive(Debug)]
pub struct Trust {
    pem: String,
    pub(super) roots: Arc<RootCertStore>,
    /// None where nobody is believed, which the library takes for a mistake.
    pub(super) clients: Option<Arc<dyn ClientCertVerifier>>,
}

/// Why a text names no CAs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTrust {
    /// It has none.
    #[error("it holds no certificate of a CA: it must be the file `ca.pem` of a server's data directory")]
    Nothing,
    /// It has too many.
    #[error(
        "it holds more than {TRUSTED_MAX} certificates: it must be the file `ca.pem` of a server's data directory"
    )]
    TooMany,
    /// One is damaged, or is no CA's.
    #[error(
        "certificate {0} in it is damaged or not one of a CA: it must be the file `ca.pem` of a server's data directory"
    )]
    NotOfCa(usize),
}

impl Trust {
    /// Reads certificates of CAs (PEM); what else the text has is left out.
    ///
    /// # Errors
    /// See [`BadTrust`].
    pub fn from_pem(text: &str) -> Result<Self, BadTrust> {
        let parts = pem::parse_many(text).map_err(|_| BadTrust::Nothing)?;
        let certificates: Vec<_> =
            parts.iter().filter(|part| part.tag() == "CERTIFICATE").map(pem::Pem::contents).collect();
        if certificates.len() > TRUSTED_MAX {
            return Err(BadTrust::TooMany);
        }
        let (mut roots, mut pem) = (RootCertStore::empty(), String::new());
        for (at, certificate) in certificates.into_iter().enumerate() {
            let bad = BadTrust::NotOfCa(at + 1);
            let is_ca =
                x509_parser::parse_x509_certificate(certificate).is_ok_and(|(_, parsed)| parsed.is_ca());
            if !is_ca || roots.add(certificate.to_vec().into()).is_err() {
                return Err(bad);
            }
            pem += &pem_of("CERTIFICATE", certificate);
        }
        let roots = Arc::new(roots);
        let clients = WebPkiClientVerifier::builder_with_provider(roots.clone(), PROVIDER.clone())
            .allow_unauthenticated()
            .clear_root_hint_subjects()
            .build()
            .map_err(|_| BadTrust::Nothing)?;
        Ok(Self { pem, roots, clients: Some(clients) })
    }

    /// Believes nobody: before there is a CA.
    #[must_use]
    pub fn nobody() -> Self {
        Self { pem: String::new(), roots: Arc::new(RootCertStore::empty()), clients: None }
    }

    /// Returns them as text.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::Role;
    use crate::testing::{self, NOW, member};

    #[test]
    fn two_cas_are_believed_while_one_takes_the_place_of_the_other() {
        let both = testing::ca().secret_pem() + &testing::ca().certificate_pem();
        let trust = Trust::from_pem(&both).unwrap();
        assert_eq!(trust.roots.len(), 2);
        assert!(!trust.pem().contains("PRIVATE"), "a key that stands beside is not passed on");
        assert_eq!(Trust::from_pem(trust.pem()).unwrap().pem(), trust.pem());
    }

    #[test]
    fn what_names_no_ca_is_refused() {
        let ca = testing::ca();
        let own = testing::issue(&ca, &member(Role::Server, "s1", 1), NOW);
        let of = |text: &str| Trust::from_pem(text).map(drop).unwrap_err();
        assert_eq!(of(""), BadTrust::Nothing);
        assert_eq!(of("nonsense"), BadTrust::Nothing);
        assert_eq!(of(&(ca.certificate_pem() + &own.secret_pem())), BadTrust::NotOfCa(2));
        assert_eq!(of(&ca.certificate_pem().repeat(TRUSTED_MAX + 1)), BadTrust::TooMany);
    }
}
