//! Connections whose both ends have proven that they have the cluster's key: how servers meet, also before there is a certificate.
//!
//! It is TLS that believes any certificate ([`super::unproven`]), under a protocol's name of its own, and begins with a proof in each
//! direction that holds on this connection only ([`crate::proof`]). HTTP/2 follows, and nobody is between.

use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use super::connect::{Connector, believing_anybody, binding};
use crate::enrol::Refused;
use crate::limits::{HANDSHAKE_WITHIN, KEYS_MAX};
use crate::proof::{self, Binding, Proof, Secret};

/// What is agreed on in the handshake; the number is the version of what follows.
pub(super) const PROTOCOL: &[u8] = b"minijob-key/1";
const CALLS: &str = "minijob key: who calls, version 1";
const ANSWERS: &str = "minijob key: who answers, version 1";
/// Instead of the number of the key that fits.
const NONE_FITS: u8 = u8::MAX;

/// What is proven: one secret of the cluster's key, or two while the key is being changed. Clones are the same.
#[derive(Clone)]
pub struct Keys(Arc<ArcSwap<Vec<Secret>>>);

impl Keys {
    /// Takes those that hold, the newest first; more than [`KEYS_MAX`] are not looked at.
    #[must_use]
    pub fn new(secrets: Vec<Secret>) -> Self {
        let keys = Self(Arc::default());
        keys.replace(secrets);
        keys
    }

    /// Goes by these from the next connection on.
    pub fn replace(&self, mut secrets: Vec<Secret>) {
        secrets.truncate(KEYS_MAX);
        self.0.store(Arc::new(secrets));
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys(..)")
    }
}

/// Connects to who has the same key, whoever that is. Clones are the same.
#[derive(Clone, Debug)]
pub struct KeyConnector {
    connector: Connector,
    keys: Keys,
}

impl KeyConnector {
    /// Connects with these keys.
    #[must_use]
    pub fn new(keys: Keys) -> Self {
        Self { connector: believing_anybody(PROTOCOL), keys }
    }

    /// Opens a connection to `host:port`. When it returns both sides have proven that they have the key.
    ///
    /// # Errors
    /// When nobody answers, it has no key or another one, or does not speak TLS; [`super::explain`] says it in words.
    pub async fn dial(&self, address: &str) -> io::Result<TlsStream<TcpStream>> {
        let mut stream = self.connector.dial(address).await?;
        let binding = binding(&stream)?;
        let secrets = self.keys.0.load_full();
        let proven = timeout(HANDSHAKE_WITHIN, call(&mut stream, &binding, &secrets)).await;
        proven.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
        Ok(stream)
    }
}

/// Who connected proves first: whoever only looks for servers learns nothing from one.
async fn call<S>(stream: &mut S, binding: &Binding, secrets: &[Secret]) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let proofs: Vec<Proof> = secrets.iter().map(|secret| proof::prove(secret, binding, CALLS, &[])).collect();
    let count = u8::try_from(proofs.len()).unwrap_or(u8::MAX);
    stream.write_all(&[&[count], proofs.concat().as_slice()].concat()).await?;
    stream.flush().await?;
    let (chosen, mut answer) = (usize::from(stream.read_u8().await?), Proof::default());
    stream.read_exact(&mut answer).await?;
    let fits = secrets
        .get(chosen)
        .is_some_and(|secret| proof::is_proven(secret, binding, ANSWERS, &[&proofs[chosen]], &answer));
    if fits { Ok(()) } else { Err(io::Error::other(Refused::WrongKey)) }
}

/// The other side of [`KeyConnector::dial`]; false: who called does not have the key, and was told.
pub(super) async fn answer<S>(stream: &mut S, binding: &Binding, keys: &Keys) -> io::Result<bool>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let count = usize::from(stream.read_u8().await?);
    if count > KEYS_MAX {
        return Ok(false);
    }
    let mut proofs = vec![Proof::default(); count];
    for proof in &mut proofs {
        stream.read_exact(proof).await?;
    }
    let secrets = keys.0.load_full();
    let known = proofs.iter().enumerate().find_map(|(number, shown)| {
        let fits = |secret: &&Secret| proof::is_proven(secret, binding, CALLS, &[], shown);
        Some((number, shown, secrets.iter().find(fits)?))
    });
    let (chosen, said) = match known {
        Some((number, shown, secret)) => {
            (u8::try_from(number).unwrap_or(NONE_FITS), proof::prove(secret, binding, ANSWERS, &[shown]))
        }
        None => (NONE_FITS, Proof::default()),
    };
    stream.write_all(&[&[chosen], said.as_slice()].concat()).await?;
    stream.flush().await?;
    Ok(known.is_some())
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::member::Role;
    use crate::testing::{NOW, member};
    use crate::tls::{Credentials, Peer, Rejected, explain};

    /// A server that has no certificate yet, and these keys.
    async fn meet(theirs: Vec<Secret>, ours: Vec<Secret>) -> (Result<(), String>, Result<Peer, Rejected>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let credentials = Credentials::provisional(&member(Role::Server, "s1", 1), NOW).unwrap();
        let acceptor = credentials.acceptor_for(Keys::new(theirs));
        let connector = KeyConnector::new(Keys::new(ours));
        let accepting = async { acceptor.accept(listener.accept().await.unwrap().0).await };
        let (dialled, accepted) = tokio::join!(connector.dial(&addr), accepting);
        let said = |error: io::Error| explain(&error).unwrap_or_else(|| error.to_string());
        (dialled.map(drop).map_err(said), accepted.map(|(_, peer)| peer))
    }

    #[tokio::test]
    async fn who_has_the_key_is_known_and_nobody_else_without_any_certificate() {
        let (dialled, accepted) = meet(vec![[7; 32]], vec![[7; 32]]).await;
        assert_eq!(dialled, Ok(()));
        let peer = accepted.unwrap();
        assert!(peer.knows_key && peer.identity.is_none());
        let (dialled, accepted) = meet(vec![[7; 32]], vec![[8; 32]]).await;
        assert!(dialled.unwrap_err().contains("have different key files"));
        assert!(matches!(accepted, Err(Rejected::Key)), "{accepted:?}");
        let (dialled, accepted) = meet(vec![[7; 32]], vec![]).await;
        assert!(dialled.is_err() && accepted.is_err(), "no proof is none");
    }

    #[tokio::test]
    async fn while_the_key_is_changed_old_and_new_meet() {
        let (new, old) = ([9; 32], [7; 32]);
        for (theirs, ours) in
            [(vec![new, old], vec![old]), (vec![old], vec![new, old]), (vec![new], vec![new, old])]
        {
            let (dialled, accepted) = meet(theirs, ours).await;
            assert_eq!(dialled, Ok(()));
            assert!(accepted.unwrap().knows_key);
        }
    }

    #[tokio::test]
    async fn somebody_who_echoes_proofs_is_not_believed() {
        let (mut here, mut there) = tokio::io::duplex(1024);
        let echo = async {
            let mut said = [0; 33];
            there.read_exact(&mut said).await.unwrap();
            said[0] = 0;
            there.write_all(&said).await.unwrap();
        };
        let (called, ()) = tokio::join!(call(&mut here, &Binding([1; 32]), &[[7; 32]]), echo);
        assert!(called.is_err());
    }
}
