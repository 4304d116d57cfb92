//! `minijob why`: the story of a job or an allocation, in sentences.

use proto::time::{Timestamp, now};
use proto::view::{Sentence, Story};
use proto::wire::v1;

use crate::args::Global;
use crate::connect::{Client, Servers};
use crate::exit::{Exit, Failure};
use crate::limits::TAIL_OF_TRY;
use crate::output::{Out, Tone, ago, last_lines, relative, until};
use crate::read::understood;
use crate::runtime;

const EXAMPLES: &str = "\
Examples:
  minijob why web            why it is not placed, was restarted, moved, stopped
  minijob why web.api.0      why it is where it is, how it ended, what comes next";

/// What `why` is asked.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A job, an allocation (job.group.index), or the beginning of an allocation's id
    #[arg(value_name = "JOB or ALLOC")]
    pub target: String,
}

/// Runs the command.
///
/// # Errors
/// The server's refusal.
pub fn main(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let (namespace, target) = global.qualify(&args.target);
    let request = v1::WhyRequest { namespace: namespace.to_owned(), target: target.to_owned() };
    let call = |mut client: Client| {
        let request = request.clone();
        async move { client.why(request).await }
    };
    let mut out = Out::new(global);
    let document = runtime::small(async { Ok(Servers::new(global)?.ask(call).await?) })?;
    let story = understood::<Story>(document)?;
    if out.json { out.passed_on(&story.raw) } else { show(&mut out, &story.view, now()) }?;
    Ok(Exit::DONE)
}

fn show(out: &mut Out, story: &Story, now: Timestamp) -> Result<(), Failure> {
    out.toned(Tone::Strong, &relative(&story.headline, now))?;
    let parts =
        [("what happened", &story.past), ("how it is", &story.present), ("what comes next", &story.next)];
    for (heading, sentences) in parts {
        if sentences.is_empty() {
            continue;
        }
        out.toned(Tone::Dim, heading)?;
        sentences.iter().try_for_each(|sentence| tell(out, sentence, now))?;
    }
    Ok(())
}

fn tell(out: &mut Out, sentence: &Sentence, now: Timestamp) -> Result<(), Failure> {
    let when = match sentence.at {
        None => String::new(),
        Some(at) if at > now => until(now, at),
        Some(at) => ago(now, at),
    };
    // What was said in the past is told from then: the next try that it speaks of is long over.
    let moment = sentence.at.map_or(now, |at| at.min(now));
    out.line(&format!("  {when:>10}  {}", relative(&sentence.text, moment)))?;
    for line in last_lines(&sentence.tail, TAIL_OF_TRY) {
        out.line(&format!("              | {line}"))?;
    }
    Ok(())
}
