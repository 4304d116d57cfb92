//! `minijob server members`: the servers of the cluster.

use proto::view::ServerList;
use proto::wire::v1;

use crate::args::Global;
use crate::connect::{Client, Servers};
use crate::exit::{Exit, Failure};
use crate::output::{Cell, Out, Table, Tone};
use crate::read::understood;
use crate::runtime;

/// What can be asked beside running a server.
#[derive(Debug, clap::Subcommand)]
pub enum What {
    /// Shows the servers of the cluster, and which of them leads
    Members,
}

/// Runs the command.
///
/// # Errors
/// The server's refusal.
pub fn main(global: &Global) -> Result<Exit, Failure> {
    let call =
        |mut client: Client| async move { client.list_servers(v1::ListServersRequest::default()).await };
    let mut out = Out::new(global);
    let document = runtime::small(async { Ok(Servers::new(global)?.ask(call).await?) })?;
    let servers = understood::<ServerList>(document)?;
    if out.json {
        out.passed_on(&servers.raw)?;
        return Ok(Exit::DONE);
    }
    let mut table = Table::new(&out, &["SERVER", "ID", "ADDRESS", "ROLE", "VERSION"]);
    for server in &servers.view.items {
        let (tone, role) = if server.leader { (Tone::Good, "leader") } else { (Tone::Plain, "follower") };
        let version = server.version.as_ref().map_or_else(String::new, |version| version.version.clone());
        table.row(vec![
            Cell::toned(Tone::Strong, &server.name),
            server.id.to_string().into(),
            server.address.as_str().into(),
            Cell::toned(tone, role),
            version.into(),
        ]);
    }
    out.line(&table.render())?;
    Ok(Exit::DONE)
}
