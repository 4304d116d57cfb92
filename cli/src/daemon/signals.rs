//! SIGTERM and Ctrl-C: the first asks, the second insists.

use proto::error::{Error, Kind};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Listens for both from its creation on, so that none is lost between two waits.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes over SIGTERM and SIGINT for the rest of the process's life. Must be called within a runtime.
    ///
    /// # Errors
    /// [`Kind::Internal`] when the kernel refuses a handler.
    pub fn new() -> Result<Self, Error> {
        let listen = |kind| {
            signal(kind)
                .map_err(|cause| Error::new(Kind::Internal, format!("cannot listen for signals: {cause}")))
        };
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    /// Waits for the next of either.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
