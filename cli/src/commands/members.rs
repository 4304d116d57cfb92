//! `minijob server members`: the servers of the cluster, and whether enough of them are there.

use proto::view::ServerView;

use crate::args::Global;
use crate::connect::Servers;
use crate::exit::{Exit, Failure};
use crate::output::{Cell, Out, Table, Tone};
use crate::{read, runtime};

/// What can be asked beside running a server.
#[derive(Debug, clap::Subcommand)]
pub enum What {
    /// Shows the servers of the cluster, which of them leads, and whether enough are there
    Members,
}

/// Runs the command.
///
/// It ends with 1 without a quorum: nothing can be changed then.
///
/// # Errors
/// The server's refusal.
pub fn main(global: &Global) -> Result<Exit, Failure> {
    let mut out = Out::new(global);
    let servers = runtime::small(async { Ok(read::servers(&Servers::new(global)?).await?) })?;
    let danger = danger(&servers.view.items);
    let exit = match danger {
        Some((Tone::Bad, _)) => Exit::FAILED,
        _ => Exit::DONE,
    };
    if out.json {
        out.passed_on(&servers.raw)?;
        return Ok(exit);
    }
    let forms = servers.view.items.iter().all(|server| !server.voter);
    let mut table = Table::new(&out, &["SERVER", "ID", "ADDRESS", "ROLE", "LAG", "VERSION"]);
    for server in &servers.view.items {
        let (tone, role) = role(server, forms);
        let version = server.version.as_ref().map_or_else(String::new, |version| version.version.clone());
        table.row(vec![
            Cell::toned(Tone::Strong, &server.name),
            server.id.to_string().into(),
            server.address.as_str().into(),
            Cell::toned(tone, role),
            server.lag.map_or_else(String::new, |lag| lag.to_string()).into(),
            version.into(),
        ]);
    }
    out.line(&table.render())?;
    if let Some((tone, text)) = danger {
        out.toned(tone, &text)?;
    }
    Ok(exit)
}

/// What a server is; `forms`: nobody votes, because there is no cluster yet.
fn role(server: &ServerView, forms: bool) -> (Tone, &'static str) {
    match server {
        _ if forms => (Tone::Warn, "forming"),
        ServerView { reachable: false, .. } => (Tone::Bad, "unreachable"),
        ServerView { leader: true, .. } => (Tone::Good, "leader"),
        ServerView { voter: false, .. } => (Tone::Warn, "learner"),
        _ => (Tone::Plain, "follower"),
    }
}

/// Says when one more loss would be one too many, or was.
pub(super) fn danger(servers: &[ServerView]) -> Option<(Tone, String)> {
    let voters: Vec<&ServerView> = servers.iter().filter(|server| server.voter).collect();
    let missing: Vec<&str> =
        voters.iter().filter(|server| !server.reachable).map(|server| server.name.as_str()).collect();
    let (all, here) = (voters.len(), voters.len() - missing.len());
    let majority = all / 2 + 1;
    if missing.is_empty() {
        return None;
    }
    let missing = missing.join(", ");
    if here < majority {
        let text = format!(
            "NO QUORUM: {here} OF {all} SERVERS ANSWER AND {majority} ARE NEEDED; what runs runs on, nothing can be changed. Bring back {missing}."
        );
        return Some((Tone::Bad, text));
    }
    let spare = here - majority;
    let text = if spare == 0 {
        format!(
            "QUORUM IN DANGER: {here} OF {all} SERVERS ANSWER AND ALL OF THEM ARE NEEDED. Bring back {missing}, or replace it: `minijob operator \
             raft remove NAME`, then start an empty server with --join."
        )
    } else {
        format!("{missing} does not answer; {spare} more may fail before nothing can be changed")
    };
    Some((Tone::Warn, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(answer: &[bool]) -> Vec<ServerView> {
        let server = |(number, reachable): (usize, &bool)| ServerView {
            id: proto::ids::ServerId(number as u64),
            name: format!("s{number}"),
            address: String::new(),
            leader: false,
            voter: true,
            reachable: *reachable,
            lag: None,
            version: None,
        };
        answer.iter().enumerate().map(server).collect()
    }

    #[test]
    fn it_is_said_in_capitals_when_quorum_is_lost_or_the_next_loss_loses_it() {
        let said = |answer: &[bool]| danger(&servers(answer)).map(|(_, text)| text);
        assert_eq!(said(&[true]), None);
        assert_eq!(said(&[true, true, true]), None);
        assert!(said(&[true, true, false]).is_some_and(|text| text.starts_with("QUORUM IN DANGER: 2 OF 3")));
        assert!(said(&[true, false, false]).is_some_and(|text| text.starts_with("NO QUORUM: 1 OF 3")));
        assert!(said(&[true, true, true, true, false]).is_some_and(|text| text.contains("1 more may fail")));
    }

    #[test]
    fn a_server_that_waits_for_the_others_forms_a_cluster_and_learns_nothing() {
        let mut list = servers(&[true, true]);
        list[0].voter = false;
        assert_eq!(role(&list[0], false).1, "learner");
        assert_eq!(role(&list[0], true).1, "forming");
        assert_eq!(role(&list[1], false).1, "follower");
    }

    #[test]
    fn who_only_learns_is_not_needed() {
        let mut servers = servers(&[true, true, true, false]);
        servers[3].voter = false;
        assert_eq!(danger(&servers), None);
    }
}
