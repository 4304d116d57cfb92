//! Reads: the server's document as it came, and as we understand it.

use std::time::Duration;

use proto::error::{Error, Kind};
use proto::ids::Revision;
use proto::view::{AllocView, JobList, JobStatus, NodeList, ServerList};
use proto::wire::v1;
use serde::de::DeserializeOwned;

use crate::connect::{Client, Servers};
use crate::limits;

/// A document.
#[derive(Debug)]
pub struct Document<T> {
    /// As the server sent it; `--json` passes it on with fields that this program does not know.
    pub raw: bytes::Bytes,
    /// As this program reads it.
    pub view: T,
}

/// Asks for all jobs; an empty namespace means all that the token may see.
///
/// # Errors
/// See [`Servers::ask`].
pub async fn jobs(servers: &Servers, namespace: &str) -> Result<Document<JobList>, Error> {
    let request = v1::ListJobsRequest { namespace: namespace.to_owned(), wait: None };
    understood(
        servers
            .ask(|mut client: Client| {
                let request = request.clone();
                async move { client.list_jobs(request).await }
            })
            .await?,
    )
}

/// Asks one server for all servers: it needs no leader for it.
///
/// # Errors
/// See [`Servers::ask`].
pub async fn servers(servers: &Servers) -> Result<Document<ServerList>, Error> {
    let call =
        |mut client: Client| async move { client.list_servers(v1::ListServersRequest::default()).await };
    understood(servers.ask(call).await?)
}

/// Asks for all nodes; with `after` once the state has passed that revision, or [`limits::WAIT`] is over.
///
/// # Errors
/// See [`Servers::ask`].
pub async fn nodes(servers: &Servers, after: Option<Revision>) -> Result<Document<NodeList>, Error> {
    let (wait, length) = waiting(after);
    let call = |mut client: Client| async move { client.list_nodes(v1::ListNodesRequest { wait }).await };
    understood(servers.ask_waiting(length, call).await?)
}

/// Asks for a job; with `after` once the state has passed that revision, or [`limits::WAIT`] is over.
///
/// # Errors
/// See [`Servers::ask`].
pub async fn job_status(
    servers: &Servers,
    namespace: &str,
    name: &str,
    after: Option<Revision>,
) -> Result<Document<JobStatus>, Error> {
    let (wait, length) = waiting(after);
    let request = v1::JobStatusRequest { namespace: namespace.to_owned(), name: name.to_owned(), wait };
    let call = |mut client: Client| {
        let request = request.clone();
        async move { client.job_status(request).await }
    };
    understood(servers.ask_waiting(length, call).await?)
}

/// What to send, and how long the server may hold it.
fn waiting(after: Option<Revision>) -> (Option<v1::Wait>, Duration) {
    let wait =
        after.map(|revision| v1::Wait { revision: revision.0, wait_ms: limits::WAIT.as_millis() as u64 });
    (wait, after.map_or(Duration::ZERO, |_| limits::WAIT))
}

/// Asks for an allocation by its id, a unique prefix of it, or `job.group.index`.
///
/// # Errors
/// See [`Servers::ask`].
pub async fn alloc(servers: &Servers, namespace: &str, alloc: &str) -> Result<Document<AllocView>, Error> {
    let request = v1::AllocStatusRequest { alloc: alloc.to_owned(), namespace: namespace.to_owned() };
    understood(
        servers
            .ask(|mut client: Client| {
                let request = request.clone();
                async move { client.alloc_status(request).await }
            })
            .await?,
    )
}

/// Reads a document that came in answer or in a stream.
///
/// # Errors
/// [`Kind::Internal`] when a server speaks of what this program does not know; its hint says what to do.
pub fn understood<T: DeserializeOwned>(document: v1::Document) -> Result<Document<T>, Error> {
    match serde_json::from_slice(&document.json) {
        Ok(view) => Ok(Document { raw: document.json, view }),
        Err(cause) => {
            let message = format!("the server's answer is not understood: {cause}");
            let hint =
                "the server may be newer than this program: compare `minijob version` with it, or use --json";
            Err(Error::new(Kind::Internal, message).hint(hint))
        }
    }
}
