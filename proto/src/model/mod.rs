//! The nouns: plain data, and the rules that belong to one noun alone.

mod alloc;
mod event;
mod job;
mod node;
pub mod policy;
mod resources;

pub use alloc::{AllocState, AllocStatus, Desired, EndReason, StopReason, TaskEnd, TaskPhase, TaskStatus};
pub use event::{Event, EventKind, Severity, Subject, SubjectJob};
pub use job::{
    DEFAULT_NAMESPACE, DEFAULT_PRIORITY, Group, Job, JobType, LogPolicy, Port, Process, Task, stored_size,
};
pub use node::{Eligibility, Liveness, NodeIdentity};
pub use policy::{Backoff, Interval, OnExhausted, Reschedule, Restart};
pub use resources::Resources;
