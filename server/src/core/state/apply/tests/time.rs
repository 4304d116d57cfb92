//! What is kept has bounds, and time moves forward.

use super::*;

#[test]
fn a_smaller_bound_on_events_makes_a_state_and_its_snapshot_forget_the_same() {
    let mut world = World::new(1);
    world.put(job("web", 3));
    world.settle_healthy();
    let settings = Settings { events_per_subject: 1, ..Settings::default() };
    world.apply(Kind::PutSettings(settings));
    assert_eq!(world.state.events.of_job(&JobKey::new("default", "web")).count(), 1);
    let bytes = |state: &State| {
        let mut bytes = Vec::new();
        write_snapshot(state, &mut bytes).unwrap();
        bytes
    };
    let once = bytes(&world.state);
    assert!(bytes(&read_snapshot(&mut once.as_slice()).unwrap()) == once);
}

#[test]
fn time_of_the_state_never_goes_back() {
    let mut state = State::default();
    let begin = |now| {
        let kind = Kind::BeginReign { server: ServerId(1), boot_nonce: 1, incarnation: Incarnation(5) };
        Command::own(Timestamp(now), kind)
    };
    state.apply(begin(100));
    let Applied { .. } = state.apply(begin(50));
    assert_eq!(state.now, Timestamp(100));
    assert_eq!(state.revision, Revision(2));
}
