//! Whether a peer is who it must be: issued by a CA that is believed, at this time, for this role, not thrown out.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DistinguishedName, Error, OtherError};

use super::signatures::checks_signatures;
use super::{Credentials, PROVIDER};
use crate::identity::{self, NoMember};
use crate::member::{Member, Role};

/// Which server is meant. Without a name and an id: any of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// What people call it.
    pub name: Option<String>,
    /// Its id.
    pub id: Option<u64>,
}

/// Why a peer whose certificate the cluster's CA made is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mistrust {
    /// An agent answers where a server should.
    #[error("{0} answers there, which is no server: look at the address")]
    NotAServer(Member),
    /// Another server answers.
    #[error(
        "{found} answers there, `{meant}` is meant: a machine was replaced or two have swapped addresses; look at `minijob server members`"
    )]
    Another {
        /// Who answers.
        found: Member,
        /// Name or id of who should.
        meant: String,
    },
    /// It names nobody.
    #[error("what answers there is no member of the cluster")]
    Nobody(#[source] NoMember),
}

impl Expected {
    /// Decides whether a server is the one that is meant.
    ///
    /// # Errors
    /// [`Mistrust::NotAServer`], [`Mistrust::Another`]
    pub fn accept(&self, found: &Member) -> Result<(), Mistrust> {
        if found.role != Role::Server {
            return Err(Mistrust::NotAServer(found.clone()));
        }
        let another = |meant: String| Mistrust::Another { found: found.clone(), meant };
        match (&self.name, self.id) {
            (Some(name), _) if !name.eq_ignore_ascii_case(&found.name) => Err(another(name.clone())),
            (_, Some(id)) if id != found.id => Err(another(proto::ids::ServerId(id).to_string())),
            _ => Ok(()),
        }
    }
}

/// Judges servers.
#[derive(Debug)]
pub(super) struct Servers {
    pub(super) credentials: Credentials,
    pub(super) expected: Expected,
}

/// Judges who connects, if it shows anything.
#[derive(Debug)]
pub(super) struct Members(pub(super) Credentials);

impl ServerCertVerifier for Servers {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let parsed = ParsedCertificate::try_from(certificate)?;
        let (roots, now) = (&self.credentials.believed().roots, no_earlier(&self.credentials, now));
        let algorithms = PROVIDER.signature_verification_algorithms.all;
        // None in between: the CA signs every certificate itself.
        let signed = verify_server_cert_signed_by_trust_anchor(&parsed, roots, &[], now, algorithms);
        let member = match (signed, identity::read(certificate)) {
            // Agents' certificates are not for this use, which says nothing to a person.
            (
                Err(Error::InvalidCertificate(CertificateError::InvalidPurposeContext { .. })),
                Ok(identity),
            ) => {
                return Err(other(Mistrust::NotAServer(identity.member)));
            }
            (Err(error), _) => return Err(error),
            (Ok(()), read) => member(&self.credentials, read)?,
        };
        self.expected.accept(&member).map_err(other)?;
        Ok(ServerCertVerified::assertion())
    }

    checks_signatures!();
}

impl ClientCertVerifier for Members {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let now = no_earlier(&self.0, now);
        let believed = self.0.believed();
        let clients = believed.clients.as_ref().ok_or(CertificateError::UnknownIssuer)?;
        let verified = clients.verify_client_cert(certificate, &[], now)?;
        member(&self.0, identity::read(certificate))?;
        Ok(verified)
    }

    checks_signatures!();
}

/// Returns the member, unless it was thrown out.
fn member(credentials: &Credentials, read: Result<identity::Identity, NoMember>) -> Result<Member, Error> {
    let member = read.map_err(|error| other(Mistrust::Nobody(error)))?.member;
    if credentials.denies(member.id) {
        return Err(CertificateError::Revoked.into());
    }
    Ok(member)
}

/// A machine that lost its clock (a board without a battery begins in 1970) would find every certificate not valid yet. Its own proves that
/// it is later than that.
fn no_earlier(credentials: &Credentials, now: UnixTime) -> UnixTime {
    let own = Duration::from_millis(credentials.begins_at().0);
    UnixTime::since_unix_epoch(own.max(Duration::from_secs(now.as_secs())))
}

