//! What a command runs on. A command that asks one question needs one thread; `version` and `validate` need none of this.

use proto::error::{Error, Kind};

use crate::exit::Failure;

/// Runs a command's conversation with servers on the calling thread.
///
/// # Errors
/// What the command says; [`Kind::Internal`] when the kernel gives no event queue.
pub fn small<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    run(tokio::runtime::Builder::new_current_thread(), work)
}

/// Runs a daemon on as many threads as there are cores.
///
/// # Errors
/// See [`small`].
pub fn large<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    run(tokio::runtime::Builder::new_multi_thread(), work)
}

fn run<T>(
    mut builder: tokio::runtime::Builder,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let none = |cause| Error::new(Kind::Internal, format!("cannot start: {cause}"));
    builder.enable_all().build().map_err(none)?.block_on(work)
}
