//! One file per command: its arguments, the call, how the answer is shown.

pub mod agent; // the agent daemon
pub mod dev; // server and agent in one process
pub mod events; // what happened
pub mod logs; // what tasks print
pub mod run; // submit and follow
pub mod server; // the server daemon
pub mod status; // all jobs, one job, one allocation
pub mod stop; // stop a job
pub mod validate; // check files
pub mod version; // the program's version

mod target; // a job or an allocation, by the text that names it

use std::process::ExitCode;

use crate::args::{Args, Command, Global};
use crate::exit::{self, Exit, Failure};
use crate::output::Voice;

/// Does what was asked for. Each command builds the runtime that it needs, because the keeper must be forked before one exists.
#[must_use]
pub fn dispatch(args: Args) -> ExitCode {
    let voice = Voice::new(&args.global);
    exit::finish(chosen(args.command, &args.global), voice)
}

fn chosen(command: Command, global: &Global) -> Result<Exit, Failure> {
    match command {
        Command::Dev(args) => dev::main(&args, global),
        Command::Run(args) => run::main(&args, global),
        Command::Validate(args) => validate::main(&args, global),
        Command::Status(args) => status::main(&args, global),
        Command::Logs(args) => logs::main(&args, global),
        Command::Stop(args) => stop::main(&args, global),
        Command::Events(args) => events::main(&args, global),
        Command::Server(args) => server::main(&args, global),
        Command::Agent(args) => agent::main(&args, global),
        Command::Version(args) => version::main(&args, global),
    }
}
