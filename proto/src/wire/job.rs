//! `job.proto` to and from [`crate::model::Job`].

use std::time::Duration;

use super::dependency::{dependency_from_wire, dependency_to_wire};
use super::placement::{placement_from_wire, placement_to_wire};
use super::task::{task_from_wire, task_to_wire};
use super::{BadMessage, need, v1};
use crate::ids::JobKey;
use crate::model::{
    Backoff, Group, Interval, Job, JobType, Migrate, OnExhausted, Port, Reschedule, Resources, Restart,
    RestartOn, Volume, VolumeSource,
};
use crate::time::millis;

/// Writes a job.
#[must_use]
pub fn to_wire(job: &Job) -> v1::Job {
    v1::Job {
        namespace: job.key.namespace.clone(),
        name: job.key.name.clone(),
        r#type: job_type_to_wire(job.kind).into(),
        priority: u32::from(job.priority),
        meta: job.meta.clone(),
        groups: job.groups.iter().map(|(name, group)| (name.clone(), group_to_wire(group))).collect(),
        origin: job.origin.clone().unwrap_or_default(),
    }
}

/// Reads a job.
///
/// # Errors
/// [`BadMessage`] names the first field that is missing or holds what no job can.
pub fn from_wire(job: v1::Job) -> Result<Job, BadMessage> {
    let kind = job_type_from_wire(job.r#type)?;
    let groups = job.groups.into_iter().map(|(name, group)| Ok((name, group_from_wire(group, kind)?)));
    Ok(Job {
        kind,
        key: JobKey::new(job.namespace, job.name),
        priority: need(u8::try_from(job.priority).ok(), "priority")?,
        meta: job.meta,
        groups: groups.collect::<Result<_, BadMessage>>()?,
        origin: Some(job.origin).filter(|origin| !origin.is_empty()),
    })
}

/// Writes a job's type.
#[must_use]
pub fn job_type_to_wire(kind: JobType) -> v1::JobType {
    match kind {
        JobType::Service => v1::JobType::Service,
        JobType::Batch => v1::JobType::Batch,
        JobType::System => v1::JobType::System,
        JobType::SysBatch => v1::JobType::Sysbatch,
    }
}

/// Reads a job's type.
///
/// # Errors
/// [`BadMessage`] for a type that this version does not know.
pub fn job_type_from_wire(kind: i32) -> Result<JobType, BadMessage> {
    match v1::JobType::try_from(kind) {
        Ok(v1::JobType::Service) => Ok(JobType::Service),
        Ok(v1::JobType::Batch) => Ok(JobType::Batch),
        Ok(v1::JobType::System) => Ok(JobType::System),
        Ok(v1::JobType::Sysbatch) => Ok(JobType::SysBatch),
        _ => Err(BadMessage { field: "type" }),
    }
}

/// Writes a group.
#[must_use]
pub fn group_to_wire(group: &Group) -> v1::Group {
    let port = |port: &Port| v1::Port {
        static_port: match port {
            Port::Dynamic => 0,
            Port::Static(number) => u32::from(*number),
        },
    };
    v1::Group {
        r#type: job_type_to_wire(group.kind).into(),
        count: group.count,
        tasks: group.tasks.iter().map(|(name, task)| (name.clone(), task_to_wire(task))).collect(),
        ports: group.ports.iter().map(|(name, spec)| (name.clone(), port(spec))).collect(),
        restart: Some(restart_to_wire(&group.restart)),
        reschedule: Some(reschedule_to_wire(&group.reschedule)),
        volumes: group.volumes.iter().map(|(name, volume)| (name.clone(), volume_to_wire(volume))).collect(),
        max_run_ms: group.max_run.map(millis),
        placement: placement_to_wire(&group.placement),
        depends_on: group.depends_on.iter().map(dependency_to_wire).collect(),
        migrate: migrate_to_wire(&group.migrate),
        stop_after_ms: group.stop_after.map(millis),
        singleton: group.singleton,
    }
}

/// Reads a group; one that does not say its type has that of its job.
///
/// # Errors
/// [`BadMessage`] names the first field that is missing or holds what no group can.
pub fn group_from_wire(group: v1::Group, of_job: JobType) -> Result<Group, BadMessage> {
    let port = |port: v1::Port| match port.static_port {
        0 => Ok(Port::Dynamic),
        number => need(u16::try_from(number).ok(), "static_port").map(Port::Static),
    };
    let tasks = group.tasks.into_iter().map(|(name, task)| Ok((name, task_from_wire(task)?)));
    let ports = group.ports.into_iter().map(|(name, spec)| Ok((name, port(spec)?)));
    let volumes = group.volumes.into_iter().map(|(name, volume)| Ok((name, volume_from_wire(volume)?)));
    let kind = match group.r#type {
        0 => of_job,
        written => job_type_from_wire(written)?,
    };
    Ok(Group {
        kind,
        count: group.count,
        tasks: tasks.collect::<Result<_, BadMessage>>()?,
        ports: ports.collect::<Result<_, BadMessage>>()?,
        restart: restart_from_wire(need(group.restart, "restart")?)?,
        reschedule: reschedule_from_wire(need(group.reschedule, "reschedule")?)?,
        volumes: volumes.collect::<Result<_, BadMessage>>()?,
        max_run: group.max_run_ms.map(Duration::from_millis),
        placement: group.placement.map(placement_from_wire).transpose()?.unwrap_or_default(),
        depends_on: group.depends_on.into_iter().map(dependency_from_wire).collect::<Result<_, _>>()?,
        migrate: group.migrate.map_or_else(Migrate::default, |pace| migrate_from_wire(&pace)),
        stop_after: group.stop_after_ms.map(Duration::from_millis),
        singleton: group.singleton,
    })
}

