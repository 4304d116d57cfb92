//! One driver for every rule: decide, propose what it wants, wait for a reason to decide again.

use std::time::Duration;

use super::timer;
use crate::cluster::Cluster;
use crate::core::rules::Rule;
use crate::core::state::{Kind, Outcome};

/// Between two decisions that nobody waits for: changes come in bursts, and one look serves all of them.
const PAUSE: Duration = Duration::from_millis(20);
/// After a proposal that failed. Rules decide again on what is, so nothing has to be remembered of it.
const RETRY: Duration = Duration::from_millis(200);

/// Drives a rule until it is dropped.
pub(super) async fn run(cluster: Cluster, name: &'static str, rule: impl Rule + Send + Sync) {
    let mut revisions = cluster.revisions();
    loop {
        revisions.mark_unchanged();
        let step = rule.decide(&cluster.snapshot(), cluster.now());
        if step.proposals.is_empty() {
            let changed = async {
                if rule.on_change() && revisions.changed().await.is_ok() {
                    return;
                }
                std::future::pending().await
            };
            tokio::select! {
                () = changed => {}
                () = timer::until(&cluster, step.wake_at) => {}
            }
            tokio::time::sleep(PAUSE).await;
        } else if !propose_all(&cluster, name, step.proposals).await {
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// Returns whether all of it was applied.
async fn propose_all(cluster: &Cluster, name: &'static str, proposals: Vec<Kind>) -> bool {
    for kind in proposals {
        match cluster.propose(kind).await {
            Ok(Outcome::Refused(refusal)) => {
                tracing::warn!(rule = name, why = refusal.message, "what a rule wanted was refused");
                return false;
            }
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(rule = name, %error, "what a rule wanted was not applied; it decides again");
                return false;
            }
        }
    }
    true
}
