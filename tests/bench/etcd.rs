//! etcd of Debian as a peer for committed writes: one member, or three on this machine, and a client of the one call that is measured.

use std::process::Child;
use std::time::{Duration, Instant};

use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};

use crate::peers::{Folder, end, program};
use crate::rig::free_addr;
use crate::tools::Tools;

/// Until there is a leader.
const LED_WITHIN: Duration = Duration::from_secs(30);
/// As etcd's own benchmark writes.
const VALUE_BYTES: usize = 256;

/// A cluster of its own. Dropped, nothing of it is left.
pub(crate) struct Etcd {
    folder: Folder,
    members: Vec<Child>,
    leader: String,
}

impl Etcd {
    /// Starts members and waits until one leads. Several speak TLS with each other, as ours do; clients are served without.
    ///
    /// # Errors
    /// When the program is not there, or does not start.
    pub(crate) async fn start(tools: &Tools, members: usize) -> Result<Self, String> {
        let (program, folder) = (program("etcd", "usr/bin/etcd")?, Folder::fresh(tools, "etcd")?);
        let ports: Vec<(String, String)> = (0..members).map(|_| (free_addr(), free_addr())).collect();
        let scheme = if members > 1 { "https" } else { "http" };
        let all: Vec<String> =
            ports.iter().enumerate().map(|(at, (_, peer))| format!("e{at}={scheme}://{peer}")).collect();
        let mut etcd = Self { folder, members: Vec::new(), leader: String::new() };
        for (number, (client, peer)) in ports.iter().enumerate() {
            let (client, peer) = (format!("http://{client}"), format!("{scheme}://{peer}"));
            let mut command = etcd.folder.command(&program);
            command.arg("--name").arg(format!("e{number}"));
            command.arg("--data-dir").arg(etcd.folder.path().join(format!("e{number}")));
            for flag in ["--listen-client-urls", "--advertise-client-urls"] {
                command.args([flag, &client]);
            }
            for flag in ["--listen-peer-urls", "--initial-advertise-peer-urls"] {
                command.args([flag, &peer]);
            }
            command.args(["--initial-cluster", &all.join(","), "--initial-cluster-state", "new"]);
            // It otherwise writes a line for every slow request.
            command.args(["--log-level", "error"]);
            if members > 1 {
                command.arg("--peer-auto-tls");
            }
            etcd.members.push(command.spawn().map_err(|error| format!("{}: {error}", program.display()))?);
        }
        etcd.find_leader(&ports).await?;
        Ok(etcd)
    }

    async fn find_leader(&mut self, ports: &[(String, String)]) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            for (client, _) in ports {
                if leads(client).await.is_ok_and(|leads| leads) {
                    self.leader.clone_from(client);
                    return Ok(());
                }
            }
            if begun.elapsed() > LED_WITHIN {
                return Err(format!("no member of etcd leads within {LED_WITHIN:?}: {}", self.folder.said()));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A connection of its own to the member that leads.
    ///
    /// # Errors
    /// When it does not listen.
    pub(crate) async fn writer(&self) -> Result<Writer, String> {
        Ok(Writer(tonic::client::Grpc::new(connect(&self.leader).await?)))
    }

    /// All members.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.members.iter().map(Child::id).collect()
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        end(&mut self.members, self.folder.path());
    }
}

/// Somebody who puts keys.
#[derive(Clone)]
pub(crate) struct Writer(tonic::client::Grpc<Channel>);

impl Writer {
    /// Puts a value and returns when it is committed.
    ///
    /// # Errors
    /// What etcd says.
    pub(crate) async fn put(&mut self, key: String) -> Result<(), String> {
        let put = Put { key: key.into_bytes(), value: vec![7; VALUE_BYTES] };
        let _: Empty = call(&mut self.0, "/etcdserverpb.KV/Put", put).await?;
        Ok(())
    }
}

async fn connect(addr: &str) -> Result<Channel, String> {
    let endpoint = Endpoint::from_shared(format!("http://{addr}")).map_err(|error| error.to_string())?;
    endpoint.tcp_nodelay(true).connect().await.map_err(|error| error.to_string())
}

async fn leads(addr: &str) -> Result<bool, String> {
    let mut client = tonic::client::Grpc::new(connect(addr).await?);
    let status: Status = call(&mut client, "/etcdserverpb.Maintenance/Status", Empty {}).await?;
    let own = status.header.map_or(0, |header| header.member_id);
    Ok(own != 0 && own == status.leader)
}

async fn call<A, B>(
    client: &mut tonic::client::Grpc<Channel>,
    path: &'static str,
    body: A,
) -> Result<B, String>
where
    A: prost::Message + Send + Sync + 'static,
    B: prost::Message + Default + Send + Sync + 'static,
{
    client.ready().await.map_err(|error| error.to_string())?;
    let codec = tonic_prost::ProstCodec::<A, B>::default();
    let path = PathAndQuery::from_static(path);
    let answer = client.unary(tonic::Request::new(body), path, codec).await;
    answer.map(tonic::Response::into_inner).map_err(|status| status.to_string())
}

/// The parts that are used of `etcdserverpb.PutRequest`.
#[derive(Clone, PartialEq, prost::Message)]
struct Put {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// An answer of which nothing is read, and a question that says nothing.
#[derive(Clone, PartialEq, prost::Message)]
struct Empty {}

/// The parts that are used of `etcdserverpb.StatusResponse`.
#[derive(Clone, PartialEq, prost::Message)]
struct Status {
    #[prost(message, optional, tag = "1")]
    header: Option<Header>,
    #[prost(uint64, tag = "4")]
    leader: u64,
}

/// The part that is used of `etcdserverpb.ResponseHeader`.
#[derive(Clone, PartialEq, prost::Message)]
struct Header {
    #[prost(uint64, tag = "2")]
    member_id: u64,
}
