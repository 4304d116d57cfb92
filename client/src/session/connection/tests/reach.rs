//! Running tasks as servers reach them.

use proto::wire::v1::{answer, ask, exec_end, exec_output, exec_up};

use super::*;
use crate::tasks::perform::attempt_id;

fn winch(number: u64, request: &'static [u8], alloc_id: u64) -> Down {
    let kind = Some(ask::Kind::Signal(v1::SendSignal { task: "web".into(), signal: 28 }));
    Down::Ask(v1::Ask { number, request_id: request.into(), alloc_id, kind })
}

/// Reads the next answer, past what else is said.
async fn answered(peer: &mut Peer) -> (u64, answer::Kind) {
    loop {
        if let Up::Answer(answer) = peer.next("an answer").await {
            return (answer.number, answer.kind.expect("it says something"));
        }
    }
}

#[tokio::test]
async fn a_signal_is_sent_once_per_request_id_also_when_another_server_asks_again() {
    let mut stage = stage().await;
    let (mut peer, _) = stage.server.registered(1, 10).await;
    peer.complete(1, 10, vec![run(1)]).await;
    until_state(&stage.agent, 1, AllocState::Running).await;
    let signals = |stage: &Stage| stage.mock.signals(&attempt_id(AllocId(1), "web", 1));
    peer.say(winch(5, b"first", 1)).await;
    assert_eq!(answered(&mut peer).await, (5, answer::Kind::Signalled(v1::Signalled {})));
    peer.say(winch(6, b"first", 1)).await;
    assert_eq!(answered(&mut peer).await.0, 6);
    drop(peer);
    let (mut peer, _) = stage.server.registered(1, 10).await;
    peer.say(winch(7, b"first", 1)).await;
    assert_eq!(answered(&mut peer).await, (7, answer::Kind::Signalled(v1::Signalled {})));
    assert_eq!(signals(&stage), [28], "once");
    peer.say(winch(8, b"second", 1)).await;
    assert_eq!(answered(&mut peer).await.0, 8);
    assert_eq!(signals(&stage), [28, 28]);
}

#[tokio::test]
async fn what_cannot_be_reached_is_refused_by_name() {
    let mut stage = stage().await;
    let (mut peer, _) = stage.server.registered(1, 10).await;
    peer.complete(1, 10, vec![run(1)]).await;
    until_state(&stage.agent, 1, AllocState::Running).await;
    peer.say(winch(1, b"", 99)).await;
    let (_, answer::Kind::Refused(refused)) = answered(&mut peer).await else { panic!("no refusal") };
    assert_eq!((refused.kind.as_str(), refused.message.contains("no allocation")), ("not_found", true));
    peer.say(Down::Ask(v1::Ask { number: 2, alloc_id: 1, ..Default::default() })).await;
    let (_, answer::Kind::Refused(refused)) = answered(&mut peer).await else { panic!("no refusal") };
    assert!(refused.message.contains("does not know"), "{refused:?}");
}

#[tokio::test]
async fn a_command_that_cannot_begin_says_why_on_its_own_connection() {
    let mut stage = stage().await;
    let (peer, _) = stage.server.registered(1, 10).await;
    let command = v1::ExecCommand { argv: vec!["true".into()], ..Default::default() };
    let open = v1::OpenExec { ticket: 42, alloc_id: 99, task: "web".into(), command: Some(command) };
    peer.say(Down::OpenExec(open)).await;
    let (mut up, _down) = within(stage.server.execs.recv(), "a command").await.expect("the server lives");
    let mut said = Vec::new();
    while let Some(message) = within(up.message(), "its end").await.expect("it goes on") {
        said.push(message.kind.expect("it says something"));
    }
    assert_eq!(said[0], exec_up::Kind::Ticket(42));
    let [_, exec_up::Kind::Output(v1::ExecOutput { kind: Some(exec_output::Kind::End(end)) })] = &said[..]
    else {
        panic!("{said:?}")
    };
    let Some(exec_end::Kind::NotStarted(not)) = &end.kind else { panic!("{end:?}") };
    assert_eq!((not.code, not.why.as_ref().map(|why| why.kind.as_str())), (0, Some("not_found")));
}
