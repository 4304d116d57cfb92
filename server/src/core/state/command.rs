//! What can be asked of the state. One command is one revision.

use std::time::Duration;

use bytes::Bytes;
use proto::ids::{
    AllocId, Generation, Incarnation, JobKey, JobVersion, NodeId, Reign, RequestId, Revision, ServerId,
};
use proto::model::{AllocStatus, Eligibility, Job, Liveness, NodeIdentity, Resources, StopReason};
use proto::time::Timestamp;

use super::{Authority, Denied, OperatorToken, SettingChange, Settings};

/// One change, with who wants it and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// The leader's clock. State time is the largest seen so far.
    pub now: Timestamp,
    /// Names a client's write; none for the servers' own.
    pub request: RequestId,
    /// Who: a token's name, or `server`.
    pub actor: String,
    /// What.
    pub kind: Kind,
}

impl Command {
    /// Makes a command of the servers' own.
    #[must_use]
    pub fn own(now: Timestamp, kind: Kind) -> Self {
        Self { now, request: RequestId::default(), actor: "server".to_owned(), kind }
    }
}

/// What a command does.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant)]
pub enum Kind {
    /// A server begins to lead. Its revision becomes the reign.
    BeginReign {
        /// Who.
        server: ServerId,
        /// New with every start of its process.
        boot_nonce: u64,
        /// Names this life of the cluster, if it has no name yet.
        incarnation: Incarnation,
    },
    /// Submits a job.
    PutJob {
        /// What is asked for.
        job: Box<Job>,
        /// Refused unless the job is at this version; 0: there must be none.
        expected: Option<JobVersion>,
        /// What the person said about it.
        message: String,
    },
    /// Stops a job.
    StopJob {
        /// Which.
        key: JobKey,
        /// Also forget it.
        purge: bool,
    },
    /// Changes the count of one group: a new version.
    ScaleJob {
        /// Which job.
        key: JobKey,
        /// Which group; empty: the job's only one.
        group: String,
        /// How many.
        count: u32,
    },
    /// Starts a stopped job again, as it was.
    StartJob {
        /// Which.
        key: JobKey,
    },
    /// Makes the description of an earlier version a new one.
    RevertJob {
        /// Which job.
        key: JobKey,
        /// Which version.
        to: JobVersion,
    },
    /// Replaces all of a job's work by the same: a new version.
    RestartJob {
        /// Which.
        key: JobKey,
        /// All allocations together, not one by one.
        at_once: bool,
    },
    /// Ends an allocation and begins its slot anew; of one that has ended, begins its slot anew.
    RestartAlloc {
        /// Which.
        alloc: AllocId,
    },
    /// Places, stops and updates allocations.
    ApplyPlan(Plan),
    /// An agent begins a session.
    RegisterNode {
        /// What it says of itself.
        identity: NodeIdentity,
        /// What it has, ended or not, with what that takes.
        held: Vec<(Incarnation, AllocStatus, Resources)>,
        /// The state that was told to the agent before it looked up what it has: refused if the node has registered since.
        /// None (written by an older server): not compared.
        seen: Option<Revision>,
    },
    /// Leases began or ran out.
    NodeLiveness(Vec<LivenessChange>),
    /// A person cordons or uncordons a node.
    NodeEligibility {
        /// Which.
        node: NodeId,
        /// What it shall be.
        eligibility: Eligibility,
    },
    /// A step of a node's drain.
    DrainNode {
        /// Which.
        node: NodeId,
        /// What.
        step: DrainStep,
    },
    /// Forgets a node that is down.
    PurgeNode {
        /// Which.
        node: NodeId,
    },
    /// An agent's reports.
    AllocStatus {
        /// Whose.
        node: NodeId,
        /// Of which session.
        generation: Generation,
        /// What it saw.
        statuses: Vec<AllocStatus>,
    },
    /// Allocations that have run long enough.
    PutHealth {
        /// Which.
        healthy: Vec<AllocId>,
    },
    /// Replaces the settings.
    PutSettings(Settings),
    /// A person changes some settings; those that are not named stay as the command meets them.
    SetSettings(Vec<SettingChange>),
    /// Forgets what nobody needs.
    Gc(Gc),
    /// Keeps the cluster's CA, the first time; later the same one, sealed anew.
    PutAuthority(Authority),
    /// Throws a member out, or lets it in again.
    DenyMember {
        /// A server's or a node's id.
        id: u64,
        /// What is remembered of it; none: it is let in again.
        denied: Option<Denied>,
    },
    /// Pulls the brake: what these nodes run is not replaced at once, should they be lost.
    HoldLost(Vec<NodeId>),
    /// Lets it go.
    ReleaseLost,
    /// Lets behaviour begin that all servers know, up to this level. A lower one changes nothing.
    RaiseLevel(u32),
    /// Lets administrators in by this token from now on; the first one only where there is none.
    PutOperatorToken(OperatorToken),
    /// A part of a snapshot that is to be restored. One that has come already changes nothing.
    RestoreChunk {
        /// Names the parts of one snapshot.
        upload: u64,
        /// Bytes before it; 0 begins anew and drops what was kept of another.
        offset: u64,
        /// The part.
        data: Bytes,
    },
    /// Makes what the parts hold the state, as a new life of the cluster.
    Restore {
        /// Names the parts.
        upload: u64,
        /// Bytes of all of them.
        bytes: u64,
        /// Names the new life.
        incarnation: Incarnation,
        /// Also over the jobs of another cluster.
        force: bool,
    },
}

