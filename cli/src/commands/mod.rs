//! One file per command: its arguments, the call, how the answer is shown.

pub mod agent; // the agent daemon
pub mod alloc; // one allocation
pub mod completion; // what lets a shell complete commands
pub mod context; // the clusters of a person
pub mod convert; // other tools' files as job files
pub mod dev; // server and agent in one process
pub mod down; // removes the system services
pub mod events; // what happened
pub mod exec; // a command beside a task
pub mod export; // a version as a job file
pub mod history; // the versions of a job
pub mod logs; // what tasks print
pub mod man; // the manual
pub mod members; // the servers of the cluster
pub mod node; // machines
pub mod operator; // the cluster as a whole
pub mod plan; // what submitting would change
pub mod restart; // a job or an allocation begins again
pub mod revert; // back to an earlier version
pub mod run; // submit and follow
pub mod scale; // change a count
pub mod schema; // the schema of job files, for editors
pub mod server; // the server daemon
pub mod signal; // a signal to a task
pub mod start; // start a stopped job
pub mod status; // all jobs, one job, one allocation
pub mod stop; // stop a job
pub mod supervise; // the agent without servers
pub mod up; // system services of this machine
pub mod validate; // check files
pub mod version; // the program's version
pub mod why; // the story of a job

mod written; // the answer to a write

mod target; // a job or an allocation, by the text that names it

use std::process::ExitCode;

use crate::args::{Args, Command, Global};
use crate::config::contexts;
use crate::exit::{self, Exit, Failure};
use crate::output::Voice;

/// Does what was asked for. Each command builds the runtime that it needs, because the keeper must be forked before one exists.
#[must_use]
pub fn dispatch(args: Args) -> ExitCode {
    let voice = Voice::new(&args.global);
    exit::finish(settled(args), voice)
}

/// Fills in what the chosen context says, for commands that ask servers; the others work without any cluster.
fn settled(args: Args) -> Result<Exit, Failure> {
    let asks_servers = match args.command {
        Command::Run(_) | Command::Status(_) | Command::Logs(_) | Command::Stop(_) | Command::Events(_) => {
            true
        }
        Command::Start(_) | Command::Restart(_) | Command::Scale(_) | Command::Plan(_) => true,
        Command::History(_) | Command::Revert(_) | Command::Export(_) | Command::Why(_) => true,
        Command::Alloc(_) | Command::Node(_) => true,
        Command::Operator(_) => true,
        Command::Server(server::Args { what: Some(members::What::Members), .. }) => true,
        Command::Exec(_) | Command::Signal(_) => true,
        Command::Dev(_) | Command::Validate(_) | Command::Server(_) | Command::Agent(_) => false,
        Command::Convert(_) => false,
        Command::Supervise(_) | Command::Up(_) | Command::Down(_) | Command::Context(_) => false,
        Command::Completion(_) | Command::Man(_) | Command::Schema(_) | Command::Version(_) => false,
    };
    let global = if asks_servers { contexts::settle(&args.global)? } else { args.global };
    chosen(args.command, &global)
}

fn chosen(command: Command, global: &Global) -> Result<Exit, Failure> {
    match command {
        Command::Dev(args) => dev::main(&args, global),
        Command::Run(args) => run::main(&args, global),
        Command::Validate(args) => validate::main(&args, global),
        Command::Convert(args) => convert::main(&args, global),
        Command::Schema(args) => schema::main(&args, global),
        Command::Status(args) => status::main(&args, global),
        Command::Logs(args) => logs::main(&args, global),
        Command::Exec(args) => exec::main(&args, global),
        Command::Signal(args) => signal::main(&args, global),
        Command::Stop(args) => stop::main(&args, global),
        Command::Start(args) => start::main(&args, global),
        Command::Restart(args) => restart::main(&args, global),
        Command::Scale(args) => scale::main(&args, global),
        Command::Plan(args) => plan::main(&args, global),
        Command::History(args) => history::main(&args, global),
        Command::Revert(args) => revert::main(&args, global),
        Command::Export(args) => export::main(&args, global),
        Command::Events(args) => events::main(&args, global),
        Command::Supervise(args) => supervise::main(&args, global),
        Command::Why(args) => why::main(&args, global),
        Command::Alloc(args) => alloc::main(&args, global),
        Command::Node(args) => node::main(&args, global),
        Command::Operator(args) => operator::main(&args, global),
        Command::Server(server::Args { what: Some(members::What::Members), .. }) => members::main(global),
        Command::Server(args) => server::main(&args, global),
        Command::Agent(args) => agent::main(&args, global),
        Command::Up(args) => up::main(&args, global),
        Command::Down(args) => down::main(&args, global),
        Command::Context(args) => context::main(&args, global),
        Command::Completion(args) => completion::main(&args, global),
        Command::Man(args) => man::main(&args, global),
        Command::Version(args) => version::main(&args, global),
    }
}
