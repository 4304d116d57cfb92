//! Keeps CA, own certificate and the list of who is thrown out as the state has them.

use std::time::Duration;

use pki::renew::{self, Renewal};
use proto::time::now;
use tokio::time::sleep;

use super::{Enrolment, Error, lock};
use crate::cluster::Cluster;
use crate::core::enrolment::{Facts, Step, decide};
use crate::core::state::{Kind, OperatorToken, Outcome, State};
use crate::limits::{ENROL_AGAIN, ENROL_LOOK_EVERY};

pub(super) async fn run(enrolment: &Enrolment, cluster: &Cluster) {
    let (mut revisions, mut reigns) = (cluster.revisions(), cluster.reigns());
    let mut told = None;
    loop {
        revisions.borrow_and_update();
        reigns.borrow_and_update();
        let wait = match step(enrolment, cluster).await {
            Ok(wait) => {
                told = None;
                wait
            }
            Err(error) => {
                let why = error.to_string();
                if told.as_ref() != Some(&why) {
                    tracing::error!(why, "this server's certificates cannot be kept as the cluster has them");
                    told = Some(why);
                }
                sleep(ENROL_AGAIN).await;
                continue;
            }
        };
        tokio::select! {
            changed = revisions.changed() => if changed.is_err() { return },
            changed = reigns.changed() => if changed.is_err() { return },
            () = sleep(wait) => {}
        }
        // A thousand commands a second are looked at together.
        sleep(ENROL_LOOK_EVERY).await;
    }
}

/// Does what is next, and returns when to look again if nothing changes.
async fn step(enrolment: &Enrolment, cluster: &Cluster) -> Result<Duration, Error> {
    let state = cluster.snapshot();
    let credentials = enrolment.credentials();
    credentials.deny(state.denied.iter().map(|(id, _)| *id).collect());
    let (facts, wait) = facts(enrolment, cluster, &state);
    match decide(facts) {
        Step::Rest => return Ok(wait),
        Step::Make => enrolment.found(&name(&state), now())?,
        Step::PutToken => return put_token(enrolment, cluster).await.map(|()| wait),
        Step::Put => return put(enrolment, cluster).await.map(|()| wait),
        Step::Issue => {
            let ca = enrolment.authority(&state)?;
            let trust = state.authority.as_ref().map_or_else(|| ca.certificate_pem(), |it| it.trust.clone());
            enrolment.issue_own(&ca, &trust, now())?;
            tracing::info!("this server has a new certificate");
        }
        Step::Forget => {
            enrolment.shared.folder.forget_authority().map_err(Error::Files)?;
            *lock(&enrolment.shared.kept) = None;
        }
    }
    // There may be more to do.
    Ok(Duration::ZERO)
}

fn facts(enrolment: &Enrolment, cluster: &Cluster, state: &State) -> (Facts, Duration) {
    let credentials = enrolment.credentials();
    let renewal =
        credentials.identity().map(|identity| renew::decide(&identity, now(), enrolment.shared.own.id));
    let believes = state.authority.as_ref().is_none_or(|there| there.trust == credentials.trust_pem());
    let facts = Facts {
        leads: cluster.reign().is_some(),
        is_in_state: state.authority.is_some(),
        has_token: state.operator_token.is_some(),
        is_kept: lock(&enrolment.shared.kept).is_some(),
        is_enrolled: credentials.is_enrolled() && believes,
        is_due: matches!(renewal, Some(Renewal::Due(_) | Renewal::Expired(_))),
    };
    let wait = match renewal {
        Some(Renewal::Fresh(wait) | Renewal::Due(wait) | Renewal::Expired(wait)) => wait,
        None => ENROL_AGAIN,
    };
    (facts, wait)
}

/// The cluster, as people know it, for the CA's name.
pub(super) fn name(state: &State) -> String {
    state.cluster_id().map(|id| id.to_string()).unwrap_or_default()
}

/// Puts the CA into the state. Which one was first is what the state says next.
async fn put(enrolment: &Enrolment, cluster: &Cluster) -> Result<(), Error> {
    let ca = lock(&enrolment.shared.kept).clone().ok_or(Error::None)?;
    let kind = Kind::PutAuthority(enrolment.sealed(&ca)?);
    match cluster.propose(kind).await {
        Ok(Outcome::Refused(refusal)) => tracing::warn!(why = refusal.message, "another CA was first"),
        Ok(_) => tracing::info!("the cluster's CA is in its state"),
        // Who leads next does it.
        Err(error) => tracing::debug!(why = error.message, "the CA is not in the state yet"),
    }
    Ok(())
}

/// Puts the token that every server has from the cluster's key into the state, so that it is the same whatever becomes of the key.
async fn put_token(enrolment: &Enrolment, cluster: &Cluster) -> Result<(), Error> {
    let Some(hash) = enrolment.shared.first_token else { return Ok(()) };
    if let Err(error) = cluster.propose(Kind::PutOperatorToken(OperatorToken { hash, first: true })).await {
        // Who leads next does it.
        tracing::debug!(why = error.message, "the first token is not in the state yet");
    }
    Ok(())
}
