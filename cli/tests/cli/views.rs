//! Documents to answer with: a job `web` on nodes n1, n2, as a server would show it.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::ids::{AllocId, JobKey, JobVersion, NodeId, Revision};
use proto::model::{AllocState, EndReason, Event, EventKind, JobType, Severity, Subject, TaskEnd};
use proto::time::Timestamp;
use proto::view::{AllocView, GroupStatus, Health, JobStatus, JobSummary, TaskView};

/// A moment that stays `3m ago` for as long as a test takes.
pub fn three_minutes_ago() -> Timestamp {
    Timestamp(proto::time::now().0 - 181_000)
}

pub fn summary(name: &str, health: Health) -> JobSummary {
    JobSummary {
        namespace: "default".into(),
        name: name.into(),
        kind: JobType::Service,
        version: JobVersion(1),
        health,
        wanted: 1,
        running: 1,
        healthy: u32::from(health == Health::Healthy),
        down_since: None,
        why: String::new(),
        origin: None,
    }
}

/// A job with one group of its own name.
pub fn job(name: &str, health: Health, revision: u64, allocs: Vec<AllocView>) -> JobStatus {
    let summary = summary(name, health);
    let group = GroupStatus {
        wanted: summary.wanted,
        running: allocs.iter().filter(|alloc| alloc.state == AllocState::Running).count() as u32,
        healthy: summary.healthy,
        complete: allocs.iter().filter(|alloc| alloc.state == AllocState::Complete).count() as u32,
        waiting: None,
        next_at: None,
    };
    JobStatus {
        summary,
        created_at: three_minutes_ago(),
        submitted_at: three_minutes_ago(),
        revision: Revision(revision),
        groups: BTreeMap::from([(name.to_owned(), group)]),
        allocs,
    }
}

pub fn alloc(job: &str, index: u32, state: AllocState) -> AllocView {
    AllocView {
        id: AllocId(u64::from(index) + 1),
        name: format!("{job}.{job}.{index}"),
        namespace: "default".into(),
        job: job.into(),
        version: JobVersion(1),
        group: job.into(),
        index,
        node: NodeId(1),
        node_name: "n1".into(),
        desired: "run".into(),
        stop_reason: String::new(),
        state,
        healthy: false,
        lost: false,
        draining: false,
        created_at: three_minutes_ago(),
        ended_at: state.has_ended().then(three_minutes_ago),
        ports: BTreeMap::new(),
        replaces: None,
        replacements: 0,
        next: String::new(),
        tasks: vec![task(job, "running")],
    }
}

pub fn healthy(job: &str, index: u32) -> AllocView {
    AllocView { healthy: true, ..alloc(job, index, AllocState::Running) }
}

pub fn task(name: &str, phase: &str) -> TaskView {
    TaskView {
        name: name.into(),
        phase: phase.into(),
        attempt: 1,
        window_try: 1,
        window_tries: Some(4),
        pid: (phase == "running").then_some(4711),
        started_at: Some(three_minutes_ago()),
        next_start_at: None,
        last_end: None,
        last_end_text: String::new(),
        usage: None,
    }
}

/// An allocation that failed with exit code 7 on its fourth try.
pub fn failed(job: &str, index: u32) -> AllocView {
    let end = TaskEnd {
        reason: EndReason::Exit(7),
        at: three_minutes_ago(),
        ran: Duration::from_secs(2),
        tail: "starting\nno database\n".into(),
    };
    let task = TaskView { attempt: 4, window_try: 4, last_end: Some(end), ..task(job, "ended") };
    AllocView { tasks: vec![task], ..alloc(job, index, AllocState::Failed) }
}

pub fn event(revision: u64, ordinal: u32, severity: Severity, message: &str) -> Event {
    let mut subject = Subject::job(&JobKey::new("default", "web"));
    (subject.group, subject.index) = (Some("web".into()), Some(0));
    Event {
        revision: Revision(revision),
        ordinal,
        time: Timestamp(1_700_000_000_125),
        kind: EventKind::TaskEnded,
        severity,
        subject,
        reason: "exit".into(),
        message: message.into(),
        tail: String::new(),
    }
}
