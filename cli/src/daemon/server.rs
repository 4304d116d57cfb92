//! Assembles the server.

use std::net::TcpListener;
use std::path::PathBuf;

use proto::error::{Error, Kind};

use super::Running;

/// What a server is given.
#[derive(Debug)]
pub struct Options {
    /// Its name.
    pub name: String,
    /// Where it keeps its log, its snapshots and its token; made if missing.
    pub data_dir: PathBuf,
    /// Where it listens, bound already: whoever chose the port knows that it has it.
    pub listener: TcpListener,
    /// The address that others reach it at; none: the one it listens on.
    pub advertise: Option<String>,
}

/// A server that answers.
#[derive(Debug)]
pub struct Serving {
    /// What lets a client in.
    pub token: String,
    /// Where the token is kept.
    pub token_file: PathBuf,
    /// Whether this start made the token.
    pub first_start: bool,
    /// The server itself.
    pub running: Running,
}

/// Starts a server and returns when it answers requests.
///
/// # Errors
/// What keeps it from serving.
pub async fn start(options: Options) -> Result<Serving, Error> {
    let Options { name, data_dir, listener, advertise } = options;
    let _ = (name, data_dir, listener, advertise);
    Err(Error::new(Kind::Internal, "this build has no server"))
}
