//! The control service: the same operations, for the CLI.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use proto::error::{Error, Kind};
use proto::ids::{JobKey, JobVersion, RequestId, Revision};
use proto::model::Eligibility;
use proto::view::Written;
use proto::wire::job::from_wire;
use proto::wire::v1;
use serde::Serialize;
use tonic::{Request, Response, Status, Streaming};

use super::{Context, exec, snapshots};
use crate::ops::logs::{LogsQuery, Piece, Portion};
use crate::ops::{self, Caller, EventsQuery, PutJob, TaskQuery, Wait};

type Reply<T> = Result<Response<T>, Status>;
type Streamed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The service.
pub(super) struct Control {
    context: Context,
}

impl Control {
    pub(super) fn new(context: Context) -> Self {
        Self { context }
    }
}

#[tonic::async_trait]
impl v1::control_server::Control for Control {
    type EventsStream = Streamed<v1::Document>;
    type LogsStream = Streamed<v1::LogChunk>;
    type ExecStream = Streamed<v1::ExecOutput>;
    type GetSnapshotStream = Streamed<v1::SnapshotPart>;

    async fn put_job(&self, request: Request<v1::PutJobRequest>) -> Reply<v1::PutJobReply> {
        let (caller, put) = opened(request)?;
        let job = put.job.ok_or_else(|| Error::new(Kind::Invalid, "the request holds no job"))?;
        let job = from_wire(job).map_err(|error| Error::new(Kind::Invalid, error.to_string()))?;
        let put = PutJob {
            request: request_id(&put.request_id)?,
            job,
            expected: put.expected_version.map(JobVersion),
            message: put.message,
        };
        let written = ops::put_job(&self.context.cluster, &caller, put).await?;
        Ok(Response::new(v1::PutJobReply {
            changed: written.changed,
            version: written.version.0,
            revision: written.revision.0,
            placement_json: json(&written.placement.unwrap_or_default())?,
        }))
    }

    async fn stop_job(&self, request: Request<v1::StopJobRequest>) -> Reply<v1::StopJobReply> {
        let (caller, stop) = opened(request)?;
        let (id, key) = (request_id(&stop.request_id)?, JobKey::new(stop.namespace, stop.name));
        let written = ops::stop_job(&self.context.cluster, &caller, id, key, stop.purge).await?;
        Ok(Response::new(v1::StopJobReply {
            changed: written.changed,
            version: written.version.0,
            revision: written.revision.0,
        }))
    }

    async fn scale_job(&self, request: Request<v1::ScaleJobRequest>) -> Reply<v1::WriteReply> {
        let (caller, ask) = opened(request)?;
        let (id, key) = (request_id(&ask.request_id)?, JobKey::new(ask.namespace, ask.name));
        reply(ops::scale_job(&self.context.cluster, &caller, id, &key, &ask.group, ask.count).await?)
    }

    async fn start_job(&self, request: Request<v1::StartJobRequest>) -> Reply<v1::WriteReply> {
        let (caller, ask) = opened(request)?;
        let (id, key) = (request_id(&ask.request_id)?, JobKey::new(ask.namespace, ask.name));
        reply(ops::start_job(&self.context.cluster, &caller, id, &key).await?)
    }

    async fn revert_job(&self, request: Request<v1::RevertJobRequest>) -> Reply<v1::WriteReply> {
        let (caller, ask) = opened(request)?;
        let (id, key) = (request_id(&ask.request_id)?, JobKey::new(ask.namespace, ask.name));
        reply(ops::revert_job(&self.context.cluster, &caller, id, &key, JobVersion(ask.version)).await?)
    }

    async fn restart_job(&self, request: Request<v1::RestartJobRequest>) -> Reply<v1::WriteReply> {
        let (caller, ask) = opened(request)?;
        let (id, key) = (request_id(&ask.request_id)?, JobKey::new(ask.namespace, ask.name));
        reply(ops::restart_job(&self.context.cluster, &caller, id, &key, ask.at_once).await?)
    }

    async fn restart_alloc(&self, request: Request<v1::RestartAllocRequest>) -> Reply<v1::WriteReply> {
        let (caller, ask) = opened(request)?;
        let id = request_id(&ask.request_id)?;
        let cluster = &self.context.cluster;
        reply(ops::restart_alloc(cluster, &caller, id, &ask.namespace, &ask.alloc).await?)
    }

