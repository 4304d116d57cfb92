//! What the owner of this node says of it.

use super::facts::NodeFacts;
use super::user::UserPolicy;
use super::volumes::VolumePolicy;

/// What this node is and allows. It may change while the agent runs; a start goes by what holds when it is prepared.
#[derive(Clone, Debug)]
pub struct Local {
    /// Where tasks run.
    pub node: NodeFacts,
    /// As whom.
    pub users: UserPolicy,
    /// With what of the machine.
    pub volumes: VolumePolicy,
}
