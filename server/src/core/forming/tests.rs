//! Servers that start in any order, greet each other or do not, and crash: never two clusters.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

fn server(id: u64) -> Server {
    Server { id, addr: format!("10.0.0.{id}:4650"), name: format!("s{id}") }
}

/// One that has just started and is to make a cluster of three.
fn fresh(id: u64) -> Greeting {
    Greeting {
        server: server(id),
        wire: 1,
        wire_least: 1,
        state: 1,
        disk: 1,
        version: "0.1.0".into(),
        cluster: 0,
        formed: false,
        expect: 3,
        sees: [id].into(),
        promise: None,
        applied: 0,
        keys: vec![],
    }
}

fn seeing(id: u64, sees: &[u64]) -> Greeting {
    Greeting { sees: sees.iter().copied().collect(), ..fresh(id) }
}

fn member(id: u64, cluster: u64) -> Greeting {
    Greeting { cluster, formed: true, ..fresh(id) }
}

fn why(step: Step) -> String {
    match step {
        Step::Refuse(why) => why,
        other => panic!("not refused: {other:?}"),
    }
}

fn waits(step: &Step) -> bool {
    matches!(step, Step::Wait(_))
}

const SET: [u64; 3] = [1, 2, 3];

fn set() -> Vec<Server> {
    SET.map(server).to_vec()
}

#[test]
fn the_lowest_of_enough_that_see_each_other_proposes_and_the_others_wait_for_it() {
    let all = SET.map(|id| seeing(id, &SET));
    assert_eq!(decide(&all[0], &all, 2), Step::Promise(Promise::Form(set())));
    assert!(waits(&decide(&all[1], &all, 2)));
    assert!(waits(&decide(&all[0], &all[..2], 2)), "two of three are not enough");
    let blind = [all[0].clone(), all[1].clone(), seeing(3, &[1, 3])];
    assert!(waits(&decide(&all[0], &blind, 2)), "all must see the same");
}

#[test]
fn a_cluster_is_made_only_when_all_have_promised_the_same() {
    let promised = |id| Greeting { promise: Some(Promise::Form(set())), ..fresh(id) };
    let proposed = [promised(1), seeing(2, &SET), seeing(3, &SET)];
    assert_eq!(decide(&proposed[1], &proposed, 2), Step::Promise(Promise::Form(set())));
    assert!(waits(&decide(&proposed[0], &proposed, 2)));
    let all = SET.map(promised);
    assert_eq!(decide(&all[0], &all, 2), Step::Bootstrap(set()));
    let waiting = decide(&all[0], &all[..2], 2);
    assert!(matches!(&waiting, Step::Wait(why) if why.contains("s3 at 10.0.0.3:4650")), "{waiting:?}");
}

#[test]
fn who_comes_later_joins_and_has_promised_it_before() {
    let late = Greeting { expect: 0, ..fresh(4) };
    assert_eq!(decide(&late, &[member(1, 7)], 3), Step::Promise(Promise::Join(7)));
    let promised = Greeting { promise: Some(Promise::Join(7)), ..late.clone() };
    assert_eq!(decide(&promised, &[member(1, 7)], 3), Step::Ask(server(1)));
    assert!(waits(&decide(&promised, &[], 3)));
    assert!(waits(&decide(&late, &[fresh(1)], 3)), "no cluster yet, and it makes none");
    assert!(waits(&decide(&late, &[member(1, 0)], 3)), "it has no name yet");
}

#[test]
fn a_member_rests_whatever_it_is_told() {
    let own = member(1, 7);
    assert_eq!(decide(&own, &[fresh(2), member(3, 7)], 2), Step::Rest);
    let again = Greeting { promise: Some(Promise::Form(set())), ..own };
    assert_eq!(decide(&again, &[], 2), Step::Rest);
}

