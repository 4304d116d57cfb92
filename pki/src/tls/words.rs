//! What went wrong, for people.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use proto::time::{Timestamp, millis};
use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

use super::Mistrust;
use crate::enrol::Refused;

/// As rustls says that the other side ended the connection; libraries between pass on the text alone.
const ALERT: &str = "received fatal alert: ";

/// Says in a sentence why a connection between members, or to a server, failed, with the next step; none when TLS is not the reason.
/// The error may be wrapped by libraries above.
#[must_use]
pub fn explain(error: &(dyn StdError + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(refused) = error.downcast_ref::<Refused>() {
            return Some(refused.to_string());
        }
        if let Some(error) = error.downcast_ref::<Error>() {
            return Some(of_tls(error));
        }
        // An I/O error hides what it is about: its source is the source of that.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(said) = inner.and_then(|inner| explain(inner)) {
            return Some(said);
        }
        if let Some(said) = of_text(&error.to_string()) {
            return Some(said.to_owned());
        }
        next = error.source();
    }
    None
}

/// Puts an error that [`explain`] knows into its words, before libraries wrap it and hide what it was; every other one stays as it is.
#[must_use]
pub fn in_words(error: io::Error) -> io::Error {
    explain(&error).map_or(error, io::Error::other)
}

fn of_tls(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(error) => of_certificate(error),
        Error::AlertReceived(alert) => match of_alert(*alert) {
            Some(said) => said.to_owned(),
            None => format!("the other side ended the TLS handshake ({alert:?})"),
        },
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "the other side does not speak TLS: was it started without a key file, or is it another program's port?".into()
        }
        Error::PeerIncompatible(why) => format!("the other side speaks no TLS 1.3 ({why:?}): update it"),
        other => format!("the TLS handshake failed: {other}"),
    }
}

fn of_certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "the other side belongs to another cluster, or to this one before it was set up anew: its certificate was made by another \
             CA; look at the address, and at the file ca.pem here"
                .into()
        }
        CertificateError::ExpiredContext { time, not_after } => format!(
            "the certificate of the other side expired on {}, and the clock here says {}: set the clock that is wrong, else restart the \
             other side with its key file",
            date(*not_after),
            date(*time)
        ),
        CertificateError::NotValidYetContext { time, not_before } => format!(
            "the certificate of the other side is not valid before {}, and the clock here says {}: set the clock that is wrong",
            date(*not_before),
            date(*time)
        ),
        CertificateError::Revoked => {
            "the other side was thrown out of the cluster; `minijob operator member allow` takes that back".into()
        }
        CertificateError::Other(other) => match other.0.downcast_ref::<Mistrust>() {
            Some(mistrust) => mistrust.to_string(),
            None => format!("the certificate of the other side is refused: {other}"),
        },
        other => format!("the certificate of the other side is refused: {other}"),
    }
}

/// What the other side thinks of us.
fn of_alert(alert: AlertDescription) -> Option<&'static str> {
    Some(match alert {
        AlertDescription::UnknownCA | AlertDescription::DecryptError => {
            "the other side does not know the CA of our certificate: it belongs to another cluster, or this one was set up anew; look at the \
             address, else remove member.pem and ca.pem here to enrol anew"
        }
        AlertDescription::CertificateExpired => {
            "the other side says that our certificate is not valid at this time: compare the clocks; if it has expired, restart with the key \
             file to enrol anew"
        }
        AlertDescription::CertificateRevoked => {
            "this member was thrown out of the cluster; `minijob operator member allow` takes that back"
        }
        AlertDescription::CertificateUnknown | AlertDescription::BadCertificate => {
            "the other side does not take our certificate for a member's: remove member.pem here to enrol anew"
        }
        AlertDescription::AccessDenied | AlertDescription::HandshakeFailure => {
            "the other side has no certificate yet, or shares no cipher with us: its log says which"
        }
        AlertDescription::NoApplicationProtocol => {
            "the other side has no key file, or is too old: start it with --key-file"
        }
        _ => return None,
    })
}

fn of_text(text: &str) -> Option<&'static str> {
    let name = &text[text.find(ALERT)? + ALERT.len()..];
    let known = [
        AlertDescription::UnknownCA,
        AlertDescription::DecryptError,
        AlertDescription::CertificateExpired,
        AlertDescription::CertificateRevoked,
        AlertDescription::CertificateUnknown,
        AlertDescription::BadCertificate,
        AlertDescription::AccessDenied,
        AlertDescription::HandshakeFailure,
        AlertDescription::NoApplicationProtocol,
    ];
    known.into_iter().find(|alert| name.starts_with(&format!("{alert:?}"))).and_then(of_alert)
}

fn date(time: UnixTime) -> Timestamp {
    Timestamp(millis(Duration::from_secs(time.as_secs())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_found_however_deep_it_is() {
        let tls = Error::AlertReceived(AlertDescription::CertificateExpired);
        let text = tls.to_string();
        let wrapped = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, tls));
        let said = explain(&wrapped).unwrap();
        assert!(said.contains("compare the clocks"), "{said}");
        let passed_on = io::Error::other(format!("h2: {text}"));
        assert_eq!(explain(&passed_on), Some(said));
    }

    #[test]
    fn what_has_nothing_to_do_with_tls_is_left_to_others() {
        assert_eq!(explain(&io::Error::from(io::ErrorKind::ConnectionRefused)), None);
        assert_eq!(explain(&io::Error::other("disk full")), None);
    }
}
