//! A server that answers by script and notes what it was asked.

use std::collections::{BTreeMap, VecDeque};
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use proto::error::{Error, Kind};
use proto::view::{AllocView, JobStatus, JobSummary, List};
use proto::wire::v1;
use proto::wire::v1::control_server::{Control, ControlServer};
use serde::Serialize;
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

pub const TOKEN: &str = "0123456789abcdef";

/// What the server does, and what it was asked.
#[derive(Default)]
pub struct Script {
    pub jobs: Vec<JobSummary>,
    /// By name the documents in turn; the last one stays.
    pub statuses: BTreeMap<String, VecDeque<JobStatus>>,
    pub allocs: BTreeMap<String, AllocView>,
    /// What happens to writes, in turn; then they succeed.
    pub trouble: VecDeque<Trouble>,
    /// What a write says; `changed`, version 1 and revision 10 unless set.
    pub reply: Option<v1::PutJobReply>,
    /// So many questions about a job are answered as by a server that has not heard of it.
    pub lagging: usize,
    /// Per connection what is streamed, then how it ends.
    pub events: VecDeque<(Vec<serde_json::Value>, End)>,
    pub logs: VecDeque<(Vec<v1::LogChunk>, End)>,

    /// What reads of plans, histories, stories, nodes and servers are answered with, by the method's name.
    pub documents: BTreeMap<&'static str, serde_json::Value>,
    /// What writes beside `run` and `stop` are answered with; `changed`, version 2 and revision 11 unless set.
    pub write: Option<v1::WriteReply>,
    /// What they and those reads asked, as text.
    pub asked: Vec<String>,

    pub puts: Vec<v1::PutJobRequest>,
    pub stops: Vec<v1::StopJobRequest>,
    pub event_requests: Vec<v1::EventsRequest>,
    pub log_requests: Vec<v1::LogsRequest>,
    pub list_requests: Vec<v1::ListJobsRequest>,
}

/// What happens to a write.
pub enum Trouble {
    /// It is refused.
    Refuse(Error),
    /// The server dies before it has answered; nobody knows whether the write was done.
    Die,
}

/// How a stream ends.
pub enum End {
    /// There is nothing more.
    Done,
    /// It breaks.
    Break,
    /// It stays open.
    Stay,
}

/// A running server; it ends with the value.
pub struct Server {
    address: SocketAddr,
    script: Arc<Mutex<Script>>,
    stop: CancellationToken,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    pub fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("non-blocking");
        let address = listener.local_addr().expect("an address");
        let script = Arc::new(Mutex::new(script));
        let stop = CancellationToken::new();
        let fake = Fake { script: Arc::clone(&script), stop: stop.clone() };
        let token = stop.clone();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
                let service = ControlServer::with_interceptor(fake, authorised);
                let serving =
                    tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming);
                tokio::select! {
                    served = serving => served.expect("it serves"),
                    () = token.cancelled() => {}
                }
            });
            // Dropping the runtime closes all connections at once, as a killed process does.
        });
        Self { address, script, stop, thread: Some(thread) }
    }

    /// Shows one job, through these documents.
    pub fn with_job(statuses: Vec<JobStatus>) -> Self {
        let name = statuses[0].summary.name.clone();
        let statuses = BTreeMap::from([(name, statuses.into())]);
        Self::start(Script { statuses, ..Script::default() })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().expect("no panic")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Returns an address where nobody listens.
pub fn dead_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    format!("http://{}", listener.local_addr().expect("an address"))
}

fn authorised(request: Request<()>) -> Result<Request<()>, Status> {
    let given = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
    match given == Some(&format!("Bearer {TOKEN}")) {
        true => Ok(request),
        false => Err(Error::new(Kind::Forbidden, "this token is not known here").into()),
    }
}

struct Fake {
    script: Arc<Mutex<Script>>,
    stop: CancellationToken,
}

type Stream_<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Fake {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().expect("no panic")
    }

    fn answer(
        &self,
        method: &'static str,
        asked: &impl std::fmt::Debug,
    ) -> Result<Response<v1::Document>, Status> {
        let mut script = self.script();
        script.asked.push(format!("{method} {asked:?}"));
        match script.documents.get(method) {
            Some(value) => Ok(Response::new(document(value))),
            None => Err(Error::new(Kind::NotFound, format!("nothing for {method}")).into()),
        }
    }

    async fn written(
        &self,
        method: &'static str,
        asked: &impl std::fmt::Debug,
    ) -> Result<Response<v1::WriteReply>, Status> {
        self.script().asked.push(format!("{method} {asked:?}"));
        self.suffer().await?;
        let usual = v1::WriteReply { changed: true, version: 2, revision: 11, ..Default::default() };
        Ok(Response::new(self.script().write.clone().unwrap_or(usual)))
    }

    async fn suffer(&self) -> Result<(), Status> {
        let trouble = self.script().trouble.pop_front();
        match trouble {
            None => Ok(()),
            Some(Trouble::Refuse(error)) => Err(error.into()),
            Some(Trouble::Die) => {
                self.stop.cancel();
                std::future::pending().await
            }
        }
    }
}

