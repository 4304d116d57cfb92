//! The cluster's own certificate authority: makes certificates for members out of their public keys. It never sees a private one.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use proto::time::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType,
    ExtendedKeyUsagePurpose as Eku, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::CertificateDer;
use time::OffsetDateTime;

use crate::limits::{BACKDATED, CA_LASTS, CERTIFICATE_LASTS, HOSTS_MAX, REQUEST_BYTES};
use crate::member::{Member, Role};
use crate::own::pem_of;

/// A certificate authority. Its private key is never shown by accident.
pub struct Ca {
    key: KeyPair,
    certificate: CertificateDer<'static>,
}

/// Why a certificate authority cannot be made or read, or a certificate not issued.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text holds no key and no certificate of a CA.
    #[error(
        "this is no certificate authority: {0} is missing or damaged; restore the file, or enrol this server anew"
    )]
    Content(&'static str),
    /// No certificate can name such a member.
    #[error("`{name}` cannot be the name of a member: {rule}", rule = proto::names::MACHINE_RULE)]
    Name {
        /// As it was given.
        name: String,
    },
    /// A server may not be reached by that.
    #[error("`{host}` cannot be a server's address: it must be a host's name or an IP address")]
    Host {
        /// As it was given.
        host: String,
    },
    /// It has too many.
    #[error("a server has at most {HOSTS_MAX} addresses, this one names {0}")]
    Hosts(usize),
    /// The request cannot be read, or was not signed by the key in it.
    #[error("the request for a certificate is damaged")]
    Request,
    /// The key was refused, or there is no randomness.
    #[error("cannot make a certificate")]
    Make(#[source] rcgen::Error),
}

impl Ca {
    /// Makes a new one for a cluster, by the text that people know the cluster by. Valid for [`CA_LASTS`].
    ///
    /// # Errors
    /// [`Error::Make`] without randomness.
    pub fn create(cluster: &str, now: Timestamp) -> Result<Self, Error> {
        let key = KeyPair::generate().map_err(Error::Make)?;
        // Its name must differ from every member's, or a program takes a member's certificate for one that signed itself.
        let mut params = params(&format!("minijob CA {cluster}"), now, CA_LASTS);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(Error::Make)?.der().clone();
        Ok(Self { key, certificate })
    }

    /// Reads what [`Ca::secret_pem`] wrote.
    ///
    /// # Errors
    /// [`Error::Content`]; also when key and certificate do not belong together.
    pub fn from_pem(text: &str) -> Result<Self, Error> {
        let parts = pem::parse_many(text).map_err(|_| Error::Content("its key"))?;
        let part = |tag| parts.iter().find(|part| part.tag() == tag);
        let key = part("PRIVATE KEY").and_then(|part| KeyPair::try_from(part.contents()).ok());
        let key = key.ok_or(Error::Content("its key"))?;
        let certificate = part("CERTIFICATE").ok_or(Error::Content("its certificate"))?.contents().to_vec();
        let parsed = x509_parser::parse_x509_certificate(&certificate);
        let belongs = parsed.is_ok_and(|(_, parsed)| {
            parsed.is_ca() && parsed.public_key().subject_public_key.data == key.public_key_raw()
        });
        if !belongs {
            return Err(Error::Content("its certificate"));
        }
        Ok(Self { key, certificate: certificate.into() })
    }

    /// Returns key and certificate, for a file that only its owner reads, or to be sealed.
    #[must_use]
    pub fn secret_pem(&self) -> String {
        pem_of("PRIVATE KEY", self.key.serialized_der()) + &self.certificate_pem()
    }

    /// Returns what everybody may know and members trust.
    #[must_use]
    pub fn certificate_pem(&self) -> String {
        pem_of("CERTIFICATE", &self.certificate)
    }

    /// Returns the same as DER.
    #[must_use]
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// Issues a certificate (DER) to who holds the private key of a request (PKCS #10, DER). Of the request only the public key counts;
    /// who asks is the caller's to know. `hosts` are a server's other names and addresses, for programs that go by them.
    ///
    /// Every call makes another certificate; older ones hold until they expire.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn issue(
        &self,
        request: &[u8],
        member: &Member,
        hosts: &[String],
        now: Timestamp,
    ) -> Result<Vec<u8>, Error> {
        if !member.is_valid() {
            return Err(Error::Name { name: member.name.clone() });
        }
        if request.len() > REQUEST_BYTES {
            return Err(Error::Request);
        }
        // Checks that the request is signed by its own key: whoever asks has it.
        let request =
            CertificateSigningRequestParams::from_der(&request.into()).map_err(|_| Error::Request)?;
        if request.public_key.algorithm() != &rcgen::PKCS_ECDSA_P256_SHA256 {
            return Err(Error::Request);
        }
        let mut params = params(&member.dns(), now, CERTIFICATE_LASTS);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = match member.role {
            Role::Server => vec![Eku::ServerAuth, Eku::ClientAuth],
            Role::Agent => vec![Eku::ClientAuth],
        };
        params.use_authority_key_identifier_extension = true;
        params.subject_alt_names = names(member, hosts)?;
        let issuer = Issuer::from_ca_cert_der(&self.certificate, &self.key)
            .map_err(|_| Error::Content("its certificate"))?;
        let issued = params.signed_by(&request.public_key, &issuer).map_err(Error::Make)?;
        Ok(issued.der().to_vec())
    }
}

impl fmt::Debug for Ca {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ca(..)")
    }
}

