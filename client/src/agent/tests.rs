//! Whole allocations on a driver that plays scripts, with time that passes only when nothing else is left to do.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use proto::ids::{Incarnation, Revision};
use proto::model::{
    AllocState, AllocStatus, EndReason, Interval, JobType, TaskPhase, TaskStatus, Volume, VolumeSource,
};
use proto::time::BootTime;
use tokio::time::Instant;

use super::*;
use crate::allocs::manager::Followed;
use crate::core::assignments::{Order, Position, Wanted};
use crate::core::spec::Spec;
use crate::core::spec::tests::spec;
use crate::driver::mock::Mock;
use crate::driver::{self, AttemptId, BoxFuture, Ends, Known, Reply, StartFailure, StartSpec, Started};

mod fences;
mod leftovers;
mod lifecycle;

const CLUSTER: Incarnation = Incarnation(77);
/// No state takes longer to come than this, of the runtime's time.
const PATIENCE: Duration = Duration::from_secs(3600);

/// The mock, which can be made to list nothing.
struct Lossy(Mock, Arc<AtomicBool>);

impl Driver for Lossy {
    fn start(&self, spec: StartSpec) -> BoxFuture<'_, Reply<Started, StartFailure>> {
        self.0.start(spec)
    }
    fn signal(&self, id: AttemptId, signal: i32) -> BoxFuture<'_, Reply<()>> {
        self.0.signal(id, signal)
    }
    fn stop(&self, id: AttemptId, signal: i32, timeout: Duration) -> BoxFuture<'_, Reply<()>> {
        self.0.stop(id, signal, timeout)
    }
    fn list(&self) -> BoxFuture<'_, Result<Vec<Known>, driver::Gone>> {
        if self.1.load(Ordering::Relaxed) { Box::pin(async { Ok(Vec::new()) }) } else { self.0.list() }
    }
    fn ends(&self) -> Ends {
        self.0.ends()
    }
    fn collect(&self, id: AttemptId) -> BoxFuture<'_, Reply<()>> {
        self.0.collect(id)
    }
    fn set_deadline(&self, id: AttemptId, boot_ms: Option<u64>) -> BoxFuture<'_, Reply<()>> {
        self.0.set_deadline(id, boot_ms)
    }
    fn stats(&self, id: AttemptId) -> BoxFuture<'_, Reply<driver::Usage>> {
        self.0.stats(id)
    }
}

struct Rig {
    /// The boot of the machine: the agent may begin anew, its clock does not.
    clock: Clock,
    dir: tempfile::TempDir,
    mock: Mock,
    lists_nothing: Arc<AtomicBool>,
    /// Bytes that are free on its disk.
    free: Arc<AtomicU64>,
    agent: Option<Handle>,
    revision: u64,
}

impl Rig {
    async fn new() -> Self {
        Self::with_clock(Clock::Runtime { start: Instant::now() }).await
    }

    async fn with_clock(clock: Clock) -> Self {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let (mock, lists_nothing) = (Mock::default(), Arc::default());
        let mut rig = Self {
            clock,
            dir,
            mock,
            lists_nothing,
            free: Arc::new(AtomicU64::new(1 << 40)),
            agent: None,
            revision: 10,
        };
        rig.start().await;
        rig
    }

    async fn start(&mut self) {
        let config = Config {
            default_user: DefaultUser::SameAsAgent,
            clock: self.clock,
            gauge: Gauge::Set(self.free.clone()),
            ..Config::new(self.dir.path().to_owned())
        };
        let driver = Lossy(self.mock.clone(), self.lists_nothing.clone());
        self.agent = Some(Agent::start(config, Arc::new(driver)).await.expect("it starts"));
    }

    async fn stop(&mut self) {
        self.agent.take().expect("it runs").stop().await;
    }

    fn manager(&self) -> &manager::Handle {
        &self.agent.as_ref().expect("it runs").manager
    }

