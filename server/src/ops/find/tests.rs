use super::*;
use crate::ops::testing::{World, job};

fn world() -> (World, Vec<AllocId>) {
    let mut world = World::new(1);
    world.put(&job("web", 3));
    world.put(&job("db", 1));
    let mut ids: Vec<AllocId> = (0..3).map(|index| world.place("web", index, 1)).collect();
    ids.push(world.place("db", 0, 1));
    (world, ids)
}

fn one(world: &World, text: &str) -> Result<AllocId, Error> {
    one_alloc(&world.state, &Caller::operator(), "", text).map(|alloc| alloc.id)
}

#[test]
fn an_allocation_has_five_names() {
    let (world, ids) = world();
    let shown = ids[1].to_string();
    assert_eq!(one(&world, &shown), Ok(ids[1]));
    assert_eq!(one(&world, &shown.to_uppercase()), Ok(ids[1]));
    assert_eq!(one(&world, &shown[..7]), Ok(ids[1]));
    assert_eq!(one(&world, "web.web.1"), Ok(ids[1]));
    assert_eq!(one(&world, "web.1"), Ok(ids[1]), "of the only group");
    assert_eq!(one(&world, "db"), Ok(ids[3]));
}

#[test]
fn what_is_ambiguous_lists_its_candidates() {
    let (mut world, _) = world();
    let error = one(&world, "web").expect_err("three of them");
    assert_eq!((error.kind, error.details.len()), (Kind::Invalid, 3));
    assert!(error.details[0].ends_with(" web.web.0 on n1"), "{error:?}");
    // Thirty-two digits and more allocations: two begin with the same one.
    world.put(&job("many", 40));
    let ids: Vec<String> = (0..40).map(|index| world.place("many", index, 1).to_string()).collect();
    let digits = ids.iter().map(|id| &id[..1]);
    let shared = digits.clone().find(|digit| digits.clone().filter(|other| other == digit).count() > 1);
    let error = one(&world, shared.expect("forty ids, thirty-two digits")).expect_err("several");
    assert_eq!(error.kind, Kind::Invalid);
    assert!(
        error.details.len() >= 2 && error.message.contains("begins with") || error.message.contains("begin")
    );
}

#[test]
fn what_is_not_there_names_the_nearest() {
    let (world, _) = world();
    let hint = |text: &str| one(&world, text).map_err(|error| (error.kind, error.hint));
    assert_eq!(hint("wbe"), Err((Kind::NotFound, "did you mean `web`?".into())));
    assert_eq!(hint("web.wbe.0"), Err((Kind::NotFound, "it has web".into())));
    assert_eq!(hint("wbe.web.0"), Err((Kind::NotFound, "did you mean `web`?".into())));
    assert_eq!(hint("web.web.9").map_err(|error| error.0), Err(Kind::NotFound));
    assert_eq!(hint("completely-else"), Err((Kind::NotFound, "`minijob status` lists all jobs".into())));
    assert_eq!(hint("").map_err(|error| error.0), Err(Kind::Invalid));
}

#[test]
fn a_slot_names_what_fills_it_and_then_what_did() {
    let (mut world, ids) = world();
    world.report(ids[3], proto::model::AllocState::Failed, Vec::new());
    assert_eq!(one(&world, "db.db.0"), Ok(ids[3]));
    assert_eq!(one(&world, "db"), Ok(ids[3]), "its only one, although it has ended");
    world.pass(6);
    let next = world.place("db", 0, 1);
    assert_eq!(one(&world, "db.db.0"), Ok(next));
    assert_eq!(one(&world, "db"), Ok(next));
}

#[test]
fn a_job_of_another_namespace_is_pointed_at_but_only_for_who_may_see_it() {
    let (mut world, ids) = world();
    let mut other = job("cache", 1);
    other.key.namespace = "shop".into();
    world.put(&other);
    let key = JobKey::new("default", "cache");
    let hint = no_job(&world.state, &Caller::operator(), &key).hint;
    assert_eq!(hint, "namespace `shop` has a job `cache`");
    let bound = Caller { namespace: Some("shop".into()), ..Caller::operator() };
    let seen = |text: &str| one_alloc(&world.state, &bound, "", text).map(|alloc| alloc.id);
    assert_eq!(seen(&ids[0].to_string()).map_err(|error| error.kind), Err(Kind::NotFound));
    assert_eq!(seen(&ids[0].to_string()[..7]).map_err(|error| error.kind), Err(Kind::NotFound));
}
