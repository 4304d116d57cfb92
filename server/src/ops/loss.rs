//! Whether everything would still fit if nodes were lost.

use std::collections::BTreeSet;

use proto::error::{Error, Kind};
use proto::ids::NodeId;
use proto::model::{Job, Liveness};
use proto::view::LossView;

use super::jobs::check_job;
use super::{Caller, Capability, find, views};
use crate::cluster::Cluster;
use crate::core::scheduler::loss;
use crate::core::state::{Refusal, State};

/// Nodes that are taken to be lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// By name, id or the unique beginning of one.
    pub nodes: Vec<String>,
    /// All nodes of these failure domains that are up.
    pub domains: Vec<String>,
}

/// Says what would become of everything if nodes were lost, after `jobs` had been submitted: by the decisions of the real thing, on a copy
/// of the state. Nothing is written.
///
/// # Errors
/// Forbidden; invalid where no node is named; not found, with the nearest name; refused for a node that is down already; those of
/// submitting the jobs.
pub async fn plan_loss(
    cluster: &Cluster,
    caller: &Caller,
    lost: &Lost,
    jobs: Vec<Job>,
) -> Result<LossView, Error> {
    caller.need(Capability::Read)?;
    let jobs = jobs.into_iter().map(|job| check_job(caller, job)).collect::<Result<Vec<_>, _>>()?;
    let (state, now) = (cluster.snapshot(), cluster.now());
    let nodes = nodes_of(&state, lost)?;
    // As much work as placing all that they run, and others wait for this thread.
    let shown = state.clone();
    let decided = tokio::task::spawn_blocking(move || {
        let told = loss(&state, jobs, &nodes, now)?;
        Ok((told, nodes))
    });
    let stopped = |_| Error::new(Kind::Unavailable, "the server is stopping");
    let (told, nodes) = decided.await.map_err(stopped)?.map_err(|refusal: Refusal| Error::from(refusal))?;
    Ok(views::loss(&shown, &nodes, &told, |namespace| caller.sees(namespace)))
}

fn nodes_of(state: &State, lost: &Lost) -> Result<BTreeSet<NodeId>, Error> {
    let mut nodes = BTreeSet::new();
    for text in &lost.nodes {
        let node = find::node(state, text)?;
        let name = &node.identity.name;
        if node.liveness == Liveness::Down {
            let error = Error::new(Kind::Refused, format!("node `{name}` is down already"));
            return Err(error.hint("`minijob status --failing` shows what waits for a place since"));
        }
        nodes.insert(node.identity.id);
    }
    for domain in &lost.domains {
        let up = state.nodes.of_domain(domain).filter(|node| node.liveness == Liveness::Up);
        let before = nodes.len();
        nodes.extend(up.map(|node| node.identity.id));
        if nodes.len() == before && state.nodes.of_domain(domain).next().is_none() {
            return Err(no_domain(state, domain));
        }
    }
    if nodes.is_empty() {
        let error = Error::new(Kind::Invalid, "no node is named that could be lost");
        return Err(error.hint("`minijob node status` lists all nodes"));
    }
    Ok(nodes)
}

fn no_domain(state: &State, domain: &str) -> Error {
    let error = Error::new(Kind::NotFound, format!("no node is in failure domain `{domain}`"));
    let known = state.nodes.iter().filter_map(|(_, node)| node.identity.failure_domain.as_deref());
    match find::nearest(domain, known) {
        Some(name) => error.hint(format!("did you mean `{name}`?")),
        None => error.hint("`minijob node status NODE` shows the domain of a node, agent.yml has it"),
    }
}