fn other(mistrust: Mistrust) -> Error {
    CertificateError::Other(OtherError(Arc::new(mistrust))).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ca::Ca;
    use crate::own::Own;
    use crate::testing::{self, NOW, member};
    use crate::tls::{Trust, explain};
    use proto::time::Timestamp;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn at(time: Timestamp) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_millis(time.0))
    }

    fn person(ca: &Ca) -> Credentials {
        Credentials::of_person(testing::trust(ca))
    }

    fn server_said(credentials: &Credentials, expected: Expected, own: &Own, now: Timestamp) -> String {
        let judge = Servers { credentials: credentials.clone(), expected };
        let certificate = own.certificate().into();
        let name = ServerName::try_from("x").unwrap();
        let judged = judge.verify_server_cert(&certificate, &[], &name, &[], at(now));
        judged.map_or_else(|error| explain(&error).unwrap(), |_| "believed".into())
    }

    fn member_said(credentials: &Credentials, own: &Own, now: Timestamp) -> String {
        let judged = Members(credentials.clone()).verify_client_cert(&own.certificate().into(), &[], at(now));
        judged.map_or_else(|error| explain(&error).unwrap(), |_| "believed".into())
    }

    #[test]
    fn the_server_that_is_meant_is_believed_and_another_is_named() {
        let ca = testing::ca();
        let own = testing::issue(&ca, &member(Role::Server, "s1", 7), NOW);
        let meant = |name: Option<&str>, id| {
            let expected = Expected { name: name.map(str::to_owned), id };
            server_said(&person(&ca), expected, &own, NOW)
        };
        for (name, id) in [(None, None), (Some("s1"), None), (Some("S1"), Some(7)), (None, Some(7))] {
            assert_eq!(meant(name, id), "believed");
        }
        assert!(
            meant(Some("s2"), None).contains("server `s1` answers there, `s2` is meant"),
            "{}",
            meant(Some("s2"), None)
        );
        assert!(meant(Some("s1"), Some(8)).contains("is meant"));
    }

    #[test]
    fn who_has_another_ca_has_expired_or_has_another_role_is_not_believed_as_a_server() {
        let (ca, other) = (testing::ca(), testing::ca());
        let server = member(Role::Server, "s1", 7);
        let of = |own: &Own, now| server_said(&person(&ca), Expected::default(), own, now);
        let fine = testing::issue(&ca, &server, NOW);
        assert!(of(&testing::issue(&other, &server, NOW), NOW).contains("another cluster"));
        let expired = of(&fine, NOW.plus(DAY * 31));
        assert!(expired.contains("expired on 2027-02-14") && expired.contains("clock"), "{expired}");
        let early = of(&fine, Timestamp(NOW.0 - 2 * 24 * 3600 * 1000));
        assert!(early.contains("not valid before") && early.contains("clock"), "{early}");
        let agent = of(&testing::issue(&ca, &member(Role::Agent, "a", 7), NOW), NOW);
        assert!(agent.contains("agent `a` answers there, which is no server"), "{agent}");
    }

    #[test]
    fn members_of_both_roles_are_believed_and_others_are_not() {
        let (ca, other) = (testing::ca(), testing::ca());
        let of = |own: &Own, now| member_said(&person(&ca), own, now);
        for role in [Role::Server, Role::Agent] {
            let fine = testing::issue(&ca, &member(role, "x", 1), NOW);
            assert_eq!(of(&fine, NOW), "believed");
            assert!(of(&fine, NOW.plus(DAY * 31)).contains("expired"));
            assert!(of(&testing::issue(&other, &member(role, "x", 1), NOW), NOW).contains("another cluster"));
        }
    }

    #[test]
    fn who_was_thrown_out_is_a_stranger_until_the_list_changes() {
        let ca = testing::ca();
        let credentials = person(&ca);
        let own = testing::issue(&ca, &member(Role::Server, "s1", 7), NOW);
        credentials.deny([7, 8].into());
        assert!(member_said(&credentials, &own, NOW).contains("thrown out"));
        assert!(server_said(&credentials, Expected::default(), &own, NOW).contains("thrown out"));
        credentials.deny([8].into());
        assert_eq!(member_said(&credentials, &own, NOW), "believed");
    }

    #[test]
    fn another_ca_is_believed_as_soon_as_it_is_trusted() {
        let (old, new) = (testing::ca(), testing::ca());
        let credentials = person(&old);
        let own = testing::issue(&new, &member(Role::Agent, "a", 1), NOW);
        assert_ne!(member_said(&credentials, &own, NOW), "believed");
        credentials.trust(Trust::from_pem(&(old.certificate_pem() + &new.certificate_pem())).unwrap());
        assert_eq!(member_said(&credentials, &own, NOW), "believed");
    }

    #[test]
    fn a_member_that_lost_its_clock_goes_by_its_own_certificate() {
        let ca = testing::ca();
        let peer = testing::issue(&ca, &member(Role::Server, "s1", 7), NOW);
        let own = testing::issue(&ca, &member(Role::Agent, "a", 1), NOW);
        let credentials = Credentials::of_member(own, testing::trust(&ca));
        assert_eq!(server_said(&credentials, Expected::default(), &peer, Timestamp(0)), "believed");
        assert_ne!(server_said(&person(&ca), Expected::default(), &peer, Timestamp(0)), "believed");
    }
}
