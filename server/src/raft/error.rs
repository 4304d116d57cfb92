//! Why a server cannot start, and why a proposal has no outcome.

use std::io;
use std::path::PathBuf;

use super::log_store;

/// Why a server could not start. Nothing runs then, and the data directory may be opened again.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The log store could not be opened.
    #[error("cannot open the log")]
    Store(#[source] log_store::Error),
    /// The snapshots and the log do not give the state.
    #[error("cannot load the state")]
    State(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The data directory belongs to another server.
    #[error(
        "{} holds the log of another server: its members are {members:?}, this is {server_id:x}",
        path.display()
    )]
    OtherServer {
        /// The directory.
        path: PathBuf,
        /// Ids of the servers named in it.
        members: Vec<String>,
        /// The id of this server.
        server_id: u64,
    },
    /// The settings contradict each other.
    #[error("the timings of elections and heartbeats contradict each other")]
    Timings(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The system gave no thread.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
    /// The consensus core did not start.
    #[error("the consensus core did not start")]
    Core(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why a proposal has no outcome.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Another server leads, or none does. The command is not in the log.
    #[error("this server does not lead")]
    NotLeader {
        /// Where the leader listens, if one is known.
        addr: Option<String>,
    },
    /// Too much is waiting. The command is not in the log; trying again later is safe.
    #[error("too many commands are waiting")]
    Unavailable,
    /// The command is in the log, but whether it was or will be applied is not known: nobody answered in time, or this
    /// server was deposed or stopped. It must not be taken as refused; a command with the same request id may follow.
    #[error("the command was proposed but its outcome is not known")]
    Unknown,
    /// The command is larger than is allowed.
    #[error("the command has {bytes} bytes, at most {max} are allowed")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The server is stopping or has failed. The command is not in the log.
    #[error("the server is stopping")]
    Stopped,
}
