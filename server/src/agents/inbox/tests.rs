use proto::model::AllocState;

use super::*;

fn status(id: u64, seq: u64) -> AllocStatus {
    AllocStatus { id: AllocId(id), seq, state: AllocState::Running, tasks: vec![] }
}

fn batch(ids: &[u64], seq: u64, bytes: usize) -> Vec<(AllocStatus, usize)> {
    ids.iter().map(|id| (status(*id, seq), bytes)).collect()
}

#[test]
fn only_the_latest_report_of_an_allocation_is_kept() {
    let mut gathered = Gathered::default();
    gathered.accept(1, batch(&[1, 2], 1, 10)).unwrap();
    gathered.accept(2, batch(&[1], 2, 10)).unwrap();
    let (acks, statuses) = gathered.next().unwrap();
    assert_eq!(acks, [1, 2]);
    assert_eq!(statuses, [status(1, 2), status(2, 1)]);
    assert!(gathered.next().is_none());
}

#[test]
fn a_batch_is_acknowledged_with_the_command_that_holds_its_last_report() {
    let mut gathered = Gathered::default();
    let third = STATUS_BYTES_MAX / 3;
    gathered.accept(1, batch(&[1, 2, 3, 4], 1, third)).unwrap();
    gathered.accept(2, vec![]).unwrap();
    let (acks, statuses) = gathered.next().unwrap();
    assert_eq!((acks.len(), statuses.len()), (0, 3), "the fourth did not fit");
    let (acks, statuses) = gathered.next().unwrap();
    assert_eq!((acks, statuses.len()), (vec![1, 2], 1));
}

#[test]
fn an_agent_that_never_waits_for_acknowledgements_is_refused() {
    let mut gathered = Gathered::default();
    let refused = (0..).find(|number| gathered.accept(*number, vec![]).is_err());
    assert_eq!(refused, Some(BATCHES_PENDING as u64));
    let mut gathered = Gathered::default();
    let many: Vec<u64> = (0..=STATUSES_PENDING as u64).collect();
    assert!(gathered.accept(1, batch(&many, 1, 10)).is_err());
}

#[test]
fn a_report_that_is_larger_than_a_command_loses_its_output_and_nothing_else() {
    let end = v1::TaskEnd {
        reason: Some(proto::wire::status::reason_to_wire(&proto::model::EndReason::Exit(3))),
        tail: "x".repeat(4096),
        ..Default::default()
    };
    let task = |number: usize| v1::TaskStatus {
        name: format!("t{number}"),
        phase: v1::TaskPhase::Ended.into(),
        last_end: Some(end.clone()),
        ..Default::default()
    };
    let tasks: Vec<_> = (0..100).map(task).collect();
    let report = v1::AllocStatus { id: 1, seq: 2, state: v1::AllocState::Failed.into(), tasks };
    let (status, bytes) = read(report).unwrap();
    assert!(bytes <= STATUS_BYTES_MAX, "{bytes} bytes");
    assert_eq!(status.tasks.len(), 100);
    let ends = status.tasks.iter().filter_map(|task| task.last_end.as_ref());
    assert!(ends.clone().all(|end| end.reason == proto::model::EndReason::Exit(3) && end.tail.is_empty()));
    assert_eq!(ends.count(), 100);
}