    async fn set_eligibility(&self, request: Request<v1::SetEligibilityRequest>) -> Reply<v1::WriteReply> {
        let (caller, ask) = opened(request)?;
        let id = request_id(&ask.request_id)?;
        let wanted = if ask.eligible { Eligibility::Eligible } else { Eligibility::Cordoned };
        reply(ops::set_eligibility(&self.context.cluster, &caller, id, &ask.node, wanted).await?)
    }

    async fn purge_node(&self, request: Request<v1::PurgeNodeRequest>) -> Reply<v1::WriteReply> {
        let (caller, ask) = opened(request)?;
        let id = request_id(&ask.request_id)?;
        reply(ops::purge_node(&self.context.cluster, &caller, id, &ask.node).await?)
    }

    async fn drain_node(&self, request: Request<v1::DrainNodeRequest>) -> Reply<v1::WriteReply> {
        let (caller, ask) = opened(request)?;
        let id = request_id(&ask.request_id)?;
        let (cluster, deadline) = (&self.context.cluster, ask.deadline_ms.map(Duration::from_millis));
        reply(match ask.cancel {
            true => ops::cancel_drain(cluster, &caller, id, &ask.node).await?,
            false => {
                let wish = ops::Drain { deadline, no_deadline: ask.no_deadline, message: ask.message };
                ops::drain_node(cluster, &caller, id, &ask.node, wish).await?
            }
        })
    }

    async fn release_brake(&self, request: Request<v1::ReleaseBrakeRequest>) -> Reply<v1::WriteReply> {
        let (caller, ask) = opened(request)?;
        let id = request_id(&ask.request_id)?;
        reply(ops::release_brake(&self.context.cluster, &caller, id).await?)
    }

    async fn set_settings(&self, request: Request<v1::SetSettingsRequest>) -> Reply<v1::WriteReply> {
        let (caller, ask) = opened(request)?;
        let id = request_id(&ask.request_id)?;
        let pairs: Vec<_> = ask.changes.into_iter().map(|change| (change.name, change.value)).collect();
        reply(ops::set_settings(&self.context.cluster, &caller, id, &pairs).await?)
    }

    async fn list_settings(&self, request: Request<v1::ListSettingsRequest>) -> Reply<v1::Document> {
        let (caller, _) = opened(request)?;
        document(&ops::list_settings(&self.context.cluster, &caller)?)
    }

    async fn get_setting(&self, request: Request<v1::GetSettingRequest>) -> Reply<v1::Document> {
        let (caller, ask) = opened(request)?;
        document(&ops::setting(&self.context.cluster, &caller, &ask.name)?)
    }

    async fn plan_job(&self, request: Request<v1::PlanJobRequest>) -> Reply<v1::Document> {
        let (caller, ask) = opened(request)?;
        let job = ask.job.ok_or_else(|| Error::new(Kind::Invalid, "the request holds no job"))?;
        let job = from_wire(job).map_err(|error| Error::new(Kind::Invalid, error.to_string()))?;
        document(&ops::plan_job(&self.context.cluster, &caller, job).await?)
    }

    async fn plan_loss(&self, request: Request<v1::PlanLossRequest>) -> Reply<v1::Document> {
        let (caller, ask) = opened(request)?;
        let lost = ops::Lost { nodes: ask.nodes, domains: ask.failure_domains };
        let jobs = ask.jobs.into_iter().map(from_wire).collect::<Result<Vec<_>, _>>();
        let jobs = jobs.map_err(|error| Error::new(Kind::Invalid, error.to_string()))?;
        document(&ops::plan_loss(&self.context.cluster, &caller, &lost, jobs).await?)
    }

    async fn job_history(&self, request: Request<v1::JobHistoryRequest>) -> Reply<v1::Document> {
        let (caller, ask) = opened(request)?;
        let key = JobKey::new(ask.namespace, ask.name);
        document(&ops::job_history(&self.context.cluster, &caller, &key)?)
    }

    async fn export_job(&self, request: Request<v1::ExportJobRequest>) -> Reply<v1::Document> {
        let (caller, ask) = opened(request)?;
        let key = JobKey::new(ask.namespace, ask.name);
        document(&ops::export_job(&self.context.cluster, &caller, &key, ask.version.map(JobVersion))?)
    }

    async fn why(&self, request: Request<v1::WhyRequest>) -> Reply<v1::Document> {
        let (caller, ask) = opened(request)?;
        document(&ops::why(&self.context.cluster, &caller, &ask.namespace, &ask.target)?)
    }

    async fn node_status(&self, request: Request<v1::NodeStatusRequest>) -> Reply<v1::Document> {
        let (caller, ask) = opened(request)?;
        document(&ops::node_status(&self.context.cluster, &caller, &ask.node)?)
    }

