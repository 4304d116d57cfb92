//! What a cluster knows. [`State::apply`] is the only way to change it; a clone is a snapshot and costs nothing.

mod apply;
mod brake;
mod changes;
mod classes;
mod command;
mod dependents;
mod drain;
mod encode;
mod events;
mod fleet;
mod invariants;
mod members;
mod node_slots;
mod nodes;
mod ports;
mod records;
mod requests;
mod settings;
mod staging;
mod table;
mod touched;

pub use apply::stop_word;
pub use brake::Brake;
pub use changes::{Applied, Changes, Outcome, Refusal, RefusedRun};
pub use classes::{Class, Classes};
pub use command::{
    Command, DrainStep, Edge, Gc, Kind, LivenessChange, PlaceReason, Plan, PlanItem, PlanRun, PlanStop,
    PlanUpdate, PlanWait, RunnerUp,
};
pub use dependents::Dependents;
pub use drain::{Drain, Due};
pub use encode::{
    BadRecord, STATE_VERSION, decode_command, decode_outcome, encode_command, encode_outcome, read_snapshot,
    write_snapshot,
};
pub use events::EventLog;
pub use fleet::{Fit, Fleet, Load, Need, Row, Score, Seat};
pub use invariants::Violation;
pub use members::{Authority, Denied, OperatorToken};
pub use node_slots::NodeSlots;
pub use nodes::Nodes;
pub use ports::Ports;
pub use records::{Alloc, GroupState, JobRecord, NodeRecord, Restarting, Slot, VersionRecord, Wait};
pub use requests::Requests;
pub use settings::{Allowed, Setting, SettingChange, SettingValue, Settings};
pub use staging::Staging;
pub use table::{Pages, Table};
pub use touched::{Touched, Touches};

use std::sync::Arc;

use proto::ids::{AllocId, Generation, Incarnation, JobKey, NodeId, Reign, Revision, ServerId};
use proto::time::Timestamp;

/// Everything that is replicated. All tables are persistent, so that `clone` is O(1) and readers never block the writer.
#[derive(Clone, Debug)]
pub struct State {
    /// Which life of the cluster this is; none before the first reign.
    pub incarnation: Option<Incarnation>,
    /// The life that this one was restored from.
    pub previous_incarnation: Option<Incarnation>,
    /// Lives that this one goes back to or has taken the place of, oldest first. Agents of all of them belong to it.
    pub ancestors: imbl::Vector<Incarnation>,
    /// When this life began by a restore.
    pub restored: Option<Restored>,
    /// What the servers call their cluster where a restore gave it another life; else it is the life's name.
    pub servers: Option<Incarnation>,
    /// Commands applied so far.
    pub revision: Revision,
    /// The number of the next allocation.
    pub next_id: u64,
    /// State time: never goes back, whatever the clocks of leaders do.
    pub now: Timestamp,
    /// The behaviour of `apply`; raised by a command once every server can.
    pub level: u32,
    /// Who leads, since which revision.
    pub reign: Option<ReignRecord>,
    /// The last plan of this reign that was applied, refused runs or not.
    pub last_plan_seq: u64,
    /// What must agree across servers.
    pub settings: Settings,
    /// The cluster's CA; none where members have no certificates.
    pub authority: Option<Arc<Authority>>,
    /// Members that were thrown out, by id.
    pub denied: imbl::OrdMap<u64, Denied>,
    /// What was lost with many nodes at once and is held; none: whatever is lost is replaced at once.
    pub brake: Option<Arc<Brake>>,
    /// What lets administrators in; none in a cluster without a key, whose server has a token of its own.
    pub operator_token: Option<OperatorToken>,
    /// Jobs, stopped ones too.
    pub jobs: Table<JobKey, JobRecord>,
    /// The jobs of which some group runs once per node: every node that may take work concerns them.
    pub per_node: imbl::OrdSet<JobKey>,
    /// Nodes that ever registered.
    pub nodes: Nodes,
    /// Which jobs wait for which other jobs.
    pub dependents: Dependents,
    /// Allocations, ended ones until they are collected.
    pub allocs: Pages<Alloc>,
    /// Allocations that run and are not yet believed healthy, by the time since when they run.
    pub settling: imbl::OrdSet<(Timestamp, AllocId)>,
    /// The recent facts.
    pub events: EventLog,
    /// Writes that must not be applied twice.
    pub requests: Requests,
    /// What has come of a snapshot that is being restored.
    pub staging: Option<Staging>,
}

/// The beginning of a life by a restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// When, as the state tells time.
    pub at: Timestamp,
    /// The revision of the restore.
    pub revision: Revision,
}

/// A server's time as leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReignRecord {
    /// The revision at which it began.
    pub reign: Reign,
    /// Who leads.
    pub server: ServerId,
    /// New with every start of that server's process.
    pub boot_nonce: u64,
}

impl Default for State {
    fn default() -> Self {
        Self {
            incarnation: None,
            previous_incarnation: None,
            ancestors: imbl::Vector::new(),
            restored: None,
            servers: None,
            revision: Revision(0),
            next_id: 1,
            now: Timestamp(0),
            level: 1,
            reign: None,
            last_plan_seq: 0,
            settings: Settings::default(),
            authority: None,
            denied: imbl::OrdMap::default(),
            brake: None,
            operator_token: None,
            jobs: Table::default(),
            per_node: imbl::OrdSet::default(),
            dependents: Dependents::default(),
            nodes: Nodes::default(),
            allocs: Pages::default(),
            settling: imbl::OrdSet::default(),
            events: EventLog::default(),
            requests: Requests::default(),
            staging: None,
        }
    }
}

impl State {
    /// Returns what the servers call their cluster: the same for as long as they are one, whatever is restored.
    #[must_use]
    pub fn cluster_id(&self) -> Option<Incarnation> {
        self.servers.or(self.incarnation)
    }

    /// Returns whether this life goes back to that one, or has taken its place: who belonged to that one belongs to this one.
    #[must_use]
    pub fn descends_from(&self, incarnation: Incarnation) -> bool {
        self.previous_incarnation == Some(incarnation) || self.ancestors.contains(&incarnation)
    }

    /// Returns whether a session of that node with that generation is the present one.
    #[must_use]
    pub fn is_current(&self, node: NodeId, generation: Generation) -> bool {
        self.nodes.get(&node).is_some_and(|record| record.generation == generation)
    }
}
