//! `operator snapshot`: what is found out without a server.

use proto::ids::{Incarnation, Revision};
use proto::time::Timestamp;
use server::core::archive::{self, Meta};
use server::core::state::State;

use crate::world::World;

const FILE: &str = "a.snapshot";

/// A world with the snapshot of a cluster that has done nothing yet.
fn world() -> (World, Vec<u8>) {
    let world = World::new();
    let state = State { incarnation: Some(Incarnation(5)), revision: Revision(7), ..State::default() };
    let bytes = archive::write(&state, &Meta::of(&state, Timestamp(1_700_000_000_125)), Vec::new());
    let bytes = bytes.expect("memory takes everything");
    std::fs::write(world.path(FILE), &bytes).expect("written");
    (world, bytes)
}

#[test]
fn inspect_shows_whose_it_is_and_what_is_in_it() {
    let (world, bytes) = world();
    let shown = world.run(&["operator", "snapshot", "inspect", FILE]);
    assert_eq!(shown.code, Some(0), "{shown:#?}");
    let lines: Vec<&str> = shown.stdout.lines().collect();
    assert_eq!(lines[0], format!("file        a.snapshot, {}B, whole", bytes.len()));
    assert_eq!(lines[1], format!("cluster     {}", Incarnation(5)));
    assert!(lines[2].starts_with("taken       2023-11-14T22:13:20.125Z ("), "{shown:#?}");
    assert_eq!(lines[3..5], ["revision    7", "content     0 jobs, 0 nodes, 0 allocations"]);
    let json = world.run(&["operator", "snapshot", "inspect", FILE, "--json"]).json();
    assert_eq!(json["cluster"], Incarnation(5).to_string());
    assert_eq!(
        (&json["taken_at"], &json["bytes"]),
        (&"2023-11-14T22:13:20.125Z".into(), &bytes.len().into())
    );
}

#[test]
fn what_cannot_be_used_is_said_before_anybody_is_asked() {
    let (world, mut bytes) = world();
    let last = bytes.len() - 10;
    bytes[last] ^= 1;
    std::fs::write(world.path(FILE), &bytes).expect("written");
    let restore = |file| world.run(&["operator", "snapshot", "restore", "--yes", file]);
    let hint = "hint: copy it again from where it was written, or take an older one\n";
    let said = "error: a.snapshot cannot be used: it is damaged: a checksum does not match, at block 0\n";
    restore(FILE).expect(2, "", &format!("{said}{hint}"));
    restore("b.snapshot").expect(3, "", "error: there is no file b.snapshot\n");
    let file = world.file("web.yml", "name: web\n");
    restore(&file).expect(2, "", "error: web.yml cannot be used: it is no snapshot of minijob\n");
}

#[test]
fn a_restore_wants_a_yes() {
    let (world, _) = world();
    let refused = world.run(&["operator", "snapshot", "restore", FILE]);
    assert_eq!(refused.code, Some(1), "{refused:#?}");
    assert!(
        refused.stderr.contains("0 jobs, 0 nodes, 0 allocations\nhint: say `--yes` to do that"),
        "{refused:#?}"
    );
}

#[test]
fn a_save_never_replaces_a_file_unless_that_is_said_and_one_that_fails_leaves_nothing() {
    let (world, bytes) = world();
    let save =
        |args: &[&str]| world.ask("http://127.0.0.1:1", &[&["operator", "snapshot", "save"], args].concat());
    save(&[FILE]).expect(
        1,
        "",
        "error: a.snapshot is there already\nhint: give another name, or say `--force` to replace it\n",
    );
    for args in [&["--force", FILE][..], &["b.snapshot"]] {
        assert_eq!(save(args).code, Some(4), "no server is there");
    }
    assert_eq!(std::fs::read(world.path(FILE)).expect("it is there"), bytes);
    let names =
        std::fs::read_dir(world.home()).expect("readable").map(|entry| entry.expect("readable").file_name());
    assert_eq!(names.collect::<Vec<_>>(), [FILE]);
}
