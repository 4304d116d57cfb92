//! Facts as people and scripts read them.

use proto::model::Event;

use crate::core::state::State;

/// Shows a fact with the name that its node has now; the state keeps the id alone. A node that is forgotten has none.
#[must_use]
pub fn event(state: &State, event: &Event) -> Event {
    let mut shown = event.clone();
    let node = event.subject.node.and_then(|id| state.nodes.get(&id));
    shown.subject.node_name = node.map(|node| node.identity.name.clone());
    shown
}
