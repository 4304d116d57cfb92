//! Who a certificate says its holder is. Whether it may be believed is TLS's to check; this only reads.

use proto::time::Timestamp;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

use crate::member::Member;

/// Who a certificate says its holder is, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Who.
    pub member: Member,
    /// From when.
    pub begins_at: Timestamp,
    /// Until when.
    pub expires_at: Timestamp,
}

/// Why a certificate names no member.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoMember {
    /// It is none.
    #[error("the certificate cannot be read")]
    Unreadable,
    /// It belongs to something else than a member.
    #[error("the certificate names no member of a cluster")]
    Nobody,
    /// It names two.
    #[error("the certificate names more than one member of a cluster")]
    Ambiguous,
}

/// Reads a certificate (DER).
///
/// # Errors
/// [`NoMember`]: when it has not exactly one name and one id of a member, or these have different roles.
pub fn read(certificate: &[u8]) -> Result<Identity, NoMember> {
    let (rest, parsed) =
        x509_parser::parse_x509_certificate(certificate).map_err(|_| NoMember::Unreadable)?;
    if !rest.is_empty() {
        return Err(NoMember::Unreadable);
    }
    let names = names(&parsed)?;
    let role_and_name = one(names.iter().filter_map(|name| match name {
        GeneralName::DNSName(text) => Member::of_dns(text),
        _ => None,
    }))?;
    let role_and_id = one(names.iter().filter_map(|name| match name {
        GeneralName::URI(text) => Member::of_uri(text),
        _ => None,
    }))?;
    let ((role, name), (role_of_id, id)) = (role_and_name, role_and_id);
    if role != role_of_id {
        return Err(NoMember::Ambiguous);
    }
    let validity = parsed.validity();
    let time = |at: i64| Timestamp(u64::try_from(at).unwrap_or(0).saturating_mul(1000));
    Ok(Identity {
        member: Member { role, name: name.to_owned(), id },
        begins_at: time(validity.not_before.timestamp()),
        expires_at: time(validity.not_after.timestamp()),
    })
}

fn names<'c>(parsed: &'c X509Certificate<'_>) -> Result<&'c [GeneralName<'c>], NoMember> {
    let names = parsed.subject_alternative_name().map_err(|_| NoMember::Unreadable)?;
    Ok(&names.ok_or(NoMember::Nobody)?.value.general_names)
}

/// A second one would let a certificate mean one member here and another there.
fn one<T>(mut found: impl Iterator<Item = T>) -> Result<T, NoMember> {
    let first = found.next().ok_or(NoMember::Nobody)?;
    if found.next().is_some() { Err(NoMember::Ambiguous) } else { Ok(first) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::Role;
    use crate::testing::{self, member};
    use rcgen::{CertificateParams, KeyPair, SanType};

    fn with_names(names: &[SanType]) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names.to_vec();
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    fn dns(text: &str) -> SanType {
        SanType::DnsName(text.try_into().unwrap())
    }

    fn uri(text: &str) -> SanType {
        SanType::URI(text.try_into().unwrap())
    }

    #[test]
    fn a_certificate_says_who_and_until_when() {
        let ca = testing::ca();
        let agent = member(Role::Agent, "vm7.example", 9);
        let own = testing::issue(&ca, &agent, testing::NOW);
        let identity = read(own.certificate()).unwrap();
        assert_eq!(identity.member, agent);
        assert_eq!(&identity, own.identity());
        assert_eq!(identity.expires_at, testing::NOW.plus(crate::limits::CERTIFICATE_LASTS));
        assert!(identity.begins_at < testing::NOW);
    }

    #[test]
    fn a_certificate_without_a_name_and_an_id_names_nobody() {
        let id = member(Role::Agent, "a", 1).uri();
        let cases =
            [vec![], vec![dns("a.agent.minijob")], vec![uri(&id)], vec![dns("www.example"), uri(&id)]];
        for names in cases {
            assert_eq!(read(&with_names(&names)), Err(NoMember::Nobody), "{names:?}");
        }
        assert_eq!(read(b"nonsense"), Err(NoMember::Unreadable));
        assert_eq!(read(&testing::ca().certificate()[..80]), Err(NoMember::Unreadable));
    }

    #[test]
    fn two_members_or_two_roles_in_one_certificate_are_refused() {
        let (one, other) = (member(Role::Agent, "a", 1), member(Role::Server, "a", 1));
        let cases = [
            vec![dns(&one.dns()), uri(&other.uri())],
            vec![dns(&one.dns()), dns(&other.dns()), uri(&one.uri())],
            vec![dns(&one.dns()), uri(&one.uri()), uri(&other.uri())],
        ];
        for names in cases {
            assert_eq!(read(&with_names(&names)), Err(NoMember::Ambiguous), "{names:?}");
        }
    }
}
