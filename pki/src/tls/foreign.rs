use std::io;

use rustls::{CertificateError, Error};

/// Returns whether a connection failed because the other side's certificate was made by a CA that is not believed here: it belongs to
/// another cluster, or to this one after it was set up anew.
#[must_use]
pub fn is_of_another_ca(error: &io::Error) -> bool {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    let certificate = match tls {
        Some(Error::InvalidCertificate(certificate)) => certificate,
        _ => return false,
    };
    matches!(certificate, CertificateError::UnknownIssuer | CertificateError::BadSignature)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_ca_is_told_from_all_else_that_is_wrong_with_a_certificate() {
        let failed = |error| io::Error::new(io::ErrorKind::InvalidData, Error::InvalidCertificate(error));
        assert!(is_of_another_ca(&failed(CertificateError::UnknownIssuer)));
        assert!(is_of_another_ca(&failed(CertificateError::BadSignature)));
        assert!(!is_of_another_ca(&failed(CertificateError::Revoked)));
        assert!(!is_of_another_ca(&failed(CertificateError::Expired)));
        assert!(!is_of_another_ca(&io::Error::from(io::ErrorKind::ConnectionRefused)));
    }
}
