//! A server that was started anew tells the leader where it is reached: its address may have changed.

use proto::error::{Error, Kind};
use tokio::time::sleep;

use super::{Forming, admission, wire};
use crate::limits::MOVE_EVERY;

/// Says it once, as soon as somebody leads. A server that is no member yet says it when it joins. What its own log says of its address may be old, so it is not asked.
pub(super) async fn run(forming: &Forming) {
    if forming.shared.cluster.raft().members().is_empty() {
        return;
    }
    let mut told = None;
    loop {
        match say(forming).await {
            Ok(()) => return,
            Err(error) if error.kind == Kind::Refused => {
                if told.as_ref() != Some(&error.message) {
                    tracing::error!("{}", error.message);
                    told = Some(error.message);
                }
            }
            Err(error) => {
                tracing::debug!(why = error.message, "nobody was told yet where this server is reached")
            }
        }
        sleep(MOVE_EVERY).await;
    }
}

/// Tells the leader, whoever that is.
async fn say(forming: &Forming) -> Result<(), Error> {
    let shared = &forming.shared;
    if shared.cluster.leadership().borrow().leading {
        // The beginning of its reign is applied, so that what its log says of itself is what holds.
        return match shared.cluster.reign() {
            Some(_) => admission::admit(forming, &forming.greeting()).await,
            None => Err(Error::new(Kind::Unavailable, "this server is about to lead")),
        };
    }
    let own = &shared.config.own;
    let members = shared.cluster.raft().members();
    let listed = members.iter().filter(|status| status.member.id != own.id).map(|status| &status.member.addr);
    let mut last = Error::new(Kind::Unavailable, "no other server is known");
    for addr in listed.chain(&shared.config.join).filter(|addr| **addr != own.addr) {
        let asked = match shared.calls.join(addr, wire::greeting_to_wire(&forming.greeting())).await {
            Ok(answer) if answer.leader.is_empty() => return Ok(()),
            Ok(answer) if answer.leader == own.addr => continue,
            Ok(answer) => {
                shared.calls.join(&answer.leader, wire::greeting_to_wire(&forming.greeting())).await
            }
            Err(error) => Err(error),
        };
        match asked {
            Ok(answer) if answer.leader.is_empty() => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind == Kind::Refused => return Err(error),
            Err(error) => last = error,
        }
    }
    Err(last)
}
