//! `minijob scale`: changes how many allocations a group wants.

use proto::ids::JobKey;
use proto::model::DEFAULT_NAMESPACE;
use proto::wire::v1;

use super::written;
use crate::args::Global;
use crate::connect::{Client, Servers};
use crate::exit::{Exit, Failure};
use crate::output::Out;
use crate::runtime;

const EXAMPLES: &str = "\
Examples:
  minijob scale web 5          a job of one group
  minijob scale shop/api 5     one group of several

What runs is left alone; submitting the job's file again sets its count again.";

/// What `scale` is asked.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The job, and the group where it has several
    #[arg(value_name = "JOB[/GROUP]")]
    pub target: String,
    /// Allocations wanted
    #[arg(value_name = "N")]
    pub count: u32,
}

/// Runs the command.
///
/// # Errors
/// The server's refusal.
pub fn main(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let (namespace, job, group) = parts(&args.target, global);
    let request = v1::ScaleJobRequest {
        request_id: written::request_id(),
        namespace: namespace.to_owned(),
        name: job.to_owned(),
        group: group.to_owned(),
        count: args.count,
    };
    let call = |mut client: Client| {
        let request = request.clone();
        async move { client.scale_job(request).await }
    };
    let mut out = Out::new(global);
    let reply = runtime::small(async { Ok(Servers::new(global)?.ask(call).await?) })?;
    let answer = written::understood(&reply)?;
    let key = JobKey::new(if namespace.is_empty() { DEFAULT_NAMESPACE } else { namespace }, job);
    let who = if group.is_empty() { key.to_string() } else { format!("{key}/{group}") };
    let said = match answer.changed {
        true => format!("{who}: wants {} now, version {}", args.count, answer.version),
        false => format!("{who}: nothing changed, it wants {} already", args.count),
    };
    written::show(&mut out, &answer, Some(&key), &said)
}

/// Splits `job`, `job/group` or `namespace/job/group`.
fn parts<'a>(text: &'a str, global: &'a Global) -> (&'a str, &'a str, &'a str) {
    let own = global.namespace().unwrap_or_default();
    match text.splitn(3, '/').collect::<Vec<_>>().as_slice() {
        [namespace, job, group] => (namespace, job, group),
        [job, group] => (own, job, group),
        _ => (own, text, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_follows_its_job() {
        let global = Global { namespace: Some("dmz".into()), ..Global::default() };
        assert_eq!(parts("web", &global), ("dmz", "web", ""));
        assert_eq!(parts("web/api", &global), ("dmz", "web", "api"));
        assert_eq!(parts("prod/web/api", &global), ("prod", "web", "api"));
    }
}
