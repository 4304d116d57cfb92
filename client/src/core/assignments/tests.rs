use proptest::prelude::*;
use proto::model::JobType;

use super::super::spec::tests::spec;
use super::*;

const OURS: Incarnation = Incarnation(77);

fn position(reign: u64, revision: u64) -> Position {
    Position { incarnation: OURS, reign: Revision(reign), revision: Revision(revision) }
}

fn run() -> Order {
    Order::Run(Box::new(spec(JobType::Service, &["web"])))
}

fn held(ids: &[(u64, bool)]) -> BTreeMap<AllocId, Held> {
    ids.iter()
        .map(|(id, has_ended)| {
            (AllocId(*id), Held { spec: Arc::new(spec(JobType::Service, &["web"])), has_ended: *has_ended })
        })
        .collect()
}

fn complete(at: Position, orders: Vec<(u64, Order)>) -> Wanted {
    let orders = orders.into_iter().map(|(id, order)| (AllocId(id), order)).collect();
    Wanted { position: at, base: None, more: false, orders, released: BTreeSet::new() }
}

fn increment(at: Position, base: u64, orders: Vec<(u64, Order)>) -> Wanted {
    Wanted { base: Some(Revision(base)), ..complete(at, orders) }
}

#[test]
fn what_a_complete_set_does_not_name_goes_on() {
    let set = complete(position(1, 9), vec![]);
    assert_eq!(decide(position(1, 5), None, &held(&[(1, false), (2, false)]), set), Decision::Follow(vec![]));
}

#[test]
fn a_stop_order_from_an_older_state_is_not_obeyed() {
    for old in [position(1, 4), position(0, 900)] {
        let set = complete(old, vec![(1, Order::Stop)]);
        assert_eq!(decide(position(1, 5), None, &held(&[(1, false)]), set), Decision::AskComplete);
    }
}

#[test]
fn a_stop_order_from_a_state_as_new_as_the_newest_is_obeyed() {
    for at in [position(1, 5), position(1, 6), position(2, 0)] {
        let set = complete(at, vec![(1, Order::Stop)]);
        let decision = decide(position(1, 5), None, &held(&[(1, false)]), set);
        assert_eq!(decision, Decision::Follow(vec![Action::Stop(AllocId(1))]));
    }
}

#[test]
fn an_older_state_starts_nothing_either() {
    let set = complete(position(1, 4), vec![(1, run())]);
    assert_eq!(decide(position(1, 5), None, &held(&[]), set), Decision::AskComplete);
}

#[test]
fn an_increment_on_another_set_asks_for_a_complete_one() {
    let newest = position(1, 5);
    for base in [None, Some(Revision(4)), Some(Revision(7))] {
        let message = increment(position(1, 8), 5, vec![(1, run())]);
        let decision = decide(newest, base.filter(|base| base.0 != 5), &held(&[]), message);
        assert_eq!(decision, Decision::AskComplete, "{base:?}");
    }
    let message = increment(position(1, 8), 5, vec![(1, run())]);
    assert!(matches!(decide(newest, Some(Revision(5)), &held(&[]), message), Decision::Follow(_)));
}

#[test]
fn duplicates_are_harmless() {
    let message = increment(position(1, 8), 5, vec![(1, run()), (2, Order::Stop)]);
    assert_eq!(decide(position(1, 8), Some(Revision(8)), &held(&[]), message), Decision::Duplicate);
    let set = complete(position(1, 8), vec![(1, run()), (2, Order::Stop)]);
    let holding = held(&[(1, false), (2, true)]);
    assert_eq!(decide(position(1, 8), Some(Revision(8)), &holding, set), Decision::Follow(vec![]));
}

#[test]
fn an_order_to_stop_what_is_not_here_is_answered() {
    let set = complete(position(1, 8), vec![(3, Order::Stop)]);
    let decision = decide(position(1, 8), None, &held(&[]), set);
    assert_eq!(decision, Decision::Follow(vec![Action::ReportAbsent(AllocId(3))]));
}

