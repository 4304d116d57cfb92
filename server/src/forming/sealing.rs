//! The leader's part in a change of the cluster's key: it seals the CA with the new one when all servers have that.

use tokio::time::sleep;

use super::Forming;
use crate::core::enrolment::seals_anew;
use crate::core::state::Kind;
use crate::enrolment::Enrolment;
use crate::limits::SEAL_EVERY;

/// Looks again and again while this server leads; at once nothing where there is no key.
pub(super) async fn run(forming: &Forming) {
    let Some(enrolment) = forming.shared.config.enrolment.clone() else { return };
    let mut leadership = forming.shared.cluster.leadership();
    while leadership.wait_for(|now| now.leading).await.is_ok() {
        look(forming, &enrolment).await;
        sleep(SEAL_EVERY).await;
    }
}

async fn look(forming: &Forming, enrolment: &Enrolment) {
    let cluster = &forming.shared.cluster;
    let state = cluster.snapshot();
    let (newest, sealed_with) = (enrolment.marks().first().copied(), enrolment.sealed_with(&state));
    // Without the others it would be done: they are asked only then.
    if !seals_anew(newest, sealed_with, &[]) {
        return;
    }
    let keys: Vec<_> = keys_of_all(forming).await.into_iter().map(|(_, keys)| keys).collect();
    if !seals_anew(newest, sealed_with, &keys) {
        return;
    }
    let sealed = match enrolment.sealed_anew(&state) {
        Ok(sealed) => sealed,
        Err(error) => return tracing::error!(why = %error, "the CA cannot be sealed with the new key"),
    };
    match cluster.propose(Kind::PutAuthority(sealed)).await {
        Ok(_) => tracing::info!(
            "the cluster's CA is sealed with the new key: the old one may be taken out of the key files"
        ),
        // Who leads next does it.
        Err(error) => tracing::debug!(why = error.message, "the CA is not sealed with the new key yet"),
    }
}

/// The marks of all servers' keys, each asked at this moment; none of one that does not answer, or is another one.
pub(super) async fn keys_of_all(forming: &Forming) -> Vec<(String, Option<Vec<u64>>)> {
    let met = forming.greet_all().await.into_iter();
    met.map(|(member, met)| (member.name, met.map(|met| met.keys))).collect()
}
