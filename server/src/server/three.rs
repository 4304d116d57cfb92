//! Three servers in this process, each on its own port of loopback, that know each other by the cluster's key.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use proto::error::{Error, Kind as ErrorKind};
use proto::ids::random_request_id;
use proto::view::ServerList;
use proto::wire::v1;
use proto::wire::v1::control_client::ControlClient;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use pki::tls::{Keys, Trust};

use super::*;
use crate::core::testing::job;
use crate::raft::Purpose;

/// A snapshot of three becomes the state of three others.
mod restore;

const PATIENCE: Duration = Duration::from_secs(40);

struct Three {
    key: ClusterKey,
    dirs: Vec<TempDir>,
    addrs: Vec<SocketAddr>,
    servers: Vec<Option<Handle>>,
}

impl Three {
    /// Places for that many servers; nothing runs.
    fn planned(servers: usize) -> Self {
        let bound: Vec<TcpListener> =
            (0..servers).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        Self {
            key: ClusterKey::generate().unwrap(),
            dirs: (0..servers).map(|_| tempfile::tempdir().unwrap()).collect(),
            addrs: bound.iter().map(|listener| listener.local_addr().unwrap()).collect(),
            servers: (0..servers).map(|_| None).collect(),
        }
    }

    /// One cluster of three.
    async fn formed() -> Self {
        let mut three = Self::planned(3);
        for number in [2, 0, 1] {
            three.start(number, 3).await;
        }
        three.leader().await;
        three
    }

    fn config(&self, number: usize, expect: u32) -> Config {
        let millis = Duration::from_millis;
        let listener = TcpListener::bind(self.addrs[number]).unwrap();
        Config {
            backend: Some(Backend::Segments),
            timings: Timings { heartbeat: millis(100), election_min: millis(400), election_max: millis(700) },
            key: Some(self.key.clone()),
            join: self.addrs.iter().take(3).map(ToString::to_string).collect(),
            expect,
            ..Config::new(self.dirs[number].path(), format!("s{number}"), listener)
        }
    }

    async fn start(&mut self, number: usize, expect: u32) {
        self.servers[number] = Some(start(self.config(number, expect)).await.expect("it starts"));
    }

    async fn stop(&mut self, number: usize) {
        self.servers[number].take().expect("it runs").stop().await;
    }

    fn running(&self) -> impl Iterator<Item = (usize, &Handle)> {
        self.servers.iter().enumerate().filter_map(|(number, server)| Some((number, server.as_ref()?)))
    }

