//! Who is let in: every endpoint, with no token, a wrong one and the right one.

use proto::wire::v1::control_client::ControlClient;
use proto::wire::v1::{self, agent_client::AgentClient};
use tonic::Code;
use tonic::transport::Channel;

use super::rig::Rig;

const ENDPOINTS: [&str; 14] = [
    "GET /v1/jobs",
    "POST /v1/jobs",
    "GET /v1/jobs/secret-job",
    "DELETE /v1/jobs/secret-job",
    "GET /v1/jobs/secret-job/logs",
    "GET /v1/allocs/secret-job",
    "GET /v1/nodes",
    "GET /v1/events",
    "GET /v1/version",
    "GET /metrics",
    "GET /",
    "GET /nothing/here",
    "PUT /v1/jobs",
    "POST /health/",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_endpoint_but_health_says_anything_without_the_token() {
    let rig = Rig::leading().await;
    let file = "name: secret-job\ncommand: /bin/true\n";
    let put = rig.post("/v1/jobs", &serde_json::json!({ "job_file": file })).await;
    assert_eq!(put.status, 200, "{put:?}");
    let host = "Host: localhost";
    let wrong = ["", "Authorization: Bearer", "Authorization: Bearer 00000000000000000000000000000000"];
    let almost = format!("Authorization: Bearer {}", &rig.token[..31]);
    let basic = format!("Authorization: Basic {}", rig.token);
    let mut refusals = std::collections::BTreeSet::new();
    for endpoint in ENDPOINTS {
        for auth in wrong.iter().copied().chain([almost.as_str(), basic.as_str()]) {
            let head: Vec<&str> = [host, auth].into_iter().filter(|line| !line.is_empty()).collect();
            let answer = rig.send(endpoint, &head, "").await;
            assert_eq!(answer.status, 403, "{endpoint} {auth}: {answer:?}");
            assert_eq!(answer.json()["kind"], "forbidden");
            assert!(!answer.body.contains("secret-job") && !answer.body.contains(&rig.token));
            refusals.insert(answer.body);
        }
        let answer = rig.send(endpoint, &[host, &rig.bearer()], "").await;
        assert_ne!(answer.status, 403, "{endpoint}: {answer:?}");
        assert!(!answer.body.contains(&rig.token));
    }
    assert_eq!(
        refusals.len(),
        2,
        "refusals differ by whether a token came, and by nothing else: {refusals:?}"
    );
    let health = rig.send("GET /health", &[host], "").await;
    assert_eq!((health.status, health.body.as_str()), (200, r#"{"status":"ok","leader":true}"#));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_grpc_method_answers_without_the_token() {
    let rig = Rig::leading().await;
    let channel = Channel::from_shared(format!("http://{}", rig.addr)).unwrap().connect().await.unwrap();
    let mut control = ControlClient::new(channel.clone());
    let mut codes = vec![
        control.list_jobs(v1::ListJobsRequest::default()).await.map(drop).unwrap_err(),
        control.put_job(v1::PutJobRequest::default()).await.map(drop).unwrap_err(),
        control.stop_job(v1::StopJobRequest::default()).await.map(drop).unwrap_err(),
        control.job_status(v1::JobStatusRequest::default()).await.map(drop).unwrap_err(),
        control.alloc_status(v1::AllocStatusRequest::default()).await.map(drop).unwrap_err(),
        control.list_nodes(v1::ListNodesRequest::default()).await.map(drop).unwrap_err(),
        control.events(v1::EventsRequest::default()).await.map(drop).unwrap_err(),
        control.logs(v1::LogsRequest::default()).await.map(drop).unwrap_err(),
        control.version(v1::VersionRequest::default()).await.map(drop).unwrap_err(),
        control.scale_job(v1::ScaleJobRequest::default()).await.map(drop).unwrap_err(),
        control.start_job(v1::StartJobRequest::default()).await.map(drop).unwrap_err(),
        control.revert_job(v1::RevertJobRequest::default()).await.map(drop).unwrap_err(),
        control.restart_job(v1::RestartJobRequest::default()).await.map(drop).unwrap_err(),
        control.restart_alloc(v1::RestartAllocRequest::default()).await.map(drop).unwrap_err(),
        control.set_eligibility(v1::SetEligibilityRequest::default()).await.map(drop).unwrap_err(),
        control.purge_node(v1::PurgeNodeRequest::default()).await.map(drop).unwrap_err(),
        control.drain_node(v1::DrainNodeRequest::default()).await.map(drop).unwrap_err(),
        control.plan_job(v1::PlanJobRequest::default()).await.map(drop).unwrap_err(),
        control.plan_loss(v1::PlanLossRequest::default()).await.map(drop).unwrap_err(),
        control.job_history(v1::JobHistoryRequest::default()).await.map(drop).unwrap_err(),
        control.export_job(v1::ExportJobRequest::default()).await.map(drop).unwrap_err(),
        control.why(v1::WhyRequest::default()).await.map(drop).unwrap_err(),
        control.node_status(v1::NodeStatusRequest::default()).await.map(drop).unwrap_err(),
        control.remove_server(v1::RemoveServerRequest::default()).await.map(drop).unwrap_err(),
        control.list_servers(v1::ListServersRequest::default()).await.map(drop).unwrap_err(),
    ];
    let mut agent = AgentClient::new(channel);
    let nothing = || tokio_stream::iter(Vec::new());
    codes.push(agent.session(nothing()).await.map(drop).unwrap_err());
    codes.push(agent.logs(tokio_stream::iter(Vec::new())).await.map(drop).unwrap_err());
    for status in codes {
        assert_eq!(status.code(), Code::PermissionDenied, "{status:?}");
        assert_eq!(proto::error::Error::from(&status).kind, proto::error::Kind::Forbidden);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_hosts_origins_and_forms_are_refused_even_with_the_token() {
    let rig = Rig::leading().await;
    let bearer = rig.bearer();
    let get =
        async |head: &[&str]| rig.send("GET /v1/jobs", &[&[bearer.as_str()], head].concat(), "").await.status;
    for host in ["Host: localhost:4650", "Host: 127.0.0.1", "Host: [::1]:4650", "Host: S1.example:4650"] {
        assert_eq!(get(&[host]).await, 200, "{host}");
    }
    for host in ["Host: evil.example", "Host: localhost.evil.example:4650"] {
        assert_eq!(get(&[host]).await, 403, "{host}");
    }
    assert_eq!(get(&[]).await, 400, "no host");
    assert_eq!(get(&["Host: localhost", "Origin: http://localhost:4650"]).await, 200);
    for origin in ["Origin: https://evil.example", "Origin: null", "Origin: http://s1.example"] {
        assert_eq!(get(&["Host: localhost", origin]).await, 403, "{origin}");
    }
    assert_eq!(rig.send("GET /health", &["Host: evil.example"], "").await.status, 403);
    let body = r#"{"job_file":"name: a\ncommand: /bin/true\n"}"#;
    for kind in
        ["Content-Type: text/plain", "Content-Type: application/x-www-form-urlencoded", "X-Nothing: 1"]
    {
        let answer = rig.send("POST /v1/jobs", &["Host: localhost", &bearer, kind], body).await;
        assert_eq!((answer.status, &answer.json()["kind"]), (400, &"invalid".into()), "{kind}");
    }
    let kind = "Content-Type: application/json; charset=utf-8";
    assert_eq!(rig.send("POST /v1/jobs", &["Host: localhost", &bearer, kind], body).await.status, 200);
}
