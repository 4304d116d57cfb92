//! The order of tasks inside of an allocation, also when the agent is away for part of it.

use proto::model::{Lifecycle, RestartOn};

use super::*;

const PRESTART: Lifecycle = Lifecycle::Prestart { sidecar: false };
const PROXY: Lifecycle = Lifecycle::Prestart { sidecar: true };
const POSTSTART: Lifecycle = Lifecycle::Poststart { sidecar: false };

/// A spec of tasks with scripts and hooks.
fn hooked(kind: JobType, tasks: &[(&str, Lifecycle, &str)]) -> Spec {
    let scripts: Vec<(&str, &str)> = tasks.iter().map(|(name, _, script)| (*name, *script)).collect();
    let mut spec = scripted(kind, &scripts);
    for (name, lifecycle, _) in tasks {
        spec.group.tasks.get_mut(*name).expect("it is there").lifecycle = *lifecycle;
    }
    spec
}

impl Rig {
    /// The tasks in the order in which the driver was asked for them; the first two begin together.
    fn started(&self) -> Vec<String> {
        let mut tasks: Vec<String> = self.mock.starts().into_iter().map(|start| start.id.task).collect();
        tasks[..2].sort();
        tasks
    }

    /// The agent is away for a while.
    async fn away(&mut self, seconds: u64) {
        self.stop().await;
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        self.start().await;
    }

    async fn until_task(&self, name: &str, phase: TaskPhase) -> AllocStatus {
        self.until(1, name, |status| task(status, name).phase == phase).await
    }
}

#[tokio::test(start_paused = true)]
async fn prestart_finishes_before_main_starts_and_poststop_runs_after_it() {
    let mut rig = Rig::new().await;
    let spec = hooked(
        JobType::Batch,
        &[
            ("after", POSTSTART, "run 1s"),
            ("before", PRESTART, "run 20s"),
            ("proxy", PROXY, "run forever"),
            ("sweep", Lifecycle::Poststop, "run 2s"),
            ("work", Lifecycle::Main, "run 30s"),
        ],
    );
    let began = Instant::now();
    rig.run(1, spec).await;
    rig.until(1, "running", |status| status.state == AllocState::Running).await;
    assert_eq!(began.elapsed().as_secs(), 20);
    let status = rig.until_ended(1).await;
    assert_eq!(status.state, AllocState::Complete);
    assert_eq!(rig.started(), ["before", "proxy", "work", "after", "sweep"]);
    assert_eq!(reason(&status, "proxy"), Some(EndReason::Stopped));
    assert_eq!(began.elapsed().as_secs(), 52, "one after the other");
    rig.until_forgotten(1).await;
}

#[tokio::test(start_paused = true)]
async fn the_order_holds_when_the_agent_is_away_for_every_change_of_turns() {
    let mut rig = Rig::new().await;
    let spec = hooked(
        JobType::Batch,
        &[
            ("before", PRESTART, "run 20s"),
            ("proxy", PROXY, "run forever"),
            ("sweep", Lifecycle::Poststop, "run 20s"),
            ("work", Lifecycle::Main, "run 20s"),
        ],
    );
    rig.run(1, spec).await;
    rig.until_task("before", TaskPhase::Running).await;
    rig.away(30).await;
    rig.until_task("work", TaskPhase::Running).await;
    rig.away(30).await;
    rig.until_task("sweep", TaskPhase::Running).await;
    rig.away(30).await;
    assert_eq!(rig.until_ended(1).await.state, AllocState::Complete);
    assert_eq!(rig.started(), ["before", "proxy", "work", "sweep"], "each once");
    rig.until_forgotten(1).await;
}

