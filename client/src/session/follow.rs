//! Does what servers want, message by message, beside the loop that reads them: the disk is slow, acknowledgements are not.

use proto::ids::Revision;
use proto::time::BootTime;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::uplink::{Closed, Uplink};
use crate::allocs::manager::{Followed, Handle};
use crate::core::assignments::Wanted;
use crate::limits::COMPLETE_RETRY;

/// What servers say that is followed in its order.
pub(super) enum News {
    /// What they want.
    Set(Wanted),
    /// They stand behind a heartbeat that was sent then. What they want by now has come before it: nothing begins by it that has been
    /// replaced.
    Confirmed(BootTime),
}

/// Follows messages until the session ends.
pub(super) async fn run(manager: Handle, uplink: Uplink, mut messages: mpsc::Receiver<News>) {
    let mut base: Option<Revision> = None;
    // A server sends a complete set by itself after a registration.
    let mut ask_at = Instant::now() + COMPLETE_RETRY;
    loop {
        let outcome = tokio::select! {
            message = messages.recv() => match message {
                // Servers that are not followed renew nothing.
                Some(News::Confirmed(_)) if base.is_none() => Ok(()),
                Some(News::Confirmed(sent)) => manager.confirmed(sent).await.map_err(|_| Closed),
                Some(News::Set(wanted)) => one(&manager, &uplink, wanted, &mut base, &mut ask_at).await,
                None => return,
            },
            () = tokio::time::sleep_until(ask_at), if base.is_none() => {
                ask_at = Instant::now() + COMPLETE_RETRY;
                uplink.need_complete().await
            }
        };
        if outcome.is_err() {
            return;
        }
    }
}

async fn one(
    manager: &Handle,
    uplink: &Uplink,
    wanted: Wanted,
    base: &mut Option<Revision>,
    ask_at: &mut Instant,
) -> Result<(), Closed> {
    let is_complete = wanted.base.is_none();
    let had_base = base.is_some();
    match manager.follow(wanted, *base).await.map_err(|_| Closed)? {
        Followed::Base(revision) => *base = Some(revision),
        Followed::Duplicate => {}
        Followed::Ignored => tracing::warn!("servers of another cluster are not followed"),
        Followed::AskComplete => {
            *base = None;
            if is_complete {
                // It will be as old if it is asked for at once.
                tracing::warn!(
                    "these servers are behind what this agent has seen: not followed until they have caught up"
                );
                *ask_at = Instant::now() + COMPLETE_RETRY;
            } else if had_base {
                *ask_at = Instant::now() + COMPLETE_RETRY;
                uplink.need_complete().await?;
            }
        }
    }
    Ok(())
}
