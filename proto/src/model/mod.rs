//! The nouns: plain data, and the rules that belong to one noun alone.

mod alloc;
mod confine;
pub mod dependency;
mod event;
mod files;
mod job;
mod job_type;
mod node;
mod placement;
pub mod policy;
mod resources;
mod task;

pub use alloc::{AllocState, AllocStatus, Desired, EndReason, StopReason, TaskEnd, TaskPhase, TaskStatus};
pub use confine::{CAPABILITIES, Confinement, Isolate, Limits, RLIMITS, Rlimit};
pub use dependency::{Condition, Dependency};
pub use event::{Event, EventKind, Severity, Subject, SubjectJob};
pub use files::{Mount, NodeEnvFile, TaskFile, Volume, VolumeSource};
pub use job::{DEFAULT_NAMESPACE, DEFAULT_PRIORITY, Group, Job, Port, stored_size};
pub use job_type::JobType;
pub use node::{Eligibility, Liveness, NodeIdentity};
pub use placement::{Affinity, DEFAULT_WEIGHT, Placement, Spread};
pub use policy::{Backoff, Interval, Migrate, OnExhausted, Reschedule, Restart, RestartOn};
pub use resources::Resources;
pub use task::{Lifecycle, LogPolicy, Process, Task};