#[tokio::test(start_paused = true)]
async fn poststop_runs_even_after_a_failure_and_does_not_change_it() {
    let mut rig = Rig::new().await;
    let tasks =
        [("sweep", Lifecycle::Poststop, "run 1s; exit 3"), ("web", Lifecycle::Main, "run 1s; exit 7")];
    rig.run(1, with_attempts(0, hooked(JobType::Service, &tasks))).await;
    let status = rig.until_ended(1).await;
    assert_eq!((status.state, reason(&status, "web")), (AllocState::Failed, Some(EndReason::Exit(7))));
    assert_eq!(reason(&status, "sweep"), Some(EndReason::Exit(3)));
    rig.run(2, with_attempts(0, hooked(JobType::Batch, &[tasks[0], ("web", Lifecycle::Main, "run 1s")])))
        .await;
    assert_eq!(rig.until_ended(2).await.state, AllocState::Complete, "work that is done is done");
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_main_then_sidecars_then_runs_poststop_which_cannot_hang_for_ever() {
    let mut rig = Rig::new().await;
    let tasks = [
        ("proxy", PROXY, "run forever"),
        ("sweep", Lifecycle::Poststop, "ignore-term; run forever"),
        ("web", Lifecycle::Main, "ignore-term; run forever"),
    ];
    rig.run(1, hooked(JobType::Service, &tasks)).await;
    rig.until(1, "running", |status| status.state == AllocState::Running).await;
    rig.order(vec![(1, Order::Stop)], vec![]).await;
    let stopping = rig.until_task("web", TaskPhase::Stopping).await;
    assert_eq!(task(&stopping, "proxy").phase, TaskPhase::Running, "it lives as long as the main task does");
    rig.until_task("sweep", TaskPhase::Running).await;
    let began = Instant::now();
    rig.away(100).await;
    let status = rig.until_ended(1).await;
    assert_eq!((status.state, reason(&status, "sweep")), (AllocState::Stopped, Some(EndReason::Stopped)));
    let took = began.elapsed().as_secs();
    assert!((305..=311).contains(&took), "it had 5 min and its stop_timeout twice, not {took} s");
}

#[tokio::test(start_paused = true)]
async fn a_critical_task_that_ends_for_good_takes_its_siblings_with_it() {
    let mut rig = Rig::new().await;
    for (id, script, state) in
        [(1, "run 5s", AllocState::Complete), (2, "run 5s; exit 4", AllocState::Failed)]
    {
        let tasks = [("main", Lifecycle::Main, script), ("side", Lifecycle::Main, "run forever")];
        let mut spec = with_attempts(0, hooked(JobType::Batch, &tasks));
        spec.group.tasks.get_mut("main").expect("it is there").critical = true;
        rig.run(id, spec).await;
        let status = rig.until_ended(id).await;
        assert_eq!((status.state, reason(&status, "side")), (state, Some(EndReason::Stopped)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_runs_too_long_has_failed_by_timeout_also_when_the_agent_was_away() {
    for away in [false, true] {
        let mut rig = Rig::new().await;
        let mut spec = hooked(JobType::Batch, &[("work", Lifecycle::Main, "run 1000s")]);
        spec.group.max_run = Some(Duration::from_secs(60));
        rig.run(1, spec).await;
        rig.until_task("work", TaskPhase::Running).await;
        let began = Instant::now();
        if away {
            rig.away(40).await;
        }
        let status = rig.until_ended(1).await;
        assert_eq!((status.state, reason(&status, "work")), (AllocState::Failed, Some(EndReason::Timeout)));
        assert_eq!(began.elapsed().as_secs(), 60);
        assert_eq!(rig.attempts(), [1]);
    }
}

#[tokio::test(start_paused = true)]
async fn where_only_failures_are_restarted_a_service_that_exits_with_0_is_complete() {
    let mut rig = Rig::new().await;
    let mut spec = scripted(JobType::Service, &[("web", "run 1s")]);
    spec.group.restart.on = RestartOn::Failure;
    rig.run(1, spec).await;
    assert_eq!(rig.until_ended(1).await.state, AllocState::Complete);

    let mut spec = scripted(JobType::Service, &[("web", "run 1s; exit 1")]);
    spec.group.restart.on = RestartOn::Never;
    rig.run(2, spec).await;
    let status = rig.until_ended(2).await;
    assert_eq!((status.state, reason(&status, "web")), (AllocState::Failed, Some(EndReason::Exit(1))));
    assert_eq!((rig.attempts(), task(&status, "web").window_tries), (vec![1, 1], Some(1)));
}