    /// Waits until one reigns.
    async fn leader(&self) -> usize {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some((number, _)) = self.running().find(|(_, server)| server.cluster().reign().is_some()) {
                return number;
            }
            assert!(Instant::now() < deadline, "one leads");
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// What people know the cluster by: the CA that a running server believes.
    fn trust(&self) -> Trust {
        let shown =
            self.running().find_map(|(_, server)| server.credentials().filter(|one| one.is_enrolled()));
        Trust::from_pem(&shown.expect("one has enrolled").trust_pem()).unwrap()
    }

    fn channel(&self, number: usize, credentials: Credentials) -> Channel {
        Secured::new(credentials).dial(&self.addrs[number].to_string(), Purpose::Calls).unwrap()
    }

    /// A person's way to a server, once it has enrolled: until then nobody believes it.
    async fn control(&self, number: usize) -> ControlClient<Channel> {
        let credentials =
            self.servers[number].as_ref().expect("it runs").credentials().expect("it has a key");
        let deadline = Instant::now() + PATIENCE;
        while !credentials.is_enrolled() {
            assert!(Instant::now() < deadline, "server {number} enrols");
            sleep(Duration::from_millis(10)).await;
        }
        ControlClient::new(self.channel(number, Credentials::of_person(self.trust())))
    }

    fn request<T>(&self, body: T) -> Request<T> {
        let mut request = Request::new(body);
        let token = self.running().next().expect("one runs").1.token().to_owned();
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        request
    }

    /// Writes a job through a server, as often as nobody leads or the outcome is not known.
    async fn put(&self, number: usize, name: &str) -> v1::PutJobReply {
        let put = v1::PutJobRequest {
            request_id: random_request_id().0.to_be_bytes().to_vec().into(),
            job: Some(proto::wire::job::to_wire(&job(name, 1))),
            ..v1::PutJobRequest::default()
        };
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = match self.control(number).await.put_job(self.request(put.clone())).await {
                Ok(reply) => return reply.into_inner(),
                Err(status) => Error::from(&status),
            };
            let again = matches!(status.kind, ErrorKind::NotLeader | ErrorKind::Unavailable);
            assert!(again && Instant::now() < deadline, "{status:?}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// The names of all jobs, as a server says.
    async fn jobs(&self, number: usize) -> BTreeSet<String> {
        let list = self.control(number).await.list_jobs(self.request(v1::ListJobsRequest::default())).await;
        let list = list.expect("a list").into_inner().json;
        let list: proto::view::JobList = serde_json::from_slice(&list).unwrap();
        list.items.into_iter().map(|job| job.name).collect()
    }

    async fn members(&self, number: usize) -> ServerList {
        self.try_members(number).await.expect("a list")
    }

    /// A server that has not enrolled is not believed.
    async fn try_members(&self, number: usize) -> Result<ServerList, Status> {
        let asked = self.request(v1::ListServersRequest::default());
        let list = self.control(number).await.list_servers(asked).await?;
        Ok(serde_json::from_slice(&list.into_inner().json).unwrap())
    }

    async fn until_members(
        &self,
        number: usize,
        what: &str,
        are_so: impl Fn(&ServerList) -> bool,
    ) -> ServerList {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let members = self.try_members(number).await;
            if let Some(members) = members.as_ref().ok().filter(|members| are_so(members)) {
                return members.clone();
            }
            assert!(Instant::now() < deadline, "{what}: {members:?}");
            sleep(Duration::from_millis(50)).await;
        }
    }
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn three_servers_form_one_cluster_in_any_order_and_every_one_takes_writes_and_shows_them_all() {
    let mut three = Three::planned(3);
    three.start(1, 3).await;
    three.start(2, 3).await;
    sleep(Duration::from_secs(1)).await;
    assert!(
        three.running().all(|(_, server)| server.cluster().raft().members().is_empty()),
        "two of three wait"
    );
    three.start(0, 3).await;
    three.leader().await;
    let mut written = BTreeSet::new();
    for number in 0..3 {
        let name = format!("job{number}");
        assert!(three.put(number, &name).await.changed);
        written.insert(name);
        for reader in 0..3 {
            assert_eq!(three.jobs(reader).await, written, "read at {reader} after a write at {number}");
        }
    }
    let members =
        three.until_members(1, "all are there", |list| list.items.iter().all(|one| one.reachable)).await;
    assert_eq!(members.items.len(), 3);
    assert!(members.items.iter().all(|server| server.voter && server.version.is_some()), "{members:?}");
    assert_eq!(members.items.iter().filter(|server| server.leader).count(), 1);
    let clusters: BTreeSet<_> =
        three.running().map(|(_, server)| server.cluster().snapshot().incarnation).collect();
    assert_eq!(clusters.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_leader_that_stops_hands_over_and_a_restart_changes_nothing() {
    let mut three = Three::formed().await;
    three.put(0, "web").await;
    let leader = three.leader().await;
    let began = Instant::now();
    three.stop(leader).await;
    let stopped = began.elapsed();
    let next = three.leader().await;
    assert_ne!(next, leader);
    let other = (0..3).find(|number| ![leader, next].contains(number)).unwrap();
    assert!(three.put(other, "shop").await.changed);
    assert!(stopped < Duration::from_secs(10), "{stopped:?}");
    three.start(leader, 3).await;
    let members = three.until_members(leader, "it is back", |list| {
        list.items.len() == 3 && list.items.iter().all(|server| server.reachable && server.lag == Some(0))
    });
    assert!(members.await.items.iter().all(|server| server.voter));
    assert_eq!(three.jobs(leader).await, names(&["shop", "web"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_comes_later_is_added_and_votes_and_one_that_was_removed_stays_away() {
    let mut three = Three::planned(4);
    for number in 0..3 {
        three.start(number, 3).await;
    }
    three.put(0, "web").await;
    three.start(3, 0).await;
    let voting = |list: &ServerList| list.items.iter().filter(|server| server.voter).count();
    three.until_members(3, "the fourth votes", |list| voting(list) == 4).await;
    assert!(three.put(3, "shop").await.changed);
    let remove = v1::RemoveServerRequest { server: "s3".into() };
    let removed = three.control(3).await.remove_server(three.request(remove)).await.expect("removed");
    assert!(removed.into_inner().changed);
    three.until_members(0, "three are left", |list| list.items.len() == 3).await;
    three.stop(3).await;
    three.start(3, 0).await;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(three.members(0).await.items.len(), 3, "it does not come back by itself");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_empty_server_takes_the_place_of_one_that_lost_its_disk() {
    let mut three = Three::formed().await;
    three.put(0, "web").await;
    let before = three.members(0).await;
    three.stop(2).await;
    three.dirs[2] = tempfile::tempdir().unwrap();
    three.start(2, 3).await;
    let after = three.until_members(0, "it votes again", |list| {
        list.items.len() == 3 && list.items.iter().all(|server| server.voter && server.reachable)
    });
    let ids = |list: &ServerList| list.items.iter().map(|server| server.id).collect::<Vec<_>>();
    assert_ne!(ids(&before), ids(&after.await));
    assert_eq!(three.jobs(2).await, names(&["web"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_has_another_key_or_none_is_not_heard() {
    let three = Three::formed().await;
    let addr = three.addrs[0].to_string();
    // Its first certificate is of no CA.
    three.control(0).await;
    let stranger = ByKey::new(Keys::new(vec![ClusterKey::generate().unwrap().secret(pki::purpose::PEER)]));
    let refused = greet(stranger.dial(&addr, Purpose::Calls).unwrap(), None).await;
    assert!(refused.message().contains("different key files"), "{refused:?}");
    let token = three.running().next().unwrap().1.token().to_owned();
    for shown in [None, Some(token.as_str())] {
        let refused = greet(three.channel(0, Credentials::of_person(three.trust())), shown).await;
        assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");
        assert!(Error::from(&refused).hint.contains("the same key file"), "{refused:?}");
    }
    let plain = greet(Plain.dial(&addr, Purpose::Calls).unwrap(), Some(&token)).await;
    assert_ne!(plain.code(), Code::PermissionDenied, "without TLS nothing is spoken: {plain:?}");
}

/// Greets a server as nobody in particular, and returns its refusal.
async fn greet(channel: Channel, token: Option<&str>) -> Status {
    let mut request = Request::new(v1::PeerGreeting::default());
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    v1::peer_client::PeerClient::new(channel).greet(request).await.unwrap_err()
}

/// Promise: a server that comes back at another address is reached there, by all others, and the cluster stays as large as it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_whose_address_has_changed_is_reached_at_the_new_one() {
    let mut three = Three::formed().await;
    three.put(0, "web").await;
    let leader = three.leader().await;
    // The one that leads and one that follows, one after the other.
    for number in [leader, (leader + 1) % 3] {
        three.stop(number).await;
        let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        three.addrs[number] = elsewhere;
        three.start(number, 3).await;
        for asked in 0..3 {
            three
                .until_members(asked, "all are there, one of them elsewhere", |list| {
                    list.items.len() == 3
                        && list.items.iter().all(|server| server.reachable && server.voter)
                        && list.items.iter().any(|server| server.address == elsewhere.to_string())
                })
                .await;
        }
        assert!(three.put(number, &format!("after{number}")).await.changed);
    }
    assert_eq!(three.jobs(0).await.len(), 3);
}

/// Promise: a server that is thrown out is no member any more and is refused by the others, once and for all; a leader does not throw itself out, and nobody is
/// thrown out whom the others need.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_is_thrown_out_is_removed_first() {
    let mut three = Three::formed().await;
    three.until_members(0, "all vote", |list| list.items.iter().all(|server| server.voter)).await;
    let leader = three.leader().await;
    let (out, stays) = ((leader + 1) % 3, (leader + 2) % 3);
    let deny = async |three: &Three, name: String| {
        let ask = v1::DenyMemberRequest { member: name, ..v1::DenyMemberRequest::default() };
        let answer = three.control(stays).await.deny_member(three.request(ask)).await;
        answer.map(|reply| reply.into_inner().changed).map_err(|status| Error::from(&status))
    };
    let refused = deny(&three, format!("s{leader}")).await.expect_err("it leads");
    assert!(refused.kind == ErrorKind::Refused && refused.hint.contains("stop it"), "{refused:?}");
    assert_eq!(deny(&three, format!("s{out}")).await, Ok(true));
    assert_eq!(deny(&three, format!("s{out}")).await, Ok(false), "it is out");
    three.until_members(stays, "two are left", |list| list.items.len() == 2).await;
    assert!(three.put(stays, "web").await.changed);
    let refused = deny(&three, "s9".into()).await.expect_err("nobody");
    assert_eq!(refused.kind, ErrorKind::NotFound, "{refused:?}");
    let shown = three.servers[out].as_ref().unwrap().credentials().unwrap().clone();
    let asked = v1::RaftPreVote::default();
    let channel = three.channel(leader, shown);
    v1::raft_client::RaftClient::new(channel).pre_vote(asked).await.expect_err("a stranger");
    three.stop(out).await;
    three.start(out, 3).await;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(three.members(stays).await.items.len(), 2, "it does not come back");
}

/// Promise: the CA is not sealed with a new key while one server has the old one alone, also when that one leads, and at once when it has the new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_new_key_takes_over_when_every_server_has_it() {
    let three = Three::formed().await;
    three.until_members(0, "all vote", |list| list.items.iter().all(|server| server.voter)).await;
    let new = ClusterKey::generate().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !three.running().all(|(_, server)| server.cluster().snapshot().authority.is_some()) {
        assert!(Instant::now() < deadline, "there is a CA, sealed with the only key");
        sleep(Duration::from_millis(20)).await;
    }
    let both = [new.clone(), three.key.clone()];
    let is_sealed_anew = |(_, server): (usize, &Handle)| {
        let state = server.cluster().snapshot();
        server.enrolment.as_ref().unwrap().sealed_with(&state) == Some(new.mark())
    };
    for number in [0, 1] {
        three.servers[number].as_ref().unwrap().rekey(&both);
    }
    sleep(Duration::from_secs(3)).await;
    assert!(!three.running().any(is_sealed_anew), "one has not heard of it");
    three.servers[2].as_ref().unwrap().rekey(&both);
    let deadline = Instant::now() + PATIENCE;
    while !three.running().all(is_sealed_anew) {
        assert!(Instant::now() < deadline, "all have it");
        sleep(Duration::from_millis(50)).await;
    }
    assert!(three.put(0, "web").await.changed);
}

/// Promise: the log of a cluster is open to its servers alone, each by its own certificate: the key, which lets a server greet, does not
/// let it vote.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_log_is_spoken_by_certificates_alone() {
    let three = Three::formed().await;
    let addr = three.addrs[0].to_string();
    let key = ByKey::new(Keys::new(vec![three.key.secret(pki::purpose::PEER)]));
    for channel in
        [key.dial(&addr, Purpose::Log).unwrap(), three.channel(0, Credentials::of_person(three.trust()))]
    {
        let asked = v1::RaftPreVote::default();
        let refused = v1::raft_client::RaftClient::new(channel).pre_vote(asked).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");
    }
}

/// Promise: three servers that had nothing but the key end with certificates of one CA, which is in the state and nowhere else in the clear, and a
/// restart finds them as they were.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn servers_enrol_by_the_key_once_and_keep_their_certificates() {
    let mut three = Three::formed().await;
    three.put(0, "web").await;
    let deadline = Instant::now() + PATIENCE;
    let settled = |three: &Three| {
        three.running().all(|(number, server)| {
            let in_state = server.cluster().snapshot().authority.is_some();
            in_state && !three.dirs[number].path().join("authority.pem").exists()
        })
    };
    while !settled(&three) {
        assert!(Instant::now() < deadline, "the CA is in every state, and in no directory");
        sleep(Duration::from_millis(20)).await;
    }
    let pems: BTreeSet<_> =
        three.running().map(|(_, server)| server.credentials().unwrap().trust_pem()).collect();
    assert_eq!(pems.len(), 1, "one CA");
    for (number, server) in three.running() {
        let shown = server.credentials().unwrap().identity().unwrap().member;
        assert_eq!((shown.role, shown.name), (Role::Server, format!("s{number}")));
        let mode = std::fs::metadata(three.dirs[number].path().join("member.pem")).unwrap().permissions();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o600);
    }
    let kept = |three: &Three| std::fs::read_to_string(three.dirs[1].path().join("member.pem")).unwrap();
    let before = kept(&three);
    three.stop(1).await;
    three.start(1, 3).await;
    three.until_members(1, "it is back", |list| list.items.iter().all(|server| server.reachable)).await;
    assert_eq!(kept(&three), before);
}

#[tokio::test]
async fn several_servers_without_a_key_do_not_start() {
    let dir = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = Config { join: vec!["127.0.0.1:1".into()], ..Config::new(dir.path(), "s1", listener) };
    let refused = start(config).await.err().expect("refused").to_string();
    assert!(refused.contains("`minijob operator key FILE`"), "{refused}");
    assert!(!Path::new(dir.path()).join("server_id").exists(), "and touches nothing");
}