    async fn list_servers(&self, request: Request<v1::ListServersRequest>) -> Reply<v1::Document> {
        let (caller, _) = opened(request)?;
        let Context { cluster, forming, name, address, .. } = &self.context;
        document(&ops::list_servers(cluster, forming.as_ref(), &caller, name, address).await?)
    }

    async fn remove_server(&self, request: Request<v1::RemoveServerRequest>) -> Reply<v1::WriteReply> {
        let (caller, ask) = opened(request)?;
        let Context { cluster, forming, .. } = &self.context;
        reply(ops::remove_server(cluster, forming.as_ref(), &caller, &ask.server).await?)
    }

    async fn list_members(&self, request: Request<v1::ListMembersRequest>) -> Reply<v1::Document> {
        let (caller, _) = opened(request)?;
        document(&ops::list_members(&self.context.cluster, &caller)?)
    }

    async fn deny_member(&self, request: Request<v1::DenyMemberRequest>) -> Reply<v1::WriteReply> {
        let (caller, ask) = opened(request)?;
        let (Context { cluster, forming, .. }, id) = (&self.context, request_id(&ask.request_id)?);
        reply(ops::deny_member(cluster, forming.as_ref(), &caller, id, &ask.member).await?)
    }

    async fn allow_member(&self, request: Request<v1::AllowMemberRequest>) -> Reply<v1::WriteReply> {
        let (caller, ask) = opened(request)?;
        let id = request_id(&ask.request_id)?;
        reply(ops::allow_member(&self.context.cluster, &caller, id, &ask.member).await?)
    }

    async fn get_keys(&self, request: Request<v1::GetKeysRequest>) -> Reply<v1::Document> {
        let (caller, _) = opened(request)?;
        document(&ops::key_status(&self.context.cluster, self.context.forming.as_ref(), &caller).await?)
    }

    async fn set_operator_token(
        &self,
        request: Request<v1::SetOperatorTokenRequest>,
    ) -> Reply<v1::WriteReply> {
        let (caller, ask) = opened(request)?;
        let (cluster, id) = (&self.context.cluster, request_id(&ask.request_id)?);
        let has_key = self.context.forming.is_some();
        reply(ops::set_operator_token(cluster, has_key, &caller, id, &ask.hash).await?)
    }

    async fn list_jobs(&self, request: Request<v1::ListJobsRequest>) -> Reply<v1::Document> {
        let (caller, list) = opened(request)?;
        let jobs = ops::list_jobs(&self.context.cluster, &caller, &list.namespace, wait(list.wait));
        document(&jobs.await?)
    }

    async fn job_status(&self, request: Request<v1::JobStatusRequest>) -> Reply<v1::Document> {
        let (caller, status) = opened(request)?;
        let key = JobKey::new(status.namespace, status.name);
        document(&ops::job_status(&self.context.cluster, &caller, key, wait(status.wait)).await?)
    }

    async fn alloc_status(&self, request: Request<v1::AllocStatusRequest>) -> Reply<v1::Document> {
        let (caller, status) = opened(request)?;
        let view = ops::alloc_status(&self.context.cluster, &caller, &status.namespace, &status.alloc)?;
        document(&ops::add_usage(&self.context.hub, view).await)
    }

    async fn list_nodes(&self, request: Request<v1::ListNodesRequest>) -> Reply<v1::Document> {
        let (caller, list) = opened(request)?;
        document(&ops::list_nodes(&self.context.cluster, &caller, wait(list.wait)).await?)
    }

    async fn events(&self, request: Request<v1::EventsRequest>) -> Reply<Self::EventsStream> {
        let (caller, asked) = opened(request)?;
        let query = EventsQuery {
            namespace: asked.namespace,
            subject: asked.subject,
            follow: asked.follow,
            after: Revision(asked.after),
            limit: asked.limit as usize,
        };
        let lists = ops::events(&self.context.cluster, &caller, query)?;
        Ok(Response::new(Box::pin(lists.map(|list| Ok(v1::Document { json: json(&list)? })))))
    }

    async fn logs(&self, request: Request<v1::LogsRequest>) -> Reply<Self::LogsStream> {
        let (caller, asked) = opened(request)?;
        let query = LogsQuery {
            namespace: asked.namespace,
            target: asked.target,
            task: asked.task,
            follow: asked.follow,
            portion: Portion { tail: asked.tail, last: asked.last_ms.map(Duration::from_millis) },
            stdout: asked.stdout,
            stderr: asked.stderr,
            all: asked.all,
            times: asked.times,
        };
        let pieces = ops::logs::logs(&self.context.cluster, &self.context.sources, &caller, query)?;
        Ok(Response::new(Box::pin(pieces.map(|piece| Ok(chunk(piece))))))
    }