fn params(common_name: &str, now: Timestamp, lasts: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    // The field takes 64 characters and a member's name may have as many; its full name is among the alternative ones.
    let shown: String = common_name.chars().take(64).collect();
    params.distinguished_name.push(DnType::CommonName, shown);
    params.not_before = date(Timestamp(now.0.saturating_sub(proto::time::millis(BACKDATED))));
    params.not_after = date(now.plus(lasts));
    params
}

fn date(at: Timestamp) -> OffsetDateTime {
    let seconds = i64::try_from(at.0 / 1000).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn names(member: &Member, hosts: &[String]) -> Result<Vec<SanType>, Error> {
    if hosts.len() > HOSTS_MAX {
        return Err(Error::Hosts(hosts.len()));
    }
    let text = |text: String| text.as_str().try_into().map_err(|_| Error::Host { host: text.clone() });
    let mut names = vec![SanType::DnsName(text(member.dns())?), SanType::URI(text(member.uri())?)];
    // Nobody connects to an agent.
    for host in hosts.iter().filter(|_| member.role == Role::Server) {
        let name = match host.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) if is_host(host) => SanType::DnsName(text(host.clone())?),
            Err(_) => return Err(Error::Host { host: host.clone() }),
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

fn is_host(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    text.len() <= 253 && text.split('.').all(is_label) && !Member::is_reserved(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity;
    use crate::own::Pending;
    use crate::testing::{self, NOW, member};

    #[test]
    fn a_ca_comes_back_from_its_text_and_hides_its_key() {
        let ca = Ca::create("c1", NOW).unwrap();
        let text = ca.secret_pem();
        let back = Ca::from_pem(&text).unwrap();
        assert_eq!((back.certificate(), back.secret_pem()), (ca.certificate(), text));
        assert!(!ca.certificate_pem().contains("PRIVATE"));
        assert_eq!(format!("{ca:?}"), "Ca(..)");
        let (_, parsed) = x509_parser::parse_x509_certificate(ca.certificate()).unwrap();
        assert_eq!(parsed.subject().to_string(), "CN=minijob CA c1");
        assert!(parsed.is_ca());
    }

    #[test]
    fn what_is_no_ca_is_refused() {
        let (one, other) = (testing::ca(), testing::ca());
        let mixed = pem_of("PRIVATE KEY", one.key.serialized_der()) + &other.certificate_pem();
        let own = testing::issue(&one, &member(Role::Server, "s1", 1), NOW);
        for text in ["", "nonsense", &one.certificate_pem(), &mixed, &own.secret_pem()] {
            assert!(matches!(Ca::from_pem(text), Err(Error::Content(_))), "{text}");
        }
    }

    #[test]
    fn only_the_key_of_a_request_counts() {
        let ca = testing::ca();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.subject_alt_names = vec![SanType::DnsName("s1.server.minijob".try_into().unwrap())];
        let request = params.serialize_request(&KeyPair::generate().unwrap()).unwrap();
        let agent = member(Role::Agent, "a1", 5);
        let issued = ca.issue(request.der(), &agent, &["10.0.0.1".into()], NOW).unwrap();
        assert_eq!(identity::read(&issued).unwrap().member, agent);
        let (_, parsed) = x509_parser::parse_x509_certificate(&issued).unwrap();
        assert!(!parsed.is_ca());
        let names = &parsed.subject_alternative_name().unwrap().unwrap().value.general_names;
        assert_eq!(names.len(), 2, "an agent has no address: {names:?}");
        let usage = parsed.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.client_auth && !usage.server_auth);
        assert_ne!(parsed.subject().to_string(), parsed.issuer().to_string());
    }

    #[test]
    fn a_server_has_its_addresses_and_both_purposes() {
        let (ca, server) = (testing::ca(), member(Role::Server, "s1", 5));
        let hosts = ["10.0.0.1", "::1", "s1.example", "10.0.0.1"].map(str::to_owned);
        let issued = ca.issue(Pending::new().unwrap().request(), &server, &hosts, NOW).unwrap();
        let (_, parsed) = x509_parser::parse_x509_certificate(&issued).unwrap();
        assert_eq!(parsed.subject_alternative_name().unwrap().unwrap().value.general_names.len(), 5);
        let usage = parsed.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.client_auth && usage.server_auth);
    }

    #[test]
    fn a_request_that_is_damaged_or_claims_what_it_may_not_is_refused() {
        let (ca, server) = (testing::ca(), member(Role::Server, "s1", 5));
        let request = Pending::new().unwrap().request().to_vec();
        let issue = |request: &[u8], member: &Member, hosts: &[&str]| {
            let hosts: Vec<_> = hosts.iter().map(|host| (*host).to_owned()).collect();
            ca.issue(request, member, &hosts, NOW)
        };
        let mut forged = request.clone();
        *forged.last_mut().unwrap() ^= 1;
        for request in [&b""[..], b"nonsense", &forged, &request[..50], &[0; REQUEST_BYTES + 1]] {
            assert!(matches!(issue(request, &server, &[]), Err(Error::Request)));
        }
        for name in ["", "*", "a_b", "a/b"] {
            let named = issue(&request, &member(Role::Server, name, 1), &[]);
            assert!(matches!(named, Err(Error::Name { .. })), "{name}");
        }
        for host in ["", "*.example", "a b", "s2.server.minijob", "x..y"] {
            assert!(matches!(issue(&request, &server, &[host]), Err(Error::Host { .. })), "{host}");
        }
        assert!(matches!(issue(&request, &server, &["a"; HOSTS_MAX + 1]), Err(Error::Hosts(17))));
        let wrong_kind = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let ed25519 = CertificateParams::default().serialize_request(&wrong_kind).unwrap();
        assert!(matches!(issue(ed25519.der(), &server, &[]), Err(Error::Request)));
    }
}