fn document(view: &impl Serialize) -> v1::Document {
    v1::Document { json: serde_json::to_vec(view).expect("serialises").into() }
}

fn streamed<T: Send + 'static>(items: Vec<T>, end: End) -> Stream_<T> {
    use futures::StreamExt;
    let items = futures::stream::iter(items.into_iter().map(Ok));
    match end {
        End::Done => Box::pin(items),
        End::Break => {
            let broken = Error::new(Kind::Unavailable, "the server ends");
            Box::pin(items.chain(futures::stream::iter([Err(broken.into())])))
        }
        End::Stay => Box::pin(items.chain(futures::stream::pending())),
    }
}

#[tonic::async_trait]
impl Control for Fake {
    type EventsStream = Stream_<v1::Document>;
    type LogsStream = Stream_<v1::LogChunk>;
    type ExecStream = Stream_<v1::ExecOutput>;
    type GetSnapshotStream = Stream_<v1::SnapshotPart>;

    async fn put_job(
        &self,
        request: Request<v1::PutJobRequest>,
    ) -> Result<Response<v1::PutJobReply>, Status> {
        self.script().puts.push(request.into_inner());
        self.suffer().await?;
        let usual =
            v1::PutJobReply { changed: true, version: 1, revision: 10, placement_json: Vec::new().into() };
        Ok(Response::new(self.script().reply.clone().unwrap_or(usual)))
    }

    async fn stop_job(
        &self,
        request: Request<v1::StopJobRequest>,
    ) -> Result<Response<v1::StopJobReply>, Status> {
        self.script().stops.push(request.into_inner());
        self.suffer().await?;
        Ok(Response::new(v1::StopJobReply { changed: true, version: 2, revision: 11 }))
    }

    async fn list_jobs(
        &self,
        request: Request<v1::ListJobsRequest>,
    ) -> Result<Response<v1::Document>, Status> {
        let mut script = self.script();
        script.list_requests.push(request.into_inner());
        let list = List {
            items: script.jobs.clone(),
            next: None,
            revision: proto::ids::Revision(10),
            warnings: Vec::new(),
        };
        Ok(Response::new(document(&list)))
    }

