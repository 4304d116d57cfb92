//! Requests of a client that keeps its connection.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::ids::{JobKey, random_request_id};
use proto::model::{
    Backoff, Group, Interval, Job, JobType, OnExhausted, Process, Resources, Restart, RestartOn, Task,
};
use proto::view::Placement;
use proto::wire::v1;
use tonic::{Code, Request};

use crate::rig::{Client, Rig};

/// Until everything of a stopped job is gone.
const GONE_WITHIN: Duration = Duration::from_secs(60);

/// Adds a token to a request.
pub(crate) fn with_token<T>(body: T, token: &str) -> Request<T> {
    let mut request = Request::new(body);
    let bearer = format!("Bearer {token}").parse().expect("a token is visible characters");
    request.metadata_mut().insert("authorization", bearer);
    request
}

/// A service of one group and one small task that is restarted for ever, after `delay`.
pub(crate) fn service(name: &str, count: u32, command: &str, args: &[&str], delay: Duration) -> Job {
    let process = Process {
        command: command.to_owned(),
        args: args.iter().map(ToString::to_string).collect(),
        user: None,
        workdir: None,
    };
    let task =
        Task { process, resources: Resources { cpu_millis: 1, memory_bytes: 1 << 20 }, ..Task::new("") };
    let restart = Restart {
        attempts: None,
        interval: Interval::Forever,
        delay,
        backoff: Backoff::Constant,
        max_delay: delay,
        jitter_percent: 0,
        on_exhausted: OnExhausted::Stay,
        on: RestartOn::Any,
    };
    let tasks = BTreeMap::from([("main".to_owned(), task)]);
    let group = Group { count, restart, ..Group::new(JobType::Service, tasks) };
    let groups = BTreeMap::from([("main".to_owned(), group)]);
    Job::new(JobKey::new("default", name), JobType::Service, groups)
}

/// The same with another size.
pub(crate) fn sized(mut job: Job, resources: Resources) -> Job {
    for task in job.groups.values_mut().flat_map(|group| group.tasks.values_mut()) {
        task.resources = resources;
    }
    job
}

/// Makes the message that submits a job.
pub(crate) fn put(job: &Job) -> v1::PutJobRequest {
    v1::PutJobRequest {
        request_id: random_request_id().0.to_be_bytes().to_vec().into(),
        job: Some(proto::wire::job::to_wire(job)),
        expected_version: None,
        message: String::new(),
    }
}

/// Makes the message that stops and forgets a job.
pub(crate) fn purge(name: &str) -> v1::StopJobRequest {
    v1::StopJobRequest {
        request_id: random_request_id().0.to_be_bytes().to_vec().into(),
        namespace: "default".to_owned(),
        name: name.to_owned(),
        purge: true,
    }
}

/// Returns how many allocations the answer to a submission says were placed.
pub(crate) fn placed(reply: &v1::PutJobReply) -> u32 {
    let placement: Option<Placement> = serde_json::from_slice(&reply.placement_json).ok();
    let groups = placement.into_iter().flat_map(|placement| placement.groups.into_values());
    groups.flat_map(|group| group.placed.into_values()).sum()
}

/// Waits until the server takes a job.
///
/// # Errors
/// What it says, but that nobody leads.
pub(crate) async fn wait_until_led(rig: &Rig, client: &Client) -> Result<(), String> {
    let first = put(&service("first", 0, "/bin/true", &[], Duration::from_secs(1)));
    let call = || {
        let (mut client, request) = (client.clone(), rig.request(first.clone()));
        async move { client.put_job(request).await }
    };
    rig.once_led(call).await.map(drop)
}

/// Stops jobs and waits until nothing of them is left.
///
/// # Errors
/// What the server says, and when something stays.
pub(crate) async fn purge_all(rig: &Rig, client: &mut Client, names: &[String]) -> Result<(), String> {
    for name in names {
        client.stop_job(rig.request(purge(name))).await.map_err(|status| status.to_string())?;
    }
    let begun = std::time::Instant::now();
    for name in names {
        let ask = v1::JobStatusRequest { namespace: "default".into(), name: name.clone(), wait: None };
        loop {
            match client.job_status(rig.request(ask.clone())).await {
                Err(status) if status.code() == Code::NotFound => break,
                _ if begun.elapsed() > GONE_WITHIN => return Err(format!("job {name} does not go")),
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }
    Ok(())
}
