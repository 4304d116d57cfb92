//! The CA in the state, and who is thrown out.

use proto::error::Kind as ErrorKind;
use proto::time::Timestamp;

use crate::core::state::{Authority, Denied, Kind, OperatorToken, Outcome};
use crate::core::testing::World;
use crate::limits::DENIED_MAX;

fn authority(sealed: u8, trust: &str) -> Kind {
    Kind::PutAuthority(Authority { sealed: vec![sealed], trust: trust.into() })
}

fn deny(id: u64, until: u64) -> Kind {
    Kind::DenyMember { id, denied: Some(Denied { name: format!("agent `n{id}`"), until: Timestamp(until) }) }
}

fn changes(world: &mut World, kind: Kind) -> bool {
    let now = world.state.now;
    match world.state.apply(crate::core::state::Command::own(now, kind)).outcome {
        Outcome::Written { changed, .. } => changed,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_first_ca_stays_and_may_be_sealed_anew() {
    let mut world = World::new(0);
    assert!(changes(&mut world, authority(1, "ca")));
    assert!(!changes(&mut world, authority(1, "ca")), "the same again changes nothing");
    assert!(changes(&mut world, authority(2, "ca")), "sealed under another key");
    let now = world.state.now;
    let refused = world.state.apply(crate::core::state::Command::own(now, authority(3, "another"))).outcome;
    assert!(matches!(refused, Outcome::Refused(refusal) if refusal.kind == ErrorKind::Conflict));
    assert_eq!(world.state.authority.as_ref().expect("kept").sealed, [2]);
}

#[test]
fn who_is_thrown_out_is_remembered_until_its_last_certificate_has_expired() {
    let mut world = World::new(0);
    world.pass(1000);
    let now = world.state.now.0;
    assert!(changes(&mut world, deny(1, now + 10)));
    assert!(!changes(&mut world, deny(1, now + 10)));
    assert!(changes(&mut world, deny(2, now + 10_000)));
    world.pass(100);
    assert!(changes(&mut world, deny(3, now + 10_000)));
    assert_eq!(world.state.denied.keys().copied().collect::<Vec<_>>(), [2, 3]);
    assert!(changes(&mut world, Kind::DenyMember { id: 2, denied: None }));
    assert!(!changes(&mut world, Kind::DenyMember { id: 2, denied: None }));
    assert_eq!(world.state.denied.keys().copied().collect::<Vec<_>>(), [3]);
}

#[test]
fn the_list_of_who_is_thrown_out_has_a_bound_and_a_refusal_changes_nothing() {
    let mut world = World::new(0);
    for id in 0..DENIED_MAX as u64 {
        assert!(changes(&mut world, deny(id, u64::MAX)));
    }
    let before = world.state.denied.clone();
    let now = world.state.now;
    let refused = world.state.apply(crate::core::state::Command::own(now, deny(u64::MAX, u64::MAX))).outcome;
    assert!(matches!(refused, Outcome::Refused(_)), "{refused:?}");
    assert_eq!(world.state.denied, before);
    assert!(!changes(&mut world, deny(7, u64::MAX)), "who is among them is there already");
}

#[test]
fn the_token_that_a_cluster_begins_with_never_takes_the_place_of_one_that_a_person_made() {
    let mut world = World::new(0);
    let token = |hash: u8, first| Kind::PutOperatorToken(OperatorToken { hash: [hash; 32], first });
    assert!(changes(&mut world, token(1, true)));
    assert!(!changes(&mut world, token(2, true)), "the next leader has another one, and saw none");
    assert!(changes(&mut world, token(3, false)));
    assert!(!changes(&mut world, token(3, false)), "the same again");
    assert!(!changes(&mut world, token(1, true)));
    assert_eq!(world.state.operator_token, Some(OperatorToken { hash: [3; 32], first: false }));
}