    /// Gives orders as servers with a newer state would.
    async fn order(&mut self, orders: Vec<(u64, Order)>, released: Vec<u64>) {
        self.order_part(orders, released, false).await;
    }

    async fn order_part(&mut self, orders: Vec<(u64, Order)>, released: Vec<u64>, more: bool) {
        self.revision += 1;
        let position =
            Position { incarnation: CLUSTER, reign: Revision(1), revision: Revision(self.revision) };
        self.manager().greet(position, None).await.expect("it runs").expect("they are ours");
        let wanted = Wanted {
            position,
            base: None,
            more,
            orders: orders.into_iter().map(|(id, order)| (AllocId(id), order)).collect(),
            released: released.into_iter().map(AllocId).collect(),
        };
        let followed = self.manager().follow(wanted, None).await.expect("it runs");
        assert!(matches!(followed, Followed::Base(_)), "{followed:?}");
    }

    async fn run(&mut self, id: u64, spec: Spec) {
        self.order(vec![(id, Order::Run(Box::new(spec)))], vec![]).await;
    }

    async fn until(&self, id: u64, what: &str, holds: impl Fn(&AllocStatus) -> bool) -> AllocStatus {
        let watched = self.manager().watch(AllocId(id)).await.expect("it runs");
        let mut watched = watched.unwrap_or_else(|| panic!("allocation {id} is not here ({what})"));
        let found = async {
            watched.wait_for(|view| holds(&view.status)).await.expect("it is watched").status.clone()
        };
        if let Ok(status) = tokio::time::timeout(PATIENCE, found).await {
            return status;
        }
        panic!("never {what}: {:?}", watched.borrow().status)
    }

    async fn until_ended(&self, id: u64) -> AllocStatus {
        self.until(id, "ended", |status| status.state.has_ended()).await
    }

    /// Waits until the driver has nothing left of an allocation.
    async fn until_forgotten(&self, id: u64) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let held = self.mock.list().await.expect("it answers");
            if !held.iter().any(|known| known.id.alloc == id) {
                return;
            }
            assert!(Instant::now() < deadline, "the driver still holds {held:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn attempts(&self) -> Vec<u32> {
        self.mock.starts().into_iter().map(|start| start.id.attempt).collect()
    }
}

/// A spec whose tasks play these scripts.
fn scripted(kind: JobType, scripts: &[(&str, &str)]) -> Spec {
    let names: Vec<&str> = scripts.iter().map(|(name, _)| *name).collect();
    let mut spec = spec(kind, &names);
    for (name, script) in scripts {
        let task = spec.group.tasks.get_mut(*name).expect("it is there");
        task.process.args = vec![(*script).to_owned()];
    }
    spec
}

fn with_attempts(attempts: u32, mut spec: Spec) -> Spec {
    spec.group.restart.attempts = Some(attempts);
    spec
}

fn task<'a>(status: &'a AllocStatus, name: &str) -> &'a TaskStatus {
    status.tasks.iter().find(|task| task.name == name).expect("it is there")
}

fn reason(status: &AllocStatus, name: &str) -> Option<EndReason> {
    task(status, name).last_end.as_ref().map(|end| end.reason.clone())
}

