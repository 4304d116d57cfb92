//! What the owner wants, by signals: SIGTERM, SIGINT and SIGQUIT end all, the second of them at once; SIGHUP reads the files
//! again; SIGUSR1 and SIGUSR2 are for the critical task, as is SIGHUP where there are no files.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use client::supervise::Order;
use proto::error::{Error, Kind};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::Source;
use super::show::say;
use crate::exit::Exit;
use crate::output::Voice;

/// What listens, from its creation on, so that nothing is lost before anybody waits.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hangup: Signal,
    user1: Signal,
    user2: Signal,
}

impl Signals {
    /// Takes the signals over for the rest of the process's life. Must be called within a runtime.
    pub(super) fn new() -> Result<Self, Error> {
        let listen = |kind| {
            signal(kind)
                .map_err(|cause| Error::new(Kind::Internal, format!("cannot listen for signals: {cause}")))
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            quit: listen(SignalKind::quit())?,
            hangup: listen(SignalKind::hangup())?,
            user1: listen(SignalKind::user_defined1())?,
            user2: listen(SignalKind::user_defined2())?,
        })
    }

    async fn next(&mut self) -> SignalKind {
        tokio::select! {
            _ = self.terminate.recv() => SignalKind::terminate(),
            _ = self.interrupt.recv() => SignalKind::interrupt(),
            _ = self.quit.recv() => SignalKind::quit(),
            _ = self.hangup.recv() => SignalKind::hangup(),
            _ = self.user1.recv() => SignalKind::user_defined1(),
            _ = self.user2.recv() => SignalKind::user_defined2(),
        }
    }
}

/// Turns signals into orders until it is dropped.
pub(super) struct Listening {
    /// The second signal that ended all; 0: none did.
    forced: Arc<AtomicU8>,
    _task: AbortOnDropHandle<()>,
}

impl Listening {
    /// Begins.
    pub(super) fn begin(signals: Signals, orders: mpsc::Sender<Order>, source: Source, voice: Voice) -> Self {
        let forced = Arc::new(AtomicU8::new(0));
        let task = tokio::spawn(listen(signals, orders, source, voice, forced.clone()));
        Self { forced, _task: AbortOnDropHandle::new(task) }
    }

    /// Returns the exit code of an end that was forced: 128 and the number of the signal, as shells have it.
    pub(super) fn forced(&self) -> Option<Exit> {
        let number = self.forced.load(Ordering::Relaxed);
        (number != 0).then(|| Exit(number.saturating_add(128)))
    }
}

async fn listen(
    mut signals: Signals,
    orders: mpsc::Sender<Order>,
    source: Source,
    voice: Voice,
    forced: Arc<AtomicU8>,
) {
    let mut is_stopping = false;
    loop {
        let signal = signals.next().await;
        let number = signal.as_raw_value();
        let is_end = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::quit()].contains(&signal);
        let order = if is_end && is_stopping {
            forced.store(u8::try_from(number).unwrap_or(1), Ordering::Relaxed);
            say(voice, "killing what still runs");
            Some(Order::Kill)
        } else if is_end {
            is_stopping = true;
            say(voice, "stopping everything; the same again kills what still runs");
            Some(Order::Stop)
        } else if signal == SignalKind::hangup() && source.command.is_none() {
            read(&source, voice).await
        } else {
            Some(Order::Signal(number))
        };
        if let Some(order) = order
            && orders.send(order).await.is_err()
        {
            return;
        }
    }
}

/// Reads the files again; none when they are wrong, which is told and changes nothing.
async fn read(source: &Source, voice: Voice) -> Option<Order> {
    let source = source.clone();
    let read = tokio::task::spawn_blocking(move || source.read()).await;
    match read {
        Ok(Ok(loaded)) => {
            loaded.tell(voice, false);
            say(voice, "the files were read again");
            Some(Order::Load(loaded.jobs))
        }
        Ok(Err(error)) => {
            voice
                .error(&Error { hint: "nothing was changed; mend it and send SIGHUP again".into(), ..error });
            None
        }
        Err(broken) => {
            voice.error(&Error::new(Kind::Internal, format!("the files were not read: {broken}")));
            None
        }
    }
}