    async fn version(&self, _: Request<v1::VersionRequest>) -> Reply<v1::VersionReply> {
        let version = ops::version();
        Ok(Response::new(v1::VersionReply {
            version: version.version,
            wire: version.wire,
            state: version.state,
            disk: version.disk,
        }))
    }

    async fn signal(&self, request: Request<v1::SignalRequest>) -> Reply<v1::SignalReply> {
        let (caller, asked) = opened(request)?;
        let (id, query) = (
            request_id(&asked.request_id)?,
            TaskQuery { namespace: asked.namespace, alloc: asked.alloc, task: asked.task },
        );
        let (cluster, hub) = (&self.context.cluster, &self.context.hub);
        let sent = ops::signal(cluster, hub, &caller, id, &query, &asked.signal).await?;
        Ok(Response::new(v1::SignalReply { alloc_id: sent.alloc.0, task: sent.task, signal: sent.signal }))
    }

    async fn exec(&self, request: Request<Streaming<v1::ExecRequest>>) -> Reply<Self::ExecStream> {
        let (caller, inbound) = opened(request)?;
        Ok(Response::new(Box::pin(exec::run(&self.context, &caller, inbound).await?)))
    }

    async fn get_snapshot(&self, request: Request<v1::GetSnapshotRequest>) -> Reply<Self::GetSnapshotStream> {
        let (caller, _) = opened(request)?;
        let parts = ops::save_snapshot(&self.context.cluster, &caller)?;
        Ok(Response::new(Box::pin(parts.map(|part| Ok(v1::SnapshotPart { data: part? })))))
    }

    async fn restore_snapshot(
        &self,
        request: Request<Streaming<v1::RestoreSnapshotRequest>>,
    ) -> Reply<v1::WriteReply> {
        let (caller, inbound) = opened(request)?;
        reply(snapshots::restore(&self.context.cluster, &caller, inbound).await?)
    }
}

fn reply(written: Written) -> Reply<v1::WriteReply> {
    let placement_json = written.placement.as_ref().map(json).transpose()?.unwrap_or_default();
    Ok(Response::new(v1::WriteReply {
        changed: written.changed,
        version: written.version.0,
        revision: written.revision.0,
        placement_json,
    }))
}

/// Takes a request apart into who asks and what.
fn opened<T>(request: Request<T>) -> Result<(Caller, T), Status> {
    let (_, extensions, message) = request.into_parts();
    // The layer before adds it; without that layer nobody may do anything.
    let caller = extensions.get::<Caller>().cloned();
    let caller = caller.ok_or_else(|| Error::new(Kind::Forbidden, "nobody said who asks"))?;
    Ok((caller, message))
}

/// Reads the name of a write; an empty one means that it has none.
pub(super) fn request_id(bytes: &[u8]) -> Result<RequestId, Error> {
    if bytes.is_empty() {
        return Ok(RequestId::default());
    }
    let id = <[u8; 16]>::try_from(bytes)
        .map_err(|_| Error::new(Kind::Invalid, format!("`request_id` has {} bytes, not 16", bytes.len())))?;
    Ok(RequestId(u128::from_be_bytes(id)))
}

fn wait(wait: Option<v1::Wait>) -> Wait {
    wait.map_or(Wait::NO, |wait| Wait {
        after: Revision(wait.revision),
        at_most: Duration::from_millis(wait.wait_ms),
    })
}

fn document(document: &impl Serialize) -> Reply<v1::Document> {
    Ok(Response::new(v1::Document { json: json(document)? }))
}

fn json(document: &impl Serialize) -> Result<Bytes, Error> {
    let encoded = serde_json::to_vec(document);
    encoded.map(Bytes::from).map_err(|error| Error::new(Kind::Internal, error.to_string()))
}

fn chunk(piece: Piece) -> v1::LogChunk {
    v1::LogChunk {
        alloc_id: piece.alloc.0,
        group: piece.group,
        index: piece.index,
        task: piece.task,
        stderr: piece.stderr,
        data: piece.data,
        notice: piece.notice,
        at_ms: piece.time.map(|time| time.0),
        node: piece.node,
        missing: piece.missing,
    }
}