    async fn job_status(
        &self,
        request: Request<v1::JobStatusRequest>,
    ) -> Result<Response<v1::Document>, Status> {
        let request = request.into_inner();
        let (status, last) = {
            let mut script = self.script();
            if script.lagging > 0 {
                script.lagging -= 1;
                return Err(Error::new(Kind::NotFound, format!("there is no job `{}`", request.name)).into());
            }
            let Some(statuses) = script.statuses.get_mut(&request.name) else {
                let error = Error::new(Kind::NotFound, format!("there is no job `{}`", request.name));
                return Err(error.hint("did you mean `web`?").into());
            };
            match statuses.len() {
                0 | 1 => (statuses.front().cloned().expect("a document"), true),
                _ => (statuses.pop_front().expect("a document"), false),
            }
        };
        if last && request.wait.is_some_and(|wait| wait.revision >= status.revision.0) {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(Response::new(document(&status)))
    }

    async fn alloc_status(
        &self,
        request: Request<v1::AllocStatusRequest>,
    ) -> Result<Response<v1::Document>, Status> {
        let name = request.into_inner().alloc;
        match self.script().allocs.get(&name) {
            Some(alloc) => Ok(Response::new(document(alloc))),
            None => Err(Error::new(Kind::NotFound, format!("there is no allocation `{name}`")).into()),
        }
    }

    async fn list_nodes(&self, _: Request<v1::ListNodesRequest>) -> Result<Response<v1::Document>, Status> {
        self.answer("list_nodes", &())
    }

    async fn events(
        &self,
        request: Request<v1::EventsRequest>,
    ) -> Result<Response<Self::EventsStream>, Status> {
        let mut script = self.script();
        script.event_requests.push(request.into_inner());
        let (lists, end) = script.events.pop_front().unwrap_or((Vec::new(), End::Stay));
        Ok(Response::new(streamed(lists.iter().map(document).collect(), end)))
    }

    async fn logs(&self, request: Request<v1::LogsRequest>) -> Result<Response<Self::LogsStream>, Status> {
        let mut script = self.script();
        script.log_requests.push(request.into_inner());
        let (chunks, end) = script.logs.pop_front().unwrap_or((Vec::new(), End::Stay));
        Ok(Response::new(streamed(chunks, end)))
    }

    async fn version(&self, _: Request<v1::VersionRequest>) -> Result<Response<v1::VersionReply>, Status> {
        Err(Status::unimplemented("no command asks for it"))
    }

    async fn scale_job(
        &self,
        request: Request<v1::ScaleJobRequest>,
    ) -> Result<Response<v1::WriteReply>, Status> {
        let v1::ScaleJobRequest { request_id, .. } = request.get_ref();
        assert_eq!(request_id.len(), 16, "a write has a name");
        self.written(
            "scale_job",
            &v1::ScaleJobRequest { request_id: Default::default(), ..request.into_inner() },
        )
        .await
    }

    async fn start_job(
        &self,
        request: Request<v1::StartJobRequest>,
    ) -> Result<Response<v1::WriteReply>, Status> {
        let v1::StartJobRequest { request_id, .. } = request.get_ref();
        assert_eq!(request_id.len(), 16, "a write has a name");
        self.written(
            "start_job",
            &v1::StartJobRequest { request_id: Default::default(), ..request.into_inner() },
        )
        .await
    }

    async fn revert_job(
        &self,
        request: Request<v1::RevertJobRequest>,
    ) -> Result<Response<v1::WriteReply>, Status> {
        let v1::RevertJobRequest { request_id, .. } = request.get_ref();
        assert_eq!(request_id.len(), 16, "a write has a name");
        self.written(
            "revert_job",
            &v1::RevertJobRequest { request_id: Default::default(), ..request.into_inner() },
        )
        .await
    }

    async fn restart_job(
        &self,
        request: Request<v1::RestartJobRequest>,
    ) -> Result<Response<v1::WriteReply>, Status> {
        let v1::RestartJobRequest { request_id, .. } = request.get_ref();
        assert_eq!(request_id.len(), 16, "a write has a name");
        self.written(
            "restart_job",
            &v1::RestartJobRequest { request_id: Default::default(), ..request.into_inner() },
        )
        .await
    }

    async fn restart_alloc(
        &self,
        request: Request<v1::RestartAllocRequest>,
    ) -> Result<Response<v1::WriteReply>, Status> {
        let v1::RestartAllocRequest { request_id, .. } = request.get_ref();
        assert_eq!(request_id.len(), 16, "a write has a name");
        self.written(
            "restart_alloc",
            &v1::RestartAllocRequest { request_id: Default::default(), ..request.into_inner() },
        )
        .await
    }

    async fn set_eligibility(
        &self,
        request: Request<v1::SetEligibilityRequest>,
    ) -> Result<Response<v1::WriteReply>, Status> {
        let v1::SetEligibilityRequest { request_id, .. } = request.get_ref();
        assert_eq!(request_id.len(), 16, "a write has a name");
        self.written(
            "set_eligibility",
            &v1::SetEligibilityRequest { request_id: Default::default(), ..request.into_inner() },
        )
        .await
    }

    async fn purge_node(
        &self,
        request: Request<v1::PurgeNodeRequest>,
    ) -> Result<Response<v1::WriteReply>, Status> {
        let v1::PurgeNodeRequest { request_id, .. } = request.get_ref();
        assert_eq!(request_id.len(), 16, "a write has a name");
        self.written(
            "purge_node",
            &v1::PurgeNodeRequest { request_id: Default::default(), ..request.into_inner() },
        )
        .await
    }

    async fn drain_node(
        &self,
        request: Request<v1::DrainNodeRequest>,
    ) -> Result<Response<v1::WriteReply>, Status> {
        let v1::DrainNodeRequest { request_id, .. } = request.get_ref();
        assert_eq!(request_id.len(), 16, "a write has a name");
        self.written(
            "drain_node",
            &v1::DrainNodeRequest { request_id: Default::default(), ..request.into_inner() },
        )
        .await
    }

    async fn set_settings(
        &self,
        request: Request<v1::SetSettingsRequest>,
    ) -> Result<Response<v1::WriteReply>, Status> {
        let v1::SetSettingsRequest { request_id, changes } = request.into_inner();
        assert_eq!(request_id.len(), 16, "a write has a name");
        let pairs: Vec<String> =
            changes.into_iter().map(|change| format!("{}={}", change.name, change.value)).collect();
        self.written("set_settings", &pairs).await
    }

    async fn list_settings(
        &self,
        request: Request<v1::ListSettingsRequest>,
    ) -> Result<Response<v1::Document>, Status> {
        self.answer("list_settings", &request.into_inner())
    }

    async fn get_setting(
        &self,
        request: Request<v1::GetSettingRequest>,
    ) -> Result<Response<v1::Document>, Status> {
        self.answer("get_setting", &request.into_inner())
    }

    async fn plan_job(&self, request: Request<v1::PlanJobRequest>) -> Result<Response<v1::Document>, Status> {
        self.answer("plan_job", &request.into_inner())
    }

    async fn plan_loss(
        &self,
        request: Request<v1::PlanLossRequest>,
    ) -> Result<Response<v1::Document>, Status> {
        self.answer("plan_loss", &request.into_inner())
    }

    async fn job_history(
        &self,
        request: Request<v1::JobHistoryRequest>,
    ) -> Result<Response<v1::Document>, Status> {
        self.answer("job_history", &request.into_inner())
    }

    async fn export_job(
        &self,
        request: Request<v1::ExportJobRequest>,
    ) -> Result<Response<v1::Document>, Status> {
        self.answer("export_job", &request.into_inner())
    }

    async fn why(&self, request: Request<v1::WhyRequest>) -> Result<Response<v1::Document>, Status> {
        self.answer("why", &request.into_inner())
    }

    async fn node_status(
        &self,
        request: Request<v1::NodeStatusRequest>,
    ) -> Result<Response<v1::Document>, Status> {
        self.answer("node_status", &request.into_inner())
    }

    async fn list_servers(
        &self,
        request: Request<v1::ListServersRequest>,
    ) -> Result<Response<v1::Document>, Status> {
        self.answer("list_servers", &request.into_inner())
    }

    async fn release_brake(
        &self,
        request: Request<v1::ReleaseBrakeRequest>,
    ) -> Result<Response<v1::WriteReply>, Status> {
        assert_eq!(request.get_ref().request_id.len(), 16, "a write has a name");
        self.written("release_brake", &v1::ReleaseBrakeRequest::default()).await
    }

    async fn remove_server(
        &self,
        request: Request<v1::RemoveServerRequest>,
    ) -> Result<Response<v1::WriteReply>, Status> {
        self.written("remove_server", &request.into_inner()).await
    }

    async fn list_members(
        &self,
        _: Request<v1::ListMembersRequest>,
    ) -> Result<Response<v1::Document>, Status> {
        self.answer("list_members", &())
    }

    async fn deny_member(
        &self,
        request: Request<v1::DenyMemberRequest>,
    ) -> Result<Response<v1::WriteReply>, Status> {
        self.written("deny_member", &request.into_inner()).await
    }

    async fn allow_member(
        &self,
        request: Request<v1::AllowMemberRequest>,
    ) -> Result<Response<v1::WriteReply>, Status> {
        self.written("allow_member", &request.into_inner()).await
    }

    async fn get_keys(&self, _: Request<v1::GetKeysRequest>) -> Result<Response<v1::Document>, Status> {
        self.answer("get_keys", &())
    }

    async fn set_operator_token(
        &self,
        request: Request<v1::SetOperatorTokenRequest>,
    ) -> Result<Response<v1::WriteReply>, Status> {
        self.written("set_operator_token", &request.into_inner()).await
    }

    async fn signal(&self, _: Request<v1::SignalRequest>) -> Result<Response<v1::SignalReply>, Status> {
        Err(Status::unimplemented("it is asked for with real tasks, in tests/story/reach.rs"))
    }

    async fn get_snapshot(
        &self,
        _: Request<v1::GetSnapshotRequest>,
    ) -> Result<Response<Self::GetSnapshotStream>, Status> {
        Err(Status::unimplemented("it is asked for with a real state, in tests/story/snapshot.rs"))
    }

    async fn restore_snapshot(
        &self,
        _: Request<tonic::Streaming<v1::RestoreSnapshotRequest>>,
    ) -> Result<Response<v1::WriteReply>, Status> {
        Err(Status::unimplemented("it is asked for with a real state, in tests/story/snapshot.rs"))
    }

    async fn exec(
        &self,
        _: Request<tonic::Streaming<v1::ExecRequest>>,
    ) -> Result<Response<Self::ExecStream>, Status> {
        Err(Status::unimplemented("it is asked for with real tasks, in tests/story/reach.rs"))
    }
}
