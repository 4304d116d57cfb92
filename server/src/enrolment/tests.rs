//! One server and its certificates, in a directory of its own.

use pki::Role;
use pki::limits::CERTIFICATE_LASTS;
use tempfile::TempDir;

use super::*;

const NOW: Timestamp = Timestamp(1_800_000_000_000);

fn config(dir: &TempDir, name: &str, key: &ClusterKey) -> Config {
    let own = Member { role: Role::Server, name: name.into(), id: 7 };
    Config { data_dir: dir.path().into(), own, hosts: vec!["10.0.0.1".into()], keys: vec![key.clone()] }
}

fn state_of(authority: Authority) -> State {
    State { authority: Some(Arc::new(authority)), ..State::default() }
}

#[test]
fn the_ca_is_made_once_and_found_again_after_a_restart() {
    let (dir, key) = (tempfile::tempdir().unwrap(), ClusterKey::generate().unwrap());
    let first = Enrolment::open(config(&dir, "s1", &key), NOW).unwrap();
    assert!(!first.credentials().is_enrolled());
    assert!(matches!(first.authority(&State::default()), Err(Error::None)));
    first.found("c", NOW).unwrap();
    let made = first.credentials().trust_pem();
    first.found("c", NOW).unwrap();
    assert!(first.credentials().is_enrolled() && first.credentials().trust_pem() == made);
    let again = Enrolment::open(config(&dir, "s1", &key), NOW).unwrap();
    assert!(again.credentials().is_enrolled());
    assert_eq!(again.authority(&State::default()).unwrap().certificate_pem(), made);
    let renamed = Enrolment::open(config(&dir, "s2", &key), NOW).unwrap();
    assert!(!renamed.credentials().is_enrolled(), "its certificate names another");
}

#[test]
fn the_states_ca_is_opened_by_the_key_it_was_sealed_with_and_by_no_other() {
    let (dir, key) = (tempfile::tempdir().unwrap(), ClusterKey::generate().unwrap());
    let enrolment = Enrolment::open(config(&dir, "s1", &key), NOW).unwrap();
    let made = Ca::create("c", NOW).unwrap();
    let state = state_of(enrolment.sealed(&made).unwrap());
    assert_eq!(enrolment.authority(&state).unwrap().certificate_pem(), made.certificate_pem());
    let sealed = &state.authority.as_ref().unwrap().sealed;
    assert!(!sealed.windows(7).any(|part| part == b"PRIVATE"));
    let stranger = config(&tempfile::tempdir().unwrap(), "s1", &ClusterKey::generate().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let stranger = Enrolment::open(Config { data_dir: dir.path().into(), ..stranger }, NOW).unwrap();
    let refused = stranger.authority(&state).err().unwrap().to_string();
    assert!(refused.contains("sealed with another cluster key"), "{refused}");
}

#[test]
fn a_certificate_names_this_server_where_it_is_reached_and_lasts_a_month() {
    let (dir, key) = (tempfile::tempdir().unwrap(), ClusterKey::generate().unwrap());
    let enrolment = Enrolment::open(config(&dir, "s1", &key), NOW).unwrap();
    enrolment.found("c", NOW).unwrap();
    let identity = enrolment.credentials().identity().unwrap();
    assert_eq!((identity.member.name.as_str(), identity.member.id), ("s1", 7));
    assert_eq!(identity.expires_at, NOW.plus(CERTIFICATE_LASTS));
}
