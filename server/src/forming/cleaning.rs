//! The leader's part in removing servers that are gone for long; [`crate::core::cleaning`] decides.

use futures::future::join_all;
use proto::error::Kind;
use proto::time::millis;
use proto::units::show_duration;
use tokio::time::{Instant, sleep};

use super::{Forming, admission};
use crate::core::cleaning::{Seen, Silences};
use crate::limits::CLEAN_EVERY;
use crate::raft::Member;

/// Looks again and again while this server leads, each time that it begins to as if everybody had just been there.
pub(super) async fn run(forming: &Forming) {
    let mut leadership = forming.shared.cluster.leadership();
    while leadership.wait_for(|now| now.leading).await.is_ok() {
        let term = leadership.borrow().term;
        let (mut silences, mut last) = (Silences::default(), Instant::now());
        while leadership.borrow().leading && leadership.borrow().term == term {
            look(forming, &mut silences, &mut last).await;
            sleep(CLEAN_EVERY).await;
        }
    }
}

async fn look(forming: &Forming, silences: &mut Silences, last: &mut Instant) {
    let cluster = &forming.shared.cluster;
    let (own, members) = (forming.shared.config.own.id, cluster.raft().members());
    if members.len() < 2 {
        return;
    }
    let seen = members.iter().map(async |status| {
        let id = status.member.id;
        let answers = id == own || is_there(forming, &status.member).await;
        Seen { id, votes: status.votes, answers }
    });
    let seen = join_all(seen).await;
    let passed = last.elapsed();
    *last = Instant::now();
    silences.note(&seen, passed, CLEAN_EVERY * 2);
    let timeout = cluster.snapshot().settings.dead_server_timeout;
    let Some(gone) = silences.gone(&seen, timeout) else { return };
    let name =
        members.iter().find(|status| status.member.id == gone).map(|status| status.member.name.clone());
    match admission::remove(forming, gone).await {
        Ok(()) => tracing::warn!(
            server = name,
            silent_ms = millis(timeout),
            "a server that did not answer for {} is removed from the cluster; to have it back, empty its data directory and start it",
            show_duration(timeout)
        ),
        Err(error) => tracing::debug!(server = name, why = error.message, "it is not removed yet"),
    }
}

/// Whether a server answers, be it that it refuses: its key file may be an old one.
async fn is_there(forming: &Forming, member: &Member) -> bool {
    match forming.greet(&member.addr).await {
        Ok(met) => met.server.id == member.id,
        Err(error) => error.kind != Kind::Unavailable,
    }
}
