//! What runs without a record: found, told, and left alone until servers want it gone.

use super::*;

#[tokio::test(start_paused = true)]
async fn what_runs_without_a_record_is_found_told_and_left_alone() {
    let mut rig = Rig::new().await;
    rig.run(1, scripted(JobType::Service, &[("web", "run forever")])).await;
    rig.run(2, scripted(JobType::Service, &[("web", "run forever")])).await;
    for id in [1, 2] {
        rig.until(id, "running", |status| status.state == AllocState::Running).await;
    }
    rig.stop().await;
    let folder = rig.dir.path().join("allocs").join(AllocId(1).to_string());
    std::fs::remove_file(folder.join("record")).expect("it is there");
    rig.start().await;
    let leftovers =
        || async { rig.agent.as_ref().expect("it runs").status().await.expect("it runs").leftovers };
    assert_eq!(leftovers().await, [AllocId(1)].into(), "at once");
    let held = rig.manager().registration().await.expect("it runs").held;
    let told = held.iter().map(|held| (held.status.as_ref().map(|status| status.id), held.incarnation));
    assert_eq!(told.collect::<Vec<_>>(), [(Some(2), CLUSTER.0), (Some(1), 0)]);

    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(leftovers().await, [AllocId(1)].into(), "nobody ordered its end");
    rig.order(vec![(1, Order::Stop)], vec![]).await;
    rig.until_forgotten(1).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let left = rig.agent.as_ref().expect("it runs").status().await.expect("it runs").leftovers;
    assert_eq!(left, [].into());
    rig.until(2, "running", |status| status.state == AllocState::Running).await;
}

#[tokio::test(start_paused = true)]
async fn what_has_a_record_is_no_leftover() {
    let mut rig = Rig::new().await;
    rig.run(1, scripted(JobType::Service, &[("web", "run forever")])).await;
    rig.until(1, "running", |status| status.state == AllocState::Running).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(rig.agent.as_ref().expect("it runs").status().await.expect("it runs").leftovers.is_empty());
}
