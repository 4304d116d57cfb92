//! Settings that people change.

use std::time::Duration;

use proto::model::EventKind;
use proto::time::Timestamp;

use crate::core::state::{Applied, Command, Kind, Outcome, Setting, SettingChange, SettingValue, Settings};
use crate::core::testing::{World, job};

fn change(setting: Setting, value: SettingValue) -> SettingChange {
    SettingChange { setting, value }
}

fn versions(count: u64) -> SettingChange {
    change(Setting::Versions, SettingValue::Count(count))
}

fn said(world: &World) -> Vec<String> {
    let of_kind = world.state.events.all().filter(|event| event.kind == EventKind::SettingChanged);
    of_kind.map(|event| event.message.clone()).collect()
}

fn by(world: &mut World, actor: &str, changes: Vec<SettingChange>) -> Applied {
    let command = Command {
        actor: actor.into(),
        ..Command::own(Timestamp(world.state.now.0 + 1), Kind::SetSettings(changes))
    };
    world.state.apply(command)
}

fn changed(applied: &Applied) -> bool {
    match &applied.outcome {
        Outcome::Written { changed, version, .. } => {
            assert_eq!(version.0, 0);
            *changed
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn two_people_who_change_different_settings_do_not_undo_each_other() {
    let mut world = World::new(1);
    let timeout = change(Setting::NodeTimeout, SettingValue::Time(Duration::from_secs(30)));
    assert!(changed(&by(&mut world, "ann", vec![timeout])));
    assert!(changed(&by(&mut world, "ben", vec![versions(3)])));
    let expected = Settings { node_timeout: Duration::from_secs(30), versions: 3, ..Settings::default() };
    assert_eq!(world.state.settings, expected);
    assert_eq!(
        said(&world),
        [
            "setting node_timeout was changed from 4s to 30s by ann",
            "setting versions was changed from 10 to 3 by ben"
        ]
    );
}

#[test]
fn what_a_setting_is_already_changes_nothing_and_is_no_event() {
    let mut world = World::new(1);
    assert!(!changed(&by(&mut world, "ann", vec![versions(10)])));
    assert_eq!(said(&world), Vec::<String>::new());
}

#[test]
fn one_value_that_cannot_be_refuses_all_of_them() {
    let mut world = World::new(1);
    let applied = by(&mut world, "ann", vec![versions(3), versions(0)]);
    let Outcome::Refused(refusal) = applied.outcome else { panic!("{:?}", applied.outcome) };
    assert_eq!(refusal.message, "versions cannot be 0: possible is 1 to 100");
    assert_eq!(world.state.settings, Settings::default());
    assert_eq!(said(&world), Vec::<String>::new());
}

#[test]
fn fewer_events_per_subject_are_forgotten_at_once() {
    let mut world = World::new(1);
    world.put(job("web", 1));
    world.settle();
    by(&mut world, "ann", vec![change(Setting::EventsPerSubject, SettingValue::Count(1))]);
    let (key, _) = world.state.jobs.iter().next().expect("the job");
    assert_eq!(world.state.events.of_job(key).count(), 1);
    world.check();
}

#[test]
fn what_waits_for_room_is_looked_at_again_when_preemption_is_switched() {
    let mut world = World::new(0);
    world.put(job("web", 1));
    world.settle();
    let on = change(Setting::Preemption, SettingValue::Switch(true));
    let applied = by(&mut world, "ann", vec![on]);
    assert_eq!(applied.changes.jobs.len(), 1);
    assert_eq!(by(&mut world, "ann", vec![versions(3)]).changes.jobs.len(), 0);
}