#[test]
fn what_cannot_go_together_is_refused_with_what_to_change() {
    let own = seeing(1, &SET);
    let refused = |peer: Greeting| why(decide(&own, &[peer, seeing(3, &SET)], 2));
    let named = Greeting { server: Server { name: "s1".into(), ..server(2) }, ..fresh(2) };
    assert!(refused(named).contains("are both named s1: give each a --name"), "name");
    let placed = Greeting { server: Server { addr: server(1).addr, ..server(2) }, ..fresh(2) };
    assert!(refused(placed).contains("--advertise"), "address");
    assert!(refused(Greeting { expect: 5, ..fresh(2) }).contains("--bootstrap-expect"), "number");
    let newer = Greeting { wire: 9, wire_least: 8, version: "9.0".into(), ..fresh(2) };
    assert!(refused(newer).contains("speaks wire version 9"), "wire");
    assert!(refused(Greeting { state: 2, ..fresh(2) }).contains("the same version"), "state");
    let copy = Greeting { server: Server { addr: server(2).addr, ..server(1) }, ..fresh(1) };
    assert!(refused(copy).contains("is a copy"), "data directory");
    let two = why(decide(&own, &[member(2, 7), member(3, 8)], 2));
    assert!(two.contains("cluster 7") && two.contains("cluster 8"), "{two}");
    let elsewhere = why(decide(&member(1, 7), &[member(2, 8)], 1));
    assert!(
        elsewhere.starts_with("this server belongs to cluster 7, server s2 at 10.0.0.2:4650 to cluster 8"),
        "{elsewhere}"
    );
    let old = why(decide(&own, &[Greeting { state: 2, ..member(2, 7) }], 2));
    assert!(old.contains("keeps state of version 2"), "{old}");
    assert!(why(decide(&own, &[], 3)).contains("say 4 on all of them"), "one too many");
}

#[test]
fn a_leader_takes_in_who_is_new_and_replaces_who_lost_its_disk() {
    let members = set();
    assert_eq!(admit(&members, &server(4), false), Admission::Add);
    assert_eq!(admit(&members, &server(2), true), Admission::Member);
    assert_eq!(admit(&members, &Server { id: 9, ..server(2) }, false), Admission::Replace(2));
    let refused = |asks: Server, has_log| match admit(&members, &asks, has_log) {
        Admission::Refuse(why) => why,
        other => panic!("{other:?}"),
    };
    assert!(refused(server(4), true).contains("was removed"));
    assert!(
        refused(Server { id: 9, name: "s2".into(), ..server(9) }, false).contains("operator raft remove s2")
    );
    assert!(refused(Server { id: 9, addr: server(2).addr, ..server(9) }, false).contains("another address"));
}

#[test]
fn who_is_far_behind_does_not_vote_yet() {
    assert!(!has_caught_up(None, 0, 10) && !has_caught_up(Some(5), 16, 10));
    assert!(has_caught_up(Some(6), 16, 10) && has_caught_up(Some(20), 16, 10));
}

#[test]
fn a_member_at_another_address_is_reached_there_unless_that_is_anothers() {
    let members: Vec<Server> = (1..4).map(server).collect();
    let at = |addr: &str| Server { addr: addr.to_owned(), ..members[0].clone() };
    assert_eq!(admit(&members, &members[0], true), Admission::Member);
    assert_eq!(admit(&members, &at("10.9.9.9:1"), true), Admission::Move(members[0].clone()));
    let refused = admit(&members, &at(&members[1].addr), true);
    assert!(matches!(&refused, Admission::Refuse(why) if why.contains("--advertise")), "{refused:?}");
}

#[test]
fn no_server_is_removed_without_which_nothing_could_be_decided() {
    let voters = |answer: &[bool]| (1..).zip(answer.iter().copied()).collect::<BTreeMap<u64, bool>>();
    assert_eq!(may_remove(&voters(&[true, true, false]), 3), Ok(()), "the dead one");
    assert!(may_remove(&voters(&[true, true, false]), 2).is_err_and(|why| why.contains("1 of 2")));
    assert_eq!(may_remove(&voters(&[true, true, true]), 2), Ok(()));
    assert!(may_remove(&voters(&[true]), 1).is_err());
    assert_eq!(may_remove(&voters(&[true, false]), 7), Ok(()), "it does not vote");
}

/// Servers of which each knows what it heard last. Promises and logs outlive a crash, nothing else does.
struct World {
    own: Vec<Greeting>,
    heard: Vec<BTreeMap<u64, Greeting>>,
    made: BTreeSet<Vec<Server>>,
}

