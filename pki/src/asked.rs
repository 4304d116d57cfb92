//! Asking a server for a certificate: the first one with the cluster's key, later ones with the one that there is.

use std::sync::{Mutex, PoisonError};

use hyper_util::rt::TokioIo;
use proto::error::Error as Refusal;
use proto::wire::v1;
use proto::wire::v1::enrol_client::EnrolClient;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use crate::ca::{self, Ca};
use crate::enrol::{Ask, Grant, Refused};
use crate::limits::ASKED_WITHIN;
use crate::member::Member;
use crate::own::{self, Own, Pending};
use crate::proof::Secret;
use crate::tls::{BadTrust, Connector, Credentials, Expected, Trust, binding, explain, unproven};
use crate::{purpose, seal};

/// What a member has once it has enrolled.
#[derive(Debug)]
pub struct Enrolled {
    /// Its key and certificate.
    pub own: Own,
    /// Whom it believes.
    pub trust: Trust,
    /// The CA itself, for servers.
    pub authority: Option<Ca>,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody answered as agreed.
    #[error("the server at {addr} gave no certificate: {why}")]
    Unreached {
        /// Where.
        addr: String,
        /// Why.
        why: String,
    },
    /// The server said no.
    #[error("the server at {addr} gave no certificate: {why}", why = said(.refusal))]
    Refused {
        /// Where.
        addr: String,
        /// What it said.
        refusal: Refusal,
    },
    /// Whoever answered does not have the key.
    #[error("the answer of {addr} is not believed: {source}")]
    Unproven {
        /// Where.
        addr: String,
        /// Why.
        source: Refused,
    },
    /// No key can be made, or the certificate is for another one.
    #[error("no certificate: {0}")]
    Own(own::Error),
    /// What was given to trust is none.
    #[error("the CA that came with the certificate cannot be used: {0}")]
    Trust(BadTrust),
    /// The sealed CA cannot be opened.
    #[error("the cluster's CA cannot be opened: {0}")]
    Sealed(seal::Error),
    /// The sealed CA is none.
    #[error("the cluster's CA cannot be used: {0}")]
    Authority(ca::Error),
}

/// Enrols with the server at `addr` (host:port): nothing of what it says is used before it has proven that it has the key, and it learns
/// nothing of the key. `secrets` are the key's for [`purpose::ENROL`], `sealing` those for [`purpose::AUTHORITY`], empty for agents.
///
/// A second call gives another certificate; the one before stays valid.
///
/// # Errors
/// See [`Error`].
pub async fn enrol(
    addr: &str,
    secrets: &[Secret],
    sealing: &[Secret],
    member: &Member,
    hosts: &[String],
) -> Result<Enrolled, Error> {
    let mut last = Error::Unproven { addr: addr.to_owned(), source: Refused::NoKey };
    for secret in secrets {
        match timeout(ASKED_WITHIN, enrol_with(addr, secret, sealing, member, hosts)).await {
            Ok(Ok(enrolled)) => return Ok(enrolled),
            // While the key is changed a server may not know the next one yet.
            Ok(Err(error @ Error::Refused { .. })) => last = error,
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(silent(addr)),
        }
    }
    Err(last)
}

async fn enrol_with(
    addr: &str,
    secret: &Secret,
    sealing: &[Secret],
    member: &Member,
    hosts: &[String],
) -> Result<Enrolled, Error> {
    let pending = Pending::new().map_err(Error::Own)?;
    let stream = dial(addr, &unproven()).await?;
    let binding = binding(&stream).map_err(|error| unreached(addr, &error))?;
    let ask = Ask::new(secret, &binding, member.clone(), hosts.to_vec(), pending.request().to_vec());
    let message = v1::EnrolAsk {
        role: member.role.word().to_owned(),
        name: member.name.clone(),
        id: member.id,
        hosts: ask.hosts.clone(),
        request: ask.request.clone().into(),
        proof: ask.proof.to_vec().into(),
    };
    let answer = client(addr, stream).await?.enrol(message).await;
    let answer = answer.map_err(|status| refused(addr, &status))?.into_inner();
    let unproven = |source| Error::Unproven { addr: addr.to_owned(), source };
    let grant = Grant {
        certificate: answer.certificate.to_vec(),
        trust: answer.trust,
        proof: answer.proof.as_ref().try_into().map_err(|_| unproven(Refused::WrongKey))?,
    };
    grant.check(secret, &binding, &ask).map_err(unproven)?;
    let authority = match answer.authority.as_ref() {
        [] => None,
        sealed => Some(open_authority(sealing, sealed)?),
    };
    let own = pending.certified(grant.certificate).map_err(Error::Own)?;
    let trust = Trust::from_pem(&grant.trust).map_err(Error::Trust)?;
    Ok(Enrolled { own, trust, authority })
}

