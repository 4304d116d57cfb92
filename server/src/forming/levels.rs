//! The leader's part in a rolling upgrade: new behaviour of the state begins when all servers can; [`crate::core::level`] decides.

use tokio::time::sleep;

use super::Forming;
use crate::core::level::raised;
use crate::core::state::{Kind, STATE_VERSION};
use crate::limits::LEVEL_EVERY;

/// Looks again and again while this server leads. The others are asked only while this server can more than the state says.
pub(super) async fn run(forming: &Forming) {
    let mut leadership = forming.shared.cluster.leadership();
    while leadership.wait_for(|now| now.leading).await.is_ok() {
        look(forming).await;
        sleep(LEVEL_EVERY).await;
    }
}

async fn look(forming: &Forming) {
    let cluster = &forming.shared.cluster;
    let state = cluster.snapshot();
    // Before the first reign there is nothing that could behave.
    if state.reign.is_none() || raised(state.level, STATE_VERSION, &[]).is_none() {
        return;
    }
    let all = forming.greet_all().await.into_iter();
    let all: Vec<_> = all.map(|(_, met)| met.map(|met| met.state)).collect();
    let Some(level) = raised(state.level, STATE_VERSION, &all) else { return };
    match cluster.propose(Kind::RaiseLevel(level)).await {
        Ok(_) => tracing::info!(level, "all servers are of this version: what is new in it begins"),
        // Who leads next does it.
        Err(error) => tracing::debug!(why = error.message, "the level is not raised yet"),
    }
}