#[derive(Clone, Debug)]
enum Event {
    /// One hears what another one says at this moment.
    Hear(usize, usize),
    /// One forgets what another one said: it was too long ago.
    Forget(usize, usize),
    Decide(usize),
    Crash(usize),
}

impl World {
    /// The first `makers` are to make a cluster, the others join it.
    fn new(servers: usize, makers: usize) -> Self {
        let expect = |id: usize| if id <= makers { makers as u32 } else { 0 };
        let own = (1..=servers).map(|id| Greeting { expect: expect(id), ..fresh(id as u64) }).collect();
        Self { own, heard: vec![BTreeMap::new(); servers], made: BTreeSet::new() }
    }

    fn happen(&mut self, event: &Event) {
        match *event {
            Event::Hear(who, whom) => {
                let said = self.own[whom].clone();
                self.heard[who].insert(said.server.id, said);
            }
            Event::Forget(who, whom) => drop(self.heard[who].remove(&(whom as u64 + 1))),
            Event::Decide(who) => self.decide(who),
            Event::Crash(who) => self.heard[who].clear(),
        }
        for (own, heard) in self.own.iter_mut().zip(&self.heard) {
            let fresh =
                heard.values().filter(|peer| !peer.formed && peer.expect > 1 && peer.promise.is_none());
            own.sees = fresh.map(|peer| peer.server.id).chain([own.server.id]).collect();
        }
    }

    fn decide(&mut self, who: usize) {
        let heard: Vec<_> = self.heard[who].values().cloned().collect();
        let others =
            self.own.iter().filter(|other| other.expect > 1 && other.server.id != who as u64 + 1).count();
        match decide(&self.own[who], &heard, others) {
            Step::Rest | Step::Wait(_) => {}
            Step::Refuse(why) => panic!("{why}"),
            Step::Promise(promise) => {
                assert_eq!(self.own[who].promise, None, "a promise is not taken back");
                self.own[who].promise = Some(promise);
            }
            Step::Bootstrap(servers) => {
                let asked = |server: &Server| &self.own[server.id as usize - 1].promise;
                assert!(servers.iter().all(|server| *asked(server) == Some(Promise::Form(servers.clone()))));
                self.own[who].formed = true;
                self.own[who].cluster = servers.iter().fold(1, |cluster, server| cluster * 10 + server.id);
                self.made.insert(servers);
            }
            Step::Ask(_) => self.own[who].formed = true,
        }
        assert!(self.made.len() <= 1, "two clusters: {:?}", self.made);
    }
}

fn events(servers: usize) -> impl Strategy<Value = Vec<Event>> {
    let one = 0..servers;
    let event = prop_oneof![
        6 => (one.clone(), one.clone()).prop_map(|(who, whom)| Event::Hear(who, whom)),
        1 => (one.clone(), one.clone()).prop_map(|(who, whom)| Event::Forget(who, whom)),
        4 => one.clone().prop_map(Event::Decide),
        1 => one.prop_map(Event::Crash),
    ];
    prop::collection::vec(event, 0..300)
}

proptest! {
    #[test]
    fn there_are_never_two_clusters_and_there_is_one_when_all_hear_each_other(
        (servers, events) in (2_usize..=6).prop_flat_map(|servers| (Just(servers), events(servers))),
        late in 0_usize..3,
    ) {
        let makers = servers.saturating_sub(late).max(2);
        let mut world = World::new(servers, makers);
        for event in &events {
            world.happen(event);
        }
        for _ in 0..8 {
            for (who, whom) in (0..servers).flat_map(|who| (0..servers).map(move |whom| (who, whom))) {
                if who != whom {
                    world.happen(&Event::Hear(who, whom));
                }
            }
            (0..servers).for_each(|who| world.happen(&Event::Decide(who)));
        }
        prop_assert_eq!(world.made.len(), 1);
        for own in &world.own {
            prop_assert!(own.formed || matches!(own.promise, Some(Promise::Join(_))), "{:?}", own);
        }
    }
}