/// Opens a CA that was sealed for servers.
///
/// # Errors
/// [`Error::Sealed`], [`Error::Authority`]
pub fn open_authority(secrets: &[Secret], sealed: &[u8]) -> Result<Ca, Error> {
    let text = seal::open(secrets, purpose::AUTHORITY, sealed).map_err(Error::Sealed)?;
    Ca::from_pem(&String::from_utf8_lossy(&text)).map_err(Error::Authority)
}

/// Gets another certificate from the server at `addr` for who has one that holds.
///
/// # Errors
/// See [`Error`].
pub async fn renew(addr: &str, credentials: &Credentials) -> Result<(Own, Trust), Error> {
    let asked = async {
        let pending = Pending::new().map_err(Error::Own)?;
        let stream = dial(addr, &credentials.connector(Expected::default())).await?;
        let ask = v1::RenewAsk { request: pending.request().to_vec().into() };
        let answer = client(addr, stream).await?.renew(ask).await;
        let answer = answer.map_err(|status| refused(addr, &status))?.into_inner();
        let own = pending.certified(answer.certificate.to_vec()).map_err(Error::Own)?;
        Ok((own, Trust::from_pem(&answer.trust).map_err(Error::Trust)?))
    };
    timeout(ASKED_WITHIN, asked).await.unwrap_or_else(|_| Err(silent(addr)))
}

async fn dial(addr: &str, connector: &Connector) -> Result<TlsStream<TcpStream>, Error> {
    connector.dial(addr).await.map_err(|error| unreached(addr, &error))
}

/// Speaks gRPC over a connection that is there: a second one would have another binding.
async fn client(addr: &str, stream: TlsStream<TcpStream>) -> Result<EnrolClient<Channel>, Error> {
    let unreached = |error: tonic::transport::Error| unreached(addr, &error);
    let endpoint = Endpoint::from_shared(format!("http://{addr}")).map_err(unreached)?;
    let once = Mutex::new(Some(stream));
    let connect = service_fn(move |_| {
        let stream = once.lock().unwrap_or_else(PoisonError::into_inner).take();
        async move { stream.map(TokioIo::new).ok_or_else(|| std::io::Error::from(std::io::ErrorKind::BrokenPipe)) }
    });
    endpoint.connect_with_connector(connect).await.map(EnrolClient::new).map_err(unreached)
}

fn silent(addr: &str) -> Error {
    Error::Unreached { addr: addr.to_owned(), why: format!("it does not answer within {ASKED_WITHIN:?}") }
}

fn unreached(addr: &str, error: &(dyn std::error::Error + 'static)) -> Error {
    let why = explain(error).unwrap_or_else(|| innermost(error));
    Error::Unreached { addr: addr.to_owned(), why }
}

fn refused(addr: &str, status: &tonic::Status) -> Error {
    match explain(status) {
        Some(why) => Error::Unreached { addr: addr.to_owned(), why },
        None => Error::Refused { addr: addr.to_owned(), refusal: Refusal::from(status) },
    }
}

fn said(refusal: &Refusal) -> String {
    match refusal.hint.as_str() {
        "" => refusal.message.clone(),
        hint => format!("{}; {hint}", refusal.message),
    }
}

fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}
