//! A secret that is kept where others may read: the CA's private key in the replicated state, and so in every snapshot of it.

use proto::ids::random_request_id;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::proof::Secret;

/// The first byte: which way the rest is sealed.
const VERSION: u8 = 1;

/// What was sealed cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// None of the keys fits, or it was changed.
    #[error(
        "it was sealed with another cluster key, or is damaged: give this server the key file that the others have"
    )]
    WrongKey,
    /// A newer version wrote it.
    #[error("it was sealed by a newer version of minijob: update this server")]
    Version,
}

/// Seals a text. `label` says what it is; it opens under the same label only. Every call makes other bytes. At most a few thousand texts may be
/// sealed with one secret, which are more than anybody changes a CA.
///
/// # Errors
/// [`Error::WrongKey`] never in practice: when the text is longer than the cipher takes.
pub fn seal(secret: &Secret, label: &str, text: &[u8]) -> Result<Vec<u8>, Error> {
    let random = random_request_id().0.to_be_bytes();
    let mut nonce = [0; NONCE_LEN];
    nonce.copy_from_slice(&random[..NONCE_LEN]);
    let mut sealed = vec![VERSION];
    sealed.extend_from_slice(&nonce);
    let mut body = text.to_vec();
    let nonce = Nonce::assume_unique_for_key(nonce);
    let key = key(secret)?;
    key.seal_in_place_append_tag(nonce, Aad::from(label), &mut body).map_err(|_| Error::WrongKey)?;
    sealed.append(&mut body);
    Ok(sealed)
}

/// Opens what was sealed with one of these secrets.
///
/// # Errors
/// See [`Error`].
pub fn open(secrets: &[Secret], label: &str, sealed: &[u8]) -> Result<Vec<u8>, Error> {
    let (version, rest) = sealed.split_first().ok_or(Error::WrongKey)?;
    if *version != VERSION {
        return Err(Error::Version);
    }
    let (nonce, body) = rest.split_first_chunk::<NONCE_LEN>().ok_or(Error::WrongKey)?;
    let opened = |secret: &Secret| {
        let mut body = body.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let text = key(secret).ok()?.open_in_place(nonce, Aad::from(label), &mut body).ok()?;
        Some(text.to_vec())
    };
    secrets.iter().find_map(opened).ok_or(Error::WrongKey)
}

fn key(secret: &Secret) -> Result<LessSafeKey, Error> {
    UnboundKey::new(&CHACHA20_POLY1305, secret).map(LessSafeKey::new).map_err(|_| Error::WrongKey)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_with_its_key_and_label_alone() {
        let sealed = seal(&[1; 32], "ca", b"secret").unwrap();
        assert!(!sealed.windows(6).any(|part| part == b"secret"));
        assert_eq!(open(&[[2; 32], [1; 32]], "ca", &sealed).unwrap(), b"secret");
        assert_eq!(open(&[[2; 32]], "ca", &sealed), Err(Error::WrongKey));
        assert_eq!(open(&[[1; 32]], "token", &sealed), Err(Error::WrongKey));
        assert_ne!(seal(&[1; 32], "ca", b"secret").unwrap(), sealed);
    }

    #[test]
    fn what_was_changed_does_not_open() {
        let sealed = seal(&[1; 32], "ca", b"secret").unwrap();
        for at in 1..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(open(&[[1; 32]], "ca", &changed), Err(Error::WrongKey), "{at}");
            assert!(open(&[[1; 32]], "ca", &sealed[..at]).is_err());
        }
        assert_eq!(open(&[[1; 32]], "ca", &[9, 9]), Err(Error::Version));
    }
}