/// The default is not written: a job is as large as it was before the key was there.
fn migrate_to_wire(migrate: &Migrate) -> Option<v1::Migrate> {
    (*migrate != Migrate::default()).then(|| v1::Migrate {
        max_parallel: migrate.max_parallel,
        min_healthy_ms: millis(migrate.min_healthy_time),
        healthy_deadline_ms: millis(migrate.healthy_deadline),
    })
}

const fn migrate_from_wire(migrate: &v1::Migrate) -> Migrate {
    Migrate {
        max_parallel: migrate.max_parallel,
        min_healthy_time: Duration::from_millis(migrate.min_healthy_ms),
        healthy_deadline: Duration::from_millis(migrate.healthy_deadline_ms),
    }
}

fn volume_to_wire(volume: &Volume) -> v1::Volume {
    let source = match &volume.source {
        VolumeSource::Host(name) => v1::volume::Source::Host(name.clone()),
        VolumeSource::Path(path) => v1::volume::Source::Path(path.clone()),
    };
    v1::Volume { source: Some(source), read_only: volume.read_only }
}

fn volume_from_wire(volume: v1::Volume) -> Result<Volume, BadMessage> {
    let source = match need(volume.source, "source")? {
        v1::volume::Source::Host(name) => VolumeSource::Host(name),
        v1::volume::Source::Path(path) => VolumeSource::Path(path),
    };
    Ok(Volume { source, read_only: volume.read_only })
}

fn restart_to_wire(restart: &Restart) -> v1::Restart {
    v1::Restart {
        attempts: restart.attempts,
        interval_ms: match restart.interval {
            Interval::Window(length) => Some(millis(length)),
            Interval::Forever => None,
        },
        delay_ms: millis(restart.delay),
        backoff: backoff_to_wire(restart.backoff).into(),
        max_delay_ms: millis(restart.max_delay),
        jitter_percent: u32::from(restart.jitter_percent),
        on_exhausted: match restart.on_exhausted {
            OnExhausted::Move => v1::OnExhausted::Move,
            OnExhausted::Stay => v1::OnExhausted::Stay,
            OnExhausted::Fail => v1::OnExhausted::Fail,
        }
        .into(),
        on: match restart.on {
            RestartOn::Any => v1::RestartOn::Any,
            RestartOn::Failure => v1::RestartOn::Failure,
            RestartOn::Never => v1::RestartOn::Never,
        }
        .into(),
    }
}

fn restart_from_wire(restart: v1::Restart) -> Result<Restart, BadMessage> {
    Ok(Restart {
        attempts: restart.attempts,
        interval: match restart.interval_ms {
            Some(length) => Interval::Window(Duration::from_millis(length)),
            None => Interval::Forever,
        },
        delay: Duration::from_millis(restart.delay_ms),
        backoff: backoff_from_wire(restart.backoff)?,
        max_delay: Duration::from_millis(restart.max_delay_ms),
        jitter_percent: need(u8::try_from(restart.jitter_percent).ok(), "jitter_percent")?,
        on_exhausted: match v1::OnExhausted::try_from(restart.on_exhausted) {
            Ok(v1::OnExhausted::Move) => OnExhausted::Move,
            Ok(v1::OnExhausted::Stay) => OnExhausted::Stay,
            Ok(v1::OnExhausted::Fail) => OnExhausted::Fail,
            _ => return Err(BadMessage { field: "on_exhausted" }),
        },
        on: match v1::RestartOn::try_from(restart.on) {
            Ok(v1::RestartOn::Any) => RestartOn::Any,
            Ok(v1::RestartOn::Failure) => RestartOn::Failure,
            Ok(v1::RestartOn::Never) => RestartOn::Never,
            Err(_) => return Err(BadMessage { field: "on" }),
        },
    })
}

fn reschedule_to_wire(reschedule: &Reschedule) -> v1::Reschedule {
    v1::Reschedule {
        attempts: reschedule.attempts,
        delay_ms: millis(reschedule.delay),
        backoff: backoff_to_wire(reschedule.backoff).into(),
        max_delay_ms: millis(reschedule.max_delay),
    }
}

fn reschedule_from_wire(reschedule: v1::Reschedule) -> Result<Reschedule, BadMessage> {
    Ok(Reschedule {
        attempts: reschedule.attempts,
        delay: Duration::from_millis(reschedule.delay_ms),
        backoff: backoff_from_wire(reschedule.backoff)?,
        max_delay: Duration::from_millis(reschedule.max_delay_ms),
    })
}

fn backoff_to_wire(backoff: Backoff) -> v1::Backoff {
    match backoff {
        Backoff::Constant => v1::Backoff::Constant,
        Backoff::Exponential => v1::Backoff::Exponential,
    }
}

fn backoff_from_wire(backoff: i32) -> Result<Backoff, BadMessage> {
    match v1::Backoff::try_from(backoff) {
        Ok(v1::Backoff::Constant) => Ok(Backoff::Constant),
        Ok(v1::Backoff::Exponential) => Ok(Backoff::Exponential),
        _ => Err(BadMessage { field: "backoff" }),
    }
}

/// Writes an amount of resources.
#[must_use]
pub fn resources_to_wire(resources: Resources) -> v1::Resources {
    v1::Resources { cpu_millis: resources.cpu_millis, memory_bytes: resources.memory_bytes }
}

/// Reads an amount of resources.
#[must_use]
pub fn resources_from_wire(resources: v1::Resources) -> Resources {
    Resources { cpu_millis: resources.cpu_millis, memory_bytes: resources.memory_bytes }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_job_reads_back_as_it_was_written(job in crate::jobfile::testing::job()) {
            prop_assert_eq!(from_wire(to_wire(&job)), Ok(job));
        }
    }
}
