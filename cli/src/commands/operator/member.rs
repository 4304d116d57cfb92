//! `minijob operator member`: who belongs to the cluster, and who is thrown out.

use proto::view::{MemberList, MemberView};
use proto::wire::v1;

use crate::args::Global;
use crate::commands::written;
use crate::connect::{Client, Servers};
use crate::exit::{Exit, Failure};
use crate::output::{Cell, Out, Table, Tone};
use crate::read::understood;
use crate::runtime;

const EXAMPLES: &str = "\
Examples:
  minijob operator member list
  minijob operator member deny vm7        vm7 is lost, or not to be trusted any more
  minijob operator member allow vm7

Who is thrown out is refused at once, by every server, and its connections are closed; a server is removed from the cluster first.
Whoever could read its key file can enrol again under another id: change the key then, with `minijob operator key rotate`.";

/// What `operator member` is asked.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// What to do
    #[command(subcommand)]
    pub what: What,
}

/// What can be done.
#[derive(Debug, clap::Subcommand)]
pub enum What {
    /// Shows all servers and agents, and who was thrown out
    List,
    /// Throws a server or an agent out of the cluster
    Deny(One),
    /// Takes that back: an agent returns by itself, a server as a new one, with an empty data directory
    Allow(One),
}

/// One member.
#[derive(Debug, clap::Args)]
pub struct One {
    /// Its name or its id
    #[arg(value_name = "MEMBER")]
    pub member: String,
}

/// Runs the command.
///
/// # Errors
/// The server's refusal.
pub(super) fn main(args: &Args, global: &Global) -> Result<Exit, Failure> {
    match &args.what {
        What::List => list(global),
        What::Deny(One { member }) => deny(member, global),
        What::Allow(One { member }) => allow(member, global),
    }
}

fn list(global: &Global) -> Result<Exit, Failure> {
    let call =
        |mut client: Client| async move { client.list_members(v1::ListMembersRequest::default()).await };
    let mut out = Out::new(global);
    let document = runtime::small(async { Ok(Servers::new(global)?.ask(call).await?) })?;
    let members = understood::<MemberList>(document)?;
    if out.json {
        out.passed_on(&members.raw)?;
        return Ok(Exit::DONE);
    }
    let mut table = Table::new(&out, &["MEMBER", "ROLE", "ID", "STATE"]);
    for member in &members.view.items {
        let (tone, state) = state(member);
        table.row(vec![
            Cell::toned(Tone::Strong, &member.name),
            member.role.as_str().into(),
            member.id.to_string().into(),
            Cell::toned(tone, &state),
        ]);
    }
    out.line(&table.render())?;
    Ok(Exit::DONE)
}

fn state(member: &MemberView) -> (Tone, String) {
    match (member.denied, member.denied_until) {
        (false, _) => (Tone::Plain, "member".to_owned()),
        (true, Some(until)) => (Tone::Bad, format!("thrown out, remembered until {until}")),
        (true, None) => (Tone::Bad, "thrown out".to_owned()),
    }
}

fn deny(member: &str, global: &Global) -> Result<Exit, Failure> {
    let request = v1::DenyMemberRequest { request_id: written::request_id(), member: member.to_owned() };
    let call = |mut client: Client| {
        let request = request.clone();
        async move { client.deny_member(request).await }
    };
    let mut out = Out::new(global);
    let reply = runtime::small(async { Ok(Servers::new(global)?.ask(call).await?) })?;
    let answer = written::understood(&reply)?;
    let said = if answer.changed {
        format!(
            "{member}: thrown out; stop it, and if others could read its key file, change the key: `minijob operator key rotate`"
        )
    } else {
        format!("{member}: nothing changed, it is out already")
    };
    written::show(&mut out, &answer, None, &said)
}

fn allow(member: &str, global: &Global) -> Result<Exit, Failure> {
    let request = v1::AllowMemberRequest { request_id: written::request_id(), member: member.to_owned() };
    let call = |mut client: Client| {
        let request = request.clone();
        async move { client.allow_member(request).await }
    };
    let mut out = Out::new(global);
    let reply = runtime::small(async { Ok(Servers::new(global)?.ask(call).await?) })?;
    let answer = written::understood(&reply)?;
    let said = if answer.changed {
        format!(
            "{member}: let in again; an agent comes back by itself, a server with an empty data directory"
        )
    } else {
        format!("{member}: nothing changed, it was not thrown out")
    };
    written::show(&mut out, &answer, None, &said)
}
