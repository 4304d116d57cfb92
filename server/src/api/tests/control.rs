//! The control service.

use proto::error::{Error, Kind};
use proto::model::EventKind;
use proto::view::{
    AllocView, EventList, Health, JobList, JobStatus, NodeList, Placement, SettingList, SettingView,
};
use proto::wire::job::to_wire;
use proto::wire::v1;
use proto::wire::v1::control_client::ControlClient;
use serde::de::DeserializeOwned;
use tokio::time::timeout;
use tonic::metadata::MetadataValue;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};

use super::rig::{Live, Rig, SOON};
use crate::ops::testing::job;

type Client = ControlClient<InterceptedService<Channel, Bearer>>;

#[derive(Clone)]
struct Bearer(String);

impl tonic::service::Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let value = MetadataValue::try_from(format!("Bearer {}", self.0)).expect("a header");
        request.metadata_mut().insert("authorization", value);
        Ok(request)
    }
}

async fn client(rig: &Rig) -> Client {
    let channel = Channel::from_shared(format!("http://{}", rig.addr)).unwrap().connect().await.unwrap();
    ControlClient::with_interceptor(channel, Bearer(rig.token.clone()))
}

fn read<T: DeserializeOwned>(document: tonic::Response<v1::Document>) -> T {
    serde_json::from_slice(&document.into_inner().json).expect("the document")
}

fn put(name: &str, count: u32) -> v1::PutJobRequest {
    v1::PutJobRequest { job: Some(to_wire(&job(name, count))), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_method_answers_with_the_documents_of_http() {
    let rig = Rig::leading().await;
    rig.node(1).await;
    let mut client = client(&rig).await;
    let written = client.put_job(put("web", 1)).await.unwrap().into_inner();
    assert!(written.changed && written.version == 1 && written.revision > 0);
    let placement: Placement = serde_json::from_slice(&written.placement_json).unwrap();
    assert_eq!(placement.groups["web"].placed["n1"], 1);

    let name = "web".to_owned();
    let asked = v1::JobStatusRequest { name: name.clone(), ..Default::default() };
    let status: JobStatus = read(client.job_status(asked).await.unwrap());
    assert_eq!(serde_json::to_value(&status).unwrap(), rig.ask("GET /v1/jobs/web").await.json());
    let asked = v1::AllocStatusRequest { alloc: name.clone(), ..Default::default() };
    let alloc: AllocView = read(client.alloc_status(asked).await.unwrap());
    assert_eq!(alloc.name, "web.web.0");
    let jobs: JobList = read(client.list_jobs(v1::ListJobsRequest::default()).await.unwrap());
    assert_eq!(jobs.items.len(), 1);
    let nodes: NodeList = read(client.list_nodes(v1::ListNodesRequest::default()).await.unwrap());
    assert_eq!(nodes.items[0].name, "n1");
    let mut events = client.events(v1::EventsRequest::default()).await.unwrap().into_inner();
    let list: EventList = serde_json::from_slice(&events.message().await.unwrap().unwrap().json).unwrap();
    assert!(list.items.len() >= 4, "{list:?}");
    let registered = list.items.iter().find(|event| event.kind == EventKind::NodeRegistered);
    let subject = &registered.expect("the node's event").subject;
    assert_eq!((subject.node.is_some(), subject.node_name.as_deref()), (true, Some("n1")));
    assert!(events.message().await.unwrap().is_none(), "ends at once unless followed");
    assert_eq!(client.version(v1::VersionRequest {}).await.unwrap().into_inner().wire, 1);

    let change = v1::set_settings_request::Change { name: "versions".into(), value: "3".into() };
    let ask = v1::SetSettingsRequest { changes: vec![change], ..Default::default() };
    assert!(client.set_settings(ask).await.unwrap().into_inner().changed);
    let one: SettingView =
        read(client.get_setting(v1::GetSettingRequest { name: "versions".into() }).await.unwrap());
    assert_eq!((one.value.as_str(), one.default.as_str()), ("3", "10"));
    let all: SettingList = read(client.list_settings(v1::ListSettingsRequest {}).await.unwrap());
    assert!(all.items.contains(&one));

    let stop = v1::StopJobRequest { name, ..Default::default() };
    assert!(client.stop_job(stop).await.unwrap().into_inner().changed);
    let jobs: JobList = read(client.list_jobs(v1::ListJobsRequest::default()).await.unwrap());
    assert_eq!(jobs.items[0].health, Health::Stopped);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_arrive_whole() {
    let rig = Rig::leading().await;
    let mut client = client(&rig).await;
    client.put_job(put("web", 1)).await.unwrap();
    let asked = v1::JobStatusRequest { name: "wbe".into(), ..Default::default() };
    let error = Error::from(&client.job_status(asked).await.unwrap_err());
    assert_eq!((error.kind, error.hint.as_str()), (Kind::NotFound, "did you mean `web`?"));
    let error = Error::from(&client.put_job(v1::PutJobRequest::default()).await.unwrap_err());
    assert_eq!((error.kind, error.message.as_str()), (Kind::Invalid, "the request holds no job"));
    let error = Error::from(&client.put_job(put("web", 20_000)).await.unwrap_err());
    assert_eq!(error.details, ["group `web`: `count` is 20000, at most 10000 are allowed"]);
    let expected = v1::PutJobRequest { expected_version: Some(9), ..put("web", 2) };
    assert_eq!(Error::from(&client.put_job(expected).await.unwrap_err()).kind, Kind::Conflict);
    let named = v1::PutJobRequest { request_id: vec![1, 2].into(), ..put("web", 2) };
    assert_eq!(Error::from(&client.put_job(named).await.unwrap_err()).kind, Kind::Invalid);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_followed_without_a_gap_and_without_doubles() {
    let rig = Rig::leading().await;
    let mut client = client(&rig).await;
    client.put_job(put("a", 1)).await.unwrap();
    let asked = v1::EventsRequest { follow: true, ..Default::default() };
    let mut events = client.events(asked).await.unwrap().into_inner();
    let putting = tokio::spawn({
        let mut client = client.clone();
        async move {
            for count in 2..30 {
                client.put_job(put("a", count)).await.unwrap();
            }
        }
    });
    let (mut seen, mut updates) = (Vec::new(), 0);
    while updates < 28 {
        let message = timeout(SOON, events.message()).await.expect("events in time").unwrap().unwrap();
        let list: EventList = serde_json::from_slice(&message.json).unwrap();
        updates += list.items.iter().filter(|event| event.kind == EventKind::JobUpdated).count();
        seen.extend(list.items.iter().map(|event| (event.revision, event.ordinal)));
    }
    putting.await.unwrap();
    assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_reign_still_reads() {
    let rig = Rig::serving(Live::start(false).await).await;
    let mut client = client(&rig).await;
    let jobs: JobList = read(client.list_jobs(v1::ListJobsRequest::default()).await.unwrap());
    assert!(jobs.items.is_empty());
    assert_eq!(rig.ask("GET /v1/nodes").await.status, 200);
}
