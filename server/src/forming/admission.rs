//! The leader's part: it adds who asks, and lets vote who has caught up.

use proto::error::{Error, Kind};
use tokio::time::sleep;

use super::{Forming, member_of, server_of};
use crate::core::forming::{self, Admission, Greeting, Promise, Server};
use crate::limits::{GREET_EVERY, LEARNED_WITHIN};
use crate::raft::MembershipError;

/// Adds a server that learns. Nothing for one that is a member.
///
/// # Errors
/// Refused, with the reason; `unavailable` while another change goes on or no majority confirms it: asking again is right.
pub(super) async fn admit(forming: &Forming, asks: &Greeting) -> Result<(), Error> {
    let _one_at_a_time = forming.shared.admitting.lock().await;
    let cluster = &forming.shared.cluster;
    let cluster_id = cluster.snapshot().cluster_id().map_or(0, |id| id.0);
    let raft = cluster.raft();
    let members: Vec<_> = raft.members().iter().map(|status| server_of(&status.member)).collect();
    // Who was there when the cluster was made has promised something else, and belongs to it.
    let belongs = asks.cluster == cluster_id && asks.formed;
    if asks.promise != Some(Promise::Join(cluster_id)) && !belongs {
        let message =
            format!("server {} has not agreed to join this cluster, {cluster_id:x}", asks.server.name);
        return Err(Error::new(Kind::Refused, message));
    }
    match forming::admit(&members, &asks.server, asks.formed) {
        Admission::Member => return Ok(()),
        Admission::Move(before) => return move_to(forming, &before, &asks.server).await,
        Admission::Refuse(why) => {
            tracing::warn!(why, "a server is not added");
            return Err(Error::new(Kind::Refused, why));
        }
        Admission::Add => {}
        Admission::Replace(id) => {
            tracing::info!(
                server = asks.server.name,
                "an empty server takes the place of one that lost its disk"
            );
            raft.remove(id).await.map_err(changed)?;
        }
    }
    raft.add_learner(&member_of(&asks.server)).await.map_err(changed)?;
    tracing::info!(
        server = asks.server.name,
        addr = asks.server.addr,
        "added; it votes when it has caught up"
    );
    Ok(())
}

/// Has the log reach a member at another address.
async fn move_to(forming: &Forming, before: &Server, now: &Server) -> Result<(), Error> {
    let answers = |met: Greeting| met.server.id == now.id && met.server.addr == before.addr;
    if now.id != forming.shared.config.own.id && forming.greet(&before.addr).await.is_ok_and(answers) {
        let why = format!(
            "server {} answers at {} and asks to be reached at {}: the data directory of one of them is a copy; stop that one and empty it",
            now.name, before.addr, now.addr
        );
        tracing::error!("{why}");
        return Err(Error::new(Kind::Refused, why));
    }
    let moved = Server { name: before.name.clone(), ..now.clone() };
    forming.shared.cluster.raft().move_to(&member_of(&moved)).await.map_err(changed)?;
    tracing::info!(
        server = moved.name,
        from = before.addr,
        to = moved.addr,
        "it is reached at another address"
    );
    Ok(())
}

/// Removes a member.
///
/// # Errors
/// As [`admit`].
pub(super) async fn remove(forming: &Forming, id: u64) -> Result<(), Error> {
    let _one_at_a_time = forming.shared.admitting.lock().await;
    forming.shared.cluster.raft().remove(id).await.map_err(changed)
}

/// Lets vote who has caught up, whenever this server leads.
pub(super) async fn promote(forming: &Forming) {
    let cluster = &forming.shared.cluster;
    let mut leadership = cluster.leadership();
    loop {
        if leadership.wait_for(|now| now.leading).await.is_err() {
            return;
        }
        sleep(GREET_EVERY).await;
        if cluster.raft().leads_alone() {
            // Nobody learns, and who comes is added here: looked at seldom, so that a lone server rests.
            sleep(GREET_EVERY * 4).await;
        }
        let last = cluster.raft_metrics().last_log.unwrap_or(0);
        let members = cluster.raft().members();
        let learned = |status: &&crate::raft::MemberStatus| {
            !status.votes && forming::has_caught_up(status.matched, last, LEARNED_WITHIN)
        };
        // One at a time: each is a change of the membership of its own.
        let Some(next) = members.iter().find(learned).map(|status| status.member.clone()) else { continue };
        let _one_at_a_time = forming.shared.admitting.lock().await;
        match cluster.raft().promote(&[next.id]).await {
            Ok(()) => tracing::info!(server = next.name, "it has caught up and votes"),
            Err(error) => tracing::debug!(server = next.name, %error, "it does not vote yet"),
        }
    }
}

fn changed(error: MembershipError) -> Error {
    let kind = match error {
        MembershipError::NotLeader { .. } => Kind::NotLeader,
        MembershipError::Refused(_) => Kind::Conflict,
        MembershipError::Unknown | MembershipError::Stopped => Kind::Unavailable,
    };
    Error::new(kind, error.to_string()).hint("ask again in a moment")
}
