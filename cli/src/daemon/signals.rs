//! SIGTERM and Ctrl-C: the first asks, the second insists. SIGHUP asks for the configuration to be read again.

use proto::error::{Error, Kind};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Listens for all from its creation on, so that none is lost between two waits.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Option<Signal>,
}

/// What a daemon is asked by a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// To end.
    End,
    /// To read its configuration again.
    Reread,
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
        let (terminate, interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
        Ok(Self { terminate, interrupt, hangup: None })
    }

    /// Listens for SIGHUP too, which otherwise ends the process. A second call does nothing.
    ///
    /// # Errors
    /// See [`Signals::new`].
    pub fn rereading(mut self) -> Result<Self, Error> {
        let refused = |cause| Error::new(Kind::Internal, format!("cannot listen for signals: {cause}"));
        if self.hangup.is_none() {
            self.hangup = Some(signal(SignalKind::hangup()).map_err(refused)?);
        }
        Ok(self)
    }

    /// Waits for the next of SIGTERM and SIGINT.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Waits for the next of all.
    pub async fn asked(&mut self) -> Asked {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => Asked::End,
            _ = self.interrupt.recv() => Asked::End,
            _ = hangup => Asked::Reread,
        }
    }
}