#[tokio::test(start_paused = true)]
async fn a_service_is_tried_four_times_and_then_given_up() {
    let mut rig = Rig::new().await;
    rig.run(1, scripted(JobType::Service, &[("web", "run 50ms; print no database; exit 3")])).await;
    let waiting = rig
        .until(1, "between two tries", |status| {
            matches!(task(status, "web").phase, TaskPhase::Backoff(_)) && task(status, "web").attempt == 1
        })
        .await;
    assert_eq!(waiting.state, AllocState::Running, "a task between two tries counts as running");
    assert_eq!((task(&waiting, "web").window_try, task(&waiting, "web").window_tries), (2, Some(4)));

    let status = rig.until_ended(1).await;
    assert_eq!(status.state, AllocState::Failed);
    assert_eq!(reason(&status, "web"), Some(EndReason::Exit(3)));
    assert_eq!(task(&status, "web").last_end.as_ref().map(|end| end.tail.trim()), Some("no database"));
    assert_eq!(rig.attempts(), [1, 2, 3, 4]);
    rig.until_forgotten(1).await;
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_complete_with_exit_0_and_failed_with_7() {
    let mut rig = Rig::new().await;
    rig.run(1, scripted(JobType::Batch, &[("work", "run 1s; print done; exit 0")])).await;
    rig.run(2, with_attempts(0, scripted(JobType::Batch, &[("work", "run 1s; print why; exit 7")]))).await;
    let complete = rig.until_ended(1).await;
    assert_eq!(complete.state, AllocState::Complete);
    assert_eq!(task(&complete, "work").last_end.as_ref().map(|end| end.tail.as_str()), Some(""));
    let failed = rig.until_ended(2).await;
    assert_eq!((failed.state, reason(&failed, "work")), (AllocState::Failed, Some(EndReason::Exit(7))));
}

#[tokio::test(start_paused = true)]
async fn a_missing_program_fails_at_once_by_its_name() {
    let mut rig = Rig::new().await;
    rig.run(1, scripted(JobType::Service, &[("web", "fail-start ENOENT")])).await;
    let status = rig.until_ended(1).await;
    assert_eq!(status.state, AllocState::Failed);
    let Some(EndReason::StartFailed { message, .. }) = reason(&status, "web") else { panic!("{status:?}") };
    assert!(message.contains("/bin/true"), "{message}");
    assert_eq!(rig.attempts(), [1], "no spinning");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_user_fails_at_once_by_its_name() {
    let mut rig = Rig::new().await;
    let mut spec = scripted(JobType::Service, &[("web", "run forever")]);
    spec.group.tasks.get_mut("web").expect("it is there").process.user = Some("no-such-user-here".into());
    rig.run(1, spec).await;
    let status = rig.until_ended(1).await;
    let Some(EndReason::StartFailed { step, message, .. }) = reason(&status, "web") else {
        panic!("{status:?}")
    };
    assert_eq!((step.as_str(), message.contains("no-such-user-here")), ("user", true));
    assert_eq!(rig.attempts(), [0u32; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_volume_that_the_node_does_not_have_fails_at_once_and_says_what_to_add() {
    let mut rig = Rig::new().await;
    let mut spec = scripted(JobType::Service, &[("web", "run forever")]);
    let volume = Volume { source: VolumeSource::Host("pg".into()), read_only: false };
    spec.group.volumes.insert("data".into(), volume);
    rig.run(1, spec.clone()).await;
    let status = rig.until_ended(1).await;
    let Some(EndReason::StartFailed { step, message, .. }) = reason(&status, "web") else {
        panic!("{status:?}")
    };
    assert_eq!((step.as_str(), message.contains("volumes: {pg: ")), ("volume", true), "{message}");
    let mut config = Config::new(rig.dir.path().to_owned());
    config.default_user = DefaultUser::SameAsAgent;
    config.volumes.named.insert("pg".into(), rig.dir.path().to_owned());
    rig.agent.as_ref().expect("it runs").adopt(&config);
    rig.run(2, spec).await;
    rig.until(2, "running", |status| status.state == AllocState::Running).await;
}

#[tokio::test(start_paused = true)]
async fn a_task_that_ignores_the_signal_is_killed_and_counts_as_stopped() {
    let mut rig = Rig::new().await;
    rig.run(1, scripted(JobType::Service, &[("web", "ignore-term; run forever")])).await;
    rig.until(1, "running", |status| status.state == AllocState::Running).await;
    let before = Instant::now();
    rig.order(vec![(1, Order::Stop)], vec![]).await;
    let status = rig.until_ended(1).await;
    assert_eq!((status.state, reason(&status, "web")), (AllocState::Stopped, Some(EndReason::Stopped)));
    assert!(before.elapsed() >= Duration::from_secs(5), "it had its stop_timeout");
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(rig.attempts(), [1], "what was stopped never starts again");
}

#[tokio::test(start_paused = true)]
async fn a_failed_task_takes_its_siblings_with_it() {
    let mut rig = Rig::new().await;
    let spec = scripted(JobType::Service, &[("shipper", "run forever"), ("web", "run 1s; exit 1")]);
    rig.run(1, with_attempts(0, spec)).await;
    let status = rig.until_ended(1).await;
    assert_eq!(status.state, AllocState::Failed);
    assert_eq!(reason(&status, "shipper"), Some(EndReason::Stopped));
    assert_eq!(reason(&status, "web"), Some(EndReason::Exit(1)));
}

#[tokio::test(start_paused = true)]
async fn the_agents_restart_touches_no_task_and_misses_no_end() {
    let mut rig = Rig::new().await;
    rig.run(1, scripted(JobType::Service, &[("web", "run forever")])).await;
    rig.run(2, scripted(JobType::Batch, &[("work", "run 60s; exit 0")])).await;
    for id in [1, 2] {
        rig.until(id, "running", |status| status.state == AllocState::Running).await;
    }
    let pid = task(&rig.until(1, "here", |_| true).await, "web").pid;
    rig.stop().await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    rig.start().await;
    let found = rig.until(1, "running", |status| status.state == AllocState::Running).await;
    assert_eq!(task(&found, "web").pid, pid);
    let ended = rig.until_ended(2).await;
    assert_eq!(ended.state, AllocState::Complete);
    assert_eq!(task(&ended, "work").last_end.as_ref().map(|end| end.ran), Some(Duration::from_secs(60)));
    assert_eq!(rig.attempts(), [1, 1], "nothing was started again");
}

#[tokio::test(start_paused = true)]
async fn a_kill_between_the_saved_number_and_the_start_runs_one_attempt() {
    let mut rig = Rig::new().await;
    rig.mock.set_away(true);
    rig.run(1, scripted(JobType::Service, &[("web", "run forever")])).await;
    rig.until(1, "starting", |status| task(status, "web").attempt == 1).await;
    rig.stop().await;
    rig.mock.set_away(false);
    rig.start().await;
    rig.until(1, "running", |status| status.state == AllocState::Running).await;
    assert_eq!(rig.attempts(), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_while_the_driver_is_away_starts_nothing_later() {
    let mut rig = Rig::new().await;
    rig.mock.set_away(true);
    rig.run(1, scripted(JobType::Service, &[("web", "run forever")])).await;
    rig.until(1, "starting", |status| task(status, "web").attempt == 1).await;
    rig.order(vec![(1, Order::Stop)], vec![]).await;
    rig.until(1, "stopping", |status| status.state == AllocState::Stopping).await;
    rig.mock.set_away(false);
    let status = rig.until_ended(1).await;
    assert_eq!(status.state, AllocState::Stopped);
    assert_eq!(rig.attempts(), [0u32; 0]);
}

/// `down` ends what runs after the agent is gone.
#[tokio::test(start_paused = true)]
async fn another_agent_without_servers_ends_all_that_it_finds() {
    let mut rig = Rig::new().await;
    rig.run(1, scripted(JobType::Service, &[("web", "run forever")])).await;
    rig.until(1, "running", |status| status.state == AllocState::Running).await;
    rig.stop().await;
    rig.start().await;
    rig.agent.as_ref().expect("it runs").stop_tasks().await.expect("it runs");
    let status = rig.until_ended(1).await;
    assert_eq!((status.state, reason(&status, "web")), (AllocState::Stopped, Some(EndReason::Stopped)));
    assert_eq!(rig.attempts(), [1], "nothing is started again");
}

#[tokio::test(start_paused = true)]
async fn an_order_to_stop_survives_the_agents_death() {
    let mut rig = Rig::new().await;
    let spec = scripted(JobType::Service, &[("a", "ignore-term; run forever"), ("b", "run forever")]);
    rig.run(1, spec).await;
    rig.until(1, "running", |status| status.state == AllocState::Running).await;
    rig.order(vec![(1, Order::Stop)], vec![]).await;
    rig.until(1, "stopping", |status| status.state == AllocState::Stopping).await;
    rig.stop().await;
    rig.start().await;
    assert_eq!(rig.until_ended(1).await.state, AllocState::Stopped);
    assert_eq!(rig.attempts(), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn after_a_reboot_nothing_starts_before_servers_have_said_what_they_want() {
    let mut rig = Rig::new().await;
    for id in [1, 2] {
        rig.run(id, scripted(JobType::Service, &[("web", "run forever")])).await;
        rig.until(id, "running", |status| status.state == AllocState::Running).await;
    }
    rig.stop().await;
    // Another boot: no process is left, and the records are of the one before.
    {
        let dir = Arc::new(DataDir::open(rig.dir.path()).expect("it is free"));
        let store = Allocs::new(dir);
        for mut record in store.load(proto::time::now()).expect("it loads").records {
            record.boot_id = "the boot before".into();
            store.save(&record).expect("it is saved");
        }
    }
    rig.mock = Mock::default();
    rig.start().await;
    for id in [1, 2] {
        rig.until(id, "about to start", |status| task(status, "web").attempt == 2).await;
    }
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(rig.attempts(), [0u32; 0], "nobody said that it may");

    rig.order_part(vec![], vec![], true).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(rig.attempts(), [0u32; 0], "half of a set does not say everything");

    rig.order(vec![(2, Order::Stop)], vec![]).await;
    rig.until(1, "running again", |status| task(status, "web").phase == TaskPhase::Running).await;
    let first = rig.until(1, "here", |_| true).await;
    assert_eq!(reason(&first, "web"), Some(EndReason::EngineGone));
    assert_eq!(rig.until_ended(2).await.state, AllocState::Stopped);
    assert_eq!(rig.attempts(), [2], "what was ordered to stop did not start first");
}

#[tokio::test(start_paused = true)]
async fn without_a_saved_number_nothing_starts_and_room_on_the_disk_heals_it() {
    let mut rig = Rig::new().await;
    // A file where the folder should be: no record can be written.
    let in_the_way = rig.dir.path().join("allocs").join(AllocId(1).to_string());
    std::fs::write(&in_the_way, "").expect("it is written");
    rig.run(1, scripted(JobType::Service, &[("web", "run forever")])).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(rig.attempts(), [0u32; 0]);
    std::fs::remove_file(&in_the_way).expect("it goes");
    rig.until(1, "running", |status| status.state == AllocState::Running).await;
    assert_eq!(rig.attempts(), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_stays_full_is_a_start_that_failed_and_the_policy_decides() {
    let mut rig = Rig::new().await;
    let in_the_way = rig.dir.path().join("allocs").join(AllocId(1).to_string());
    std::fs::write(&in_the_way, "").expect("it is written");
    rig.run(1, with_attempts(2, scripted(JobType::Service, &[("web", "run forever")]))).await;
    let status = rig.until_ended(1).await;
    assert_eq!(status.state, AllocState::Failed);
    let Some(EndReason::StartFailed { step, errno, message }) = reason(&status, "web") else {
        panic!("{status:?}")
    };
    assert_eq!((step.as_str(), task(&status, "web").attempt), ("save", 3));
    assert!(errno != 0 && message.contains("cannot write"), "{errno} {message}");
    assert_eq!(rig.attempts(), [0u32; 0], "what is not on disk is not started");
}

#[tokio::test(start_paused = true)]
async fn a_running_task_that_the_driver_lost_is_noticed_and_started_again() {
    let mut rig = Rig::new().await;
    rig.run(1, scripted(JobType::Service, &[("web", "run forever")])).await;
    rig.until(1, "running", |status| status.state == AllocState::Running).await;
    rig.lists_nothing.store(true, Ordering::Relaxed);
    let lost = rig.until(1, "noticed", |status| task(status, "web").last_end.is_some()).await;
    assert_eq!(reason(&lost, "web"), Some(EndReason::EngineGone));
    rig.lists_nothing.store(false, Ordering::Relaxed);
    rig.until(1, "running again", |status| {
        task(status, "web").attempt == 2 && task(status, "web").phase == TaskPhase::Running
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn dev_stops_everything_it_started() {
    let mut rig = Rig::new().await;
    for id in 1..=3 {
        rig.run(id, scripted(JobType::Service, &[("web", "run forever")])).await;
        rig.until(id, "running", |status| status.state == AllocState::Running).await;
    }
    rig.agent.as_ref().expect("it runs").stop_tasks().await.expect("it runs");
    let status = rig.agent.as_ref().expect("it runs").status().await.expect("it runs");
    assert!(status.allocs.values().all(|view| view.status.state == AllocState::Stopped), "{status:?}");
    rig.run(4, scripted(JobType::Service, &[("web", "run forever")])).await;
    assert_eq!(rig.attempts(), [1, 1, 1], "nothing is begun while all is being stopped");
}

#[tokio::test(start_paused = true)]
async fn logs_outlive_an_allocation_by_a_day_and_no_more() {
    let mut rig = Rig::new().await;
    rig.run(1, scripted(JobType::Batch, &[("work", "exit 0")])).await;
    rig.until_ended(1).await;
    let folder = rig.dir.path().join("allocs").join(AllocId(1).to_string());
    rig.until_forgotten(1).await;
    tokio::time::sleep(proto::model::LogPolicy::DEFAULT_RETAIN * 2).await;
    assert!(folder.is_dir(), "nobody released it");

    rig.order(vec![], vec![1]).await;
    let registration = rig.manager().registration().await.expect("it runs");
    tokio::time::sleep(proto::model::LogPolicy::DEFAULT_RETAIN / 2).await;
    assert!(folder.is_dir(), "its time is not over");
    tokio::time::sleep(proto::model::LogPolicy::DEFAULT_RETAIN).await;
    assert!(!folder.exists(), "its time is over");
    drop(registration);
    assert!(rig.manager().registration().await.expect("it runs").held.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_order_to_stop_what_was_never_here_is_answered_with_its_end() {
    let mut rig = Rig::new().await;
    rig.order(vec![(9, Order::Stop)], vec![]).await;
    let outbox = rig.agent.as_ref().expect("it runs").outbox.clone();
    let told = tokio::time::timeout(PATIENCE, outbox.changed()).await;
    assert!(told.is_ok(), "nobody was told");
    let batch = outbox.take(1, BootTime(0)).expect("it is there");
    assert_eq!((batch.statuses[0].id, batch.statuses[0].state()), (9, proto::wire::v1::AllocState::Stopped));
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_never_gives_up_keeps_its_pace() {
    let mut rig = Rig::new().await;
    let mut spec = scripted(JobType::Service, &[("web", "exit 1")]);
    spec.group.restart.attempts = None;
    spec.group.restart.interval = Interval::Forever;
    spec.group.restart.max_delay = Duration::from_secs(60);
    rig.run(1, spec).await;
    let before = Instant::now();
    let status = rig.until(1, "fifty tries", |status| task(status, "web").attempt == 50).await;
    assert_eq!(task(&status, "web").window_tries, None);
    // 1 + 2 + 4 + 8 + 16 + 32 s, then a minute each.
    assert_eq!(before.elapsed().as_secs(), 63 + 43 * 60);
}

#[tokio::test(start_paused = true)]
async fn on_a_full_disk_the_oldest_ended_allocation_loses_its_logs_first() {
    let mut rig = Rig::new().await;
    let path = |rig: &Rig, id: u64| rig.dir.path().join("allocs").join(AllocId(id).to_string());
    for id in 1..=12 {
        rig.run(id, scripted(JobType::Batch, &[("work", "run 1s")])).await;
        rig.until_ended(id).await;
        rig.until_forgotten(id).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    rig.run(13, scripted(JobType::Service, &[("web", "run forever")])).await;
    rig.until(13, "running", |status| status.state == AllocState::Running).await;
    rig.order(vec![], vec![1]).await;
    let logs = |rig: &Rig| (1..=13).filter(|id| path(rig, *id).join("logs").is_dir()).collect::<Vec<u64>>();
    assert_eq!(logs(&rig), (1..=13).collect::<Vec<u64>>());

    rig.free.store(1000, Ordering::Relaxed);
    let deadline = Instant::now() + PATIENCE;
    while logs(&rig) != [11, 12, 13] {
        assert!(Instant::now() < deadline, "{:?}", logs(&rig));
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    rig.free.store(1 << 40, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(logs(&rig), [11, 12, 13], "there is room again");
    assert!(!path(&rig, 1).exists(), "servers know its end");
    assert!(path(&rig, 2).join("record").is_file(), "servers have still to learn its end");
    rig.free.store(0, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(logs(&rig), [13], "what runs keeps its logs");
}

/// Makes the position unwritable, for root as well.
fn block_position(rig: &Rig) -> std::path::PathBuf {
    let path = rig.dir.path().join("position");
    std::fs::remove_file(&path).expect("a position was remembered");
    std::fs::create_dir(&path).expect("its place is free");
    path
}

async fn until_position_is_a_file(path: &std::path::Path) {
    let deadline = Instant::now() + PATIENCE;
    while !path.is_file() {
        assert!(Instant::now() < deadline, "the position was never written again");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_refuses_the_position_keeps_nothing_from_being_stopped() {
    let mut rig = Rig::new().await;
    rig.run(1, scripted(JobType::Service, &[("web", "run 1000s")])).await;
    rig.until(1, "running", |status| status.state == AllocState::Running).await;
    let path = block_position(&rig);
    rig.order(vec![(1, Order::Stop)], vec![]).await;
    assert_eq!(rig.until_ended(1).await.state, AllocState::Stopped);

    // Older servers stay unheard, although only memory knows that they are older.
    let older = Position { incarnation: CLUSTER, reign: Revision(1), revision: Revision(rig.revision - 1) };
    rig.manager().greet(older, None).await.expect("it runs").expect("they are ours");
    let wanted =
        Wanted { position: older, base: None, more: false, orders: BTreeMap::new(), released: [].into() };
    let followed = rig.manager().follow(wanted, None).await.expect("it runs");
    assert!(matches!(followed, Followed::AskComplete), "{followed:?}");

    // What the disk refused is written by itself once it takes it, and outlives the agent.
    std::fs::remove_dir(&path).expect("it is empty");
    until_position_is_a_file(&path).await;
    rig.stop().await;
    let dir = DataDir::open(rig.dir.path()).expect("nobody has it");
    let newest = position::load(&dir).expect("it is read").expect("it is there");
    assert_eq!(newest.revision, Revision(rig.revision));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_here_is_reported_stopped_only_once_the_order_is_durable() {
    let mut rig = Rig::new().await;
    rig.order(vec![], vec![]).await;
    let path = block_position(&rig);
    rig.order(vec![(7, Order::Stop)], vec![]).await;
    rig.order(vec![(7, Order::Stop)], vec![]).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let unreported = rig.agent.as_ref().expect("it runs").status().await.expect("it runs").unreported;
    assert_eq!(unreported, 0, "an older order to run it could be obeyed after a restart");

    std::fs::remove_dir(&path).expect("it is empty");
    until_position_is_a_file(&path).await;
    let deadline = Instant::now() + PATIENCE;
    while rig.agent.as_ref().expect("it runs").status().await.expect("it runs").unreported != 1 {
        assert!(Instant::now() < deadline, "the end was never reported");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
