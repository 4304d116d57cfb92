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

#[test]
fn the_level_rises_once_and_never_goes_back_and_snapshots_are_of_it() {
    use prost::Message as _;
    let mut world = World::new(0);
    for (raised, told) in [(3, 1), (2, 1), (3, 1), (4, 2)] {
        world.apply(Kind::RaiseLevel(raised));
        let events = world.state.events.all().filter(|event| event.kind == EventKind::LevelRaised);
        assert_eq!((world.state.level, events.count()), (raised.max(3), told));
    }
    let mut bytes = Vec::new();
    write_snapshot(&world.state, &mut bytes).unwrap();
    let record = proto::wire::v1::Record::decode_length_delimited(bytes.as_slice()).unwrap();
    let Some(proto::wire::v1::record::Kind::Header(header)) = record.kind else { panic!("no header") };
    assert_eq!(header.state_version, 4, "what the oldest server can read");
}