#[test]
fn only_what_has_ended_is_released() {
    let mut set = complete(position(1, 8), vec![]);
    set.released = [1, 2, 3].map(AllocId).into();
    let decision = decide(position(1, 8), None, &held(&[(1, true), (2, false)]), set);
    assert_eq!(decision, Decision::Follow(vec![Action::Release(AllocId(1))]));
}

#[test]
fn a_number_used_twice_never_touches_what_runs() {
    let mut other = spec(JobType::Service, &["web"]);
    other.job = "another".into();
    let set = complete(position(1, 8), vec![(1, Order::Run(Box::new(other)))]);
    let decision = decide(position(1, 8), None, &held(&[(1, false)]), set);
    assert_eq!(decision, Decision::Follow(vec![Action::KeepConflicting(AllocId(1))]));
}

#[test]
fn one_unreadable_assignment_costs_only_itself() {
    let set = v1::CompleteSet {
        position: Some(position_to_wire(position(1, 8))),
        assignments: vec![
            v1::Assignment { alloc_id: 1, order: 99, spec: None },
            v1::Assignment { alloc_id: 2, order: v1::Order::Stop.into(), spec: None },
        ],
        released: vec![],
        more: false,
    };
    let wanted = complete_from_wire(set).expect("it has a position");
    let decision = decide(position(1, 8), None, &held(&[(1, false), (2, false)]), wanted);
    assert_eq!(decision, Decision::Follow(vec![Action::Stop(AllocId(2))]));
}

#[test]
fn a_new_life_of_the_state_is_followed_only_when_it_names_the_one_known() {
    let theirs = Position { incarnation: Incarnation(88), ..position(1, 1) };
    assert_eq!(greet(None, theirs, None), Ok(theirs));
    assert_eq!(greet(Some(position(9, 9)), theirs, Some(OURS)), Ok(theirs));
    for previous in [None, Some(Incarnation(66))] {
        let refused = greet(Some(position(9, 9)), theirs, previous);
        assert_eq!(refused, Err(Foreign { theirs: Incarnation(88), ours: OURS }));
    }
}

#[test]
fn a_lagging_server_does_not_make_the_agent_forget_what_it_saw() {
    assert_eq!(greet(Some(position(9, 9)), position(1, 1), None), Ok(position(9, 9)));
}

proptest! {
    #[test]
    fn nothing_is_ever_stopped_without_an_order_that_is_new_enough(
        newest in (0u64..4, 0u64..6),
        at in (0u64..4, 0u64..6),
        base in proptest::option::of(0u64..6),
        builds_on in proptest::option::of(0u64..6),
        orders in proptest::collection::btree_map(0u64..6, any::<bool>(), 0..6),
        holding in proptest::collection::btree_map(0u64..6, any::<bool>(), 0..6),
        same_life in any::<bool>(),
    ) {
        let newest = position(newest.0, newest.1);
        let mut at = position(at.0, at.1);
        if !same_life {
            at.incarnation = Incarnation(1);
        }
        let named: Vec<_> =
            orders.iter().map(|(id, stop)| (*id, if *stop { Order::Stop } else { run() })).collect();
        let wanted = Wanted { base: builds_on.map(Revision), ..complete(at, named) };
        let holding: Vec<_> = holding.into_iter().collect();
        let decision = decide(newest, base.map(Revision), &held(&holding), wanted);
        if let Decision::Follow(actions) = decision {
            prop_assert!(at.is_not_older_than(newest));
            prop_assert!(builds_on.is_none() || builds_on == base);
            for action in actions {
                if let Action::Stop(id) = action {
                    prop_assert_eq!(orders.get(&id.0), Some(&true));
                    prop_assert!(holding.contains(&(id.0, false)));
                }
            }
        }
    }
}