/// What to forget. What may not be forgotten stays, without an error: somebody used it meanwhile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gc {
    /// Allocations that have ended, or are lost with their node.
    pub allocs: Vec<AllocId>,
}

/// A lease began or ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LivenessChange {
    /// Whose.
    pub node: NodeId,
    /// Of which session.
    pub generation: Generation,
    /// What it is.
    pub liveness: Liveness,
}

/// A step of a node's drain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DrainStep {
    /// A person wants the node to be emptied, or changes the deadline.
    Begin {
        /// From now on; none: there is none.
        deadline: Option<Duration>,
        /// What the person said about it.
        message: String,
    },
    /// A person wants its work to stay.
    Cancel,
    /// Does what is due by now; what that is the state itself says.
    Advance,
}

/// A decision of the scheduler. Refused as a whole only if it comes from another reign or out of order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The reign it was made in.
    pub reign: Reign,
    /// Its number in that reign; grows.
    pub seq: u64,
    /// Placements.
    pub items: Vec<PlanItem>,
    /// Orders to end.
    pub stops: Vec<PlanStop>,
    /// Allocations that take over a newer version as they run.
    pub updates: Vec<PlanUpdate>,
    /// Groups that wait, or wait no more.
    pub waits: Vec<PlanWait>,
}

impl Plan {
    /// Returns whether it would change nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty() && self.stops.is_empty() && self.updates.is_empty() && self.waits.is_empty()
    }
}

/// Placements of one group of one job version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanItem {
    /// The job.
    pub job: JobKey,
    /// The version that was placed; a newer one refuses every run.
    pub version: JobVersion,
    /// The group.
    pub group: String,
    /// Where.
    pub runs: Vec<PlanRun>,
}

/// `count` allocations with the indexes `first_index`.. on one node; applied whole or refused whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanRun {
    /// Where.
    pub node: NodeId,
    /// The registration that the decision saw.
    pub generation: Generation,
    /// The first slot.
    pub first_index: u32,
    /// How many slots.
    pub count: u32,
    /// Why there.
    pub reason: PlaceReason,
}

/// Why a node was chosen, for people. All zero where nobody noted it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlaceReason {
    /// Nodes that there were.
    pub nodes: u32,
    /// Nodes that could have taken it.
    pub feasible: u32,
    /// Allocations of the group that the node had already.
    pub copies: u32,
    /// It was there before, and a person asked for a restart.
    pub preferred: bool,
    /// It failed there, and no other node fits.
    pub same_node: bool,
    /// The next best node; none: there was none, or nobody noted it.
    pub runner_up: Option<RunnerUp>,
}

/// The node that would have been next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunnerUp {
    /// Which.
    pub node: NodeId,
    /// What decided.
    pub edge: Edge,
}

/// In what a node is better than the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Edge {
    /// Its job likes it more.
    Liking,
    /// Its value has less of its share.
    Spread,
    /// Its failure domain has fewer of the group.
    Domain,
    /// It has fewer of the group.
    Copies,
    /// It is filled better.
    Fit,
    /// In nothing: it has the lower id.
    Id,
}

/// An order to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanStop {
    /// Which.
    pub alloc: AllocId,
    /// Why.
    pub reason: StopReason,
}

/// An allocation takes over a newer version as it runs: its work is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanUpdate {
    /// Which.
    pub alloc: AllocId,
    /// The version.
    pub version: JobVersion,
}

/// A group that cannot be placed, said once per cause; an empty `why` says that nothing waits any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanWait {
    /// The job.
    pub job: JobKey,
    /// The version that was looked at.
    pub version: JobVersion,
    /// The group.
    pub group: String,
    /// How many allocations.
    pub count: u32,
    /// Why.
    pub why: String,
}
