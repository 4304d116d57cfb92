//! What has a fence starts with a deadline, lives on what servers confirm, and ends for good without it.

use proto::model::Lifecycle;
use proto::time::{BootTime, boottime};

use super::*;
use crate::core::spec::Fence;

const AFTER: Duration = Duration::from_secs(2);

fn fenced(scripts: &[(&str, &str)]) -> Spec {
    let mut spec = scripted(JobType::Service, scripts);
    spec.fence = Some(Fence { after: AFTER, token: 42 });
    spec.group.tasks.values_mut().for_each(|task| task.stop_timeout = Duration::ZERO);
    spec
}

impl Rig {
    async fn confirm(&self, sent: BootTime) {
        self.manager().confirmed(sent).await.expect("it runs");
    }
}

async fn some_time() {
    tokio::time::sleep(Duration::from_millis(200)).await;
}

#[tokio::test]
async fn what_has_a_fence_waits_for_the_servers_and_ends_without_them() {
    let mut rig = Rig::with_clock(Clock::Machine).await;
    let mut spec = fenced(&[("sweep", "run 10ms"), ("web", "run forever")]);
    spec.group.tasks.get_mut("sweep").expect("it is there").lifecycle = Lifecycle::Poststop;
    rig.run(1, spec).await;
    some_time().await;
    assert!(rig.attempts().is_empty(), "it has no deadline");
    rig.confirm(BootTime(boottime().0 - 1_900)).await;
    some_time().await;
    assert!(rig.attempts().is_empty(), "this one has all but passed");

    rig.confirm(boottime()).await;
    rig.until(1, "runs", |status| status.state == AllocState::Running).await;
    let start = rig.mock.starts().remove(0);
    assert!(start.deadline_boot_ms.is_some_and(|at| at <= boottime().0 + 2_000), "{start:?}");
    assert!(start.env.contains(&("MINIJOB_FENCE_TOKEN".into(), "42".into())), "{:?}", start.env);
    for _ in 0..15 {
        some_time().await;
        rig.confirm(boottime()).await;
    }
    assert_eq!(*rig.manager().fence().borrow(), Some(AFTER));
    let last = Instant::now();
    let status = rig.until_ended(1).await;
    assert!(last.elapsed() <= AFTER + Duration::from_millis(500), "{:?}", last.elapsed());
    assert_eq!((status.state, reason(&status, "web")), (AllocState::Failed, Some(EndReason::Lease)));
    rig.confirm(boottime()).await;
    some_time().await;
    assert_eq!(rig.attempts(), [1], "neither another try nor what comes after: a replacement may run");
    assert_eq!(*rig.manager().fence().borrow(), None, "what has ended needs no heartbeats");
}

#[tokio::test]
async fn an_agent_that_is_back_knows_no_deadline_before_servers_say_so() {
    let mut rig = Rig::with_clock(Clock::Machine).await;
    rig.run(1, fenced(&[("web", "run forever")])).await;
    rig.confirm(boottime()).await;
    rig.until(1, "runs", |status| status.state == AllocState::Running).await;
    rig.stop().await;
    rig.start().await;
    rig.confirm(boottime()).await;
    for _ in 0..15 {
        some_time().await;
        rig.confirm(boottime()).await;
    }
    let status = rig.until(1, "runs", |status| status.state == AllocState::Running).await;
    assert_eq!(task(&status, "web").attempt, 1, "its fence was moved on");
}
