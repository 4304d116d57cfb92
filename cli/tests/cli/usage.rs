//! What needs no server: `validate`, `version`, help, wrong usage; and readers that go away.

use std::io::Read;

use proto::view::Health;

use crate::server::{Script, Server};
use crate::views::summary;
use crate::world::{World, outcome};

#[test]
fn version_says_what_it_is() {
    let world = World::new();
    let version = env!("CARGO_PKG_VERSION");
    let shown = world.run(&["version"]);
    assert!(shown.stdout.starts_with(&format!("minijob {version} (wire 1, state ")), "{shown:?}");
    let document = world.run(&["version", "--json"]).json();
    assert_eq!(document["version"], version);
    assert_eq!((&document["wire"], &document["disk"]), (&1.into(), &server::raft::DISK_VERSION.into()));
    assert_eq!(document["state"], server::core::state::STATE_VERSION);
}

#[test]
fn validate_counts_what_is_in_a_valid_file() {
    let world = World::new();
    world.file("hello.yml", "name: hello\ncount: 2\ncommand: /bin/hello\n");
    let shown = world.run(&["validate", "hello.yml"]);
    shown.expect(0, "hello.yml: ok (1 job, 1 group, 2 allocations)\n", "");
    let json = world.run(&["validate", "hello.yml", "--json"]).json();
    assert_eq!((&json["valid"], &json["files"][0]["jobs"][0]["allocations"]), (&true.into(), &2.into()));
}

#[test]
fn validate_names_every_fault_of_every_file_and_still_the_valid_ones() {
    let world = World::new();
    world.file("good.yml", "name: hello\ncommand: /bin/hello\n");
    world.file("bad.yml", "name: UPPER\ncomand: /bin/hello\n");
    let shown = world.run(&["validate", "good.yml", "bad.yml"]);
    assert_eq!(shown.code, Some(2));
    assert_eq!(shown.stdout, "good.yml: ok (1 job, 1 group, 1 allocation)\n");
    assert!(shown.stderr.contains("bad.yml:1:7") && shown.stderr.contains("bad.yml:2:1"), "{shown:?}");
    let json = world.run(&["validate", "--json", "good.yml", "bad.yml"]);
    assert_eq!(json.json()["files"][1]["faults"][0]["line"], 1);
    assert_eq!(json.code, Some(2));
}

#[test]
fn validate_explain_is_a_job_file_that_explains_to_itself() {
    let world = World::new();
    world.file("hello.yml", "name: hello\ncommand: /bin/hello\n---\nname: other\ncommand: /bin/other\n");
    let first = world.run(&["validate", "--explain", "hello.yml"]);
    assert_eq!(first.code, Some(0), "{first:?}");
    world.file("explained.yml", &first.stdout);
    world.run(&["validate", "--explain", "explained.yml"]).expect(0, &first.stdout, "");
}

#[test]
fn help_begins_with_what_to_try_and_lists_the_exit_codes() {
    let shown = World::new().run(&["--help"]);
    assert_eq!(shown.code, Some(0));
    assert!(shown.stdout.contains("minijob dev hello.yml"), "{shown:?}");
    assert!(shown.stdout.contains("4 no server reachable"), "{shown:?}");
    for command in [
        "dev", "run", "validate", "status", "logs", "stop", "events", "server", "agent", "start", "restart",
        "scale", "plan", "history", "revert", "export", "why", "node", "convert", "operator",
    ] {
        let help = World::new().run(&[command, "--help"]);
        assert!(help.code == Some(0) && help.stdout.contains("Examples:"), "{help:?}");
    }
}

#[test]
fn help_is_also_a_command() {
    let world = World::new();
    let (flag, command) = (world.run(&["--help"]), world.run(&["help"]));
    assert_eq!((command.code, &command.stdout), (Some(0), &flag.stdout), "{command:?}");
    let of_run = world.run(&["help", "run"]);
    assert_eq!((of_run.code, &of_run.stdout), (Some(0), &world.run(&["run", "--help"]).stdout), "{of_run:?}");
    assert_eq!(world.run(&["help", "context", "use"]).code, Some(0));
    assert_eq!(world.run(&["help", "operator", "settings", "set"]).code, Some(0));
}

#[test]
fn wrong_usage_is_exit_2_also_as_json() {
    let world = World::new();
    assert_eq!(world.run(&[]).code, Some(2));
    let shown = world.run(&["status", "--nonsense"]);
    assert_eq!(shown.code, Some(2));
    assert!(shown.stderr.starts_with("error: unexpected argument '--nonsense'"), "{shown:?}");
    let json = world.run(&["status", "--json", "--nonsense"]);
    assert_eq!((json.code, &json.error_json()["kind"]), (Some(2), &"invalid".into()));
    assert_eq!(world.run(&["run"]).code, Some(2));
    assert_eq!(world.run(&["run", "--exit-code", "x.yml"]).code, Some(2), "only with --wait");
    let bare = world.run(&["run", "--timeout", "5", "x.yml"]);
    assert!(bare.stderr.contains("`5` has no unit: write for example `5s`"), "{bare:?}");
}

#[test]
fn a_usage_line_asks_for_nothing_that_a_variable_says() {
    let world = World::new();
    for words in [&["supervise"][..], &["completion"], &["logs"], &["scale", "web"]] {
        let shown = world.ask("http://127.0.0.1:1", words);
        assert_eq!(shown.code, Some(2), "{shown:?}");
        let usage = shown.stderr.lines().find(|line| line.starts_with("Usage:")).expect("there is one");
        assert!(!usage.contains("--addr") && !usage.contains("--token"), "{usage}");
    }
}

#[test]
fn wrong_files_hint_at_what_the_command_would_have_done() {
    let world = World::new();
    world.file("bad.yml", "name: x\n");
    for (command, hint) in [
        ("run", "nothing was submitted"),
        ("supervise", "nothing was started"),
        ("dev", "nothing was started"),
    ] {
        let shown = world.run(&[command, "bad.yml"]);
        assert!(shown.stderr.ends_with(&format!("hint: {hint}\n")), "{shown:?}");
    }
    assert!(!world.run(&["plan", "bad.yml"]).stderr.contains("was submitted"), "plan submits nothing anyway");
}

#[test]
fn a_command_without_its_dashes_is_shown_with_them() {
    let world = World::new();
    for verb in ["run", "supervise"] {
        let hint = |words: &[&str]| world.run(&[&[verb], words].concat()).stderr;
        let shown = hint(&["sleep", "5"]);
        assert!(
            shown.ends_with(&format!("hint: a command goes after `--`: `minijob {verb} -- sleep 5`\n")),
            "{shown}"
        );
        let shown = hint(&["/bin/sleep", "a b"]);
        assert!(shown.ends_with(&format!("`minijob {verb} -- /bin/sleep 'a b'`\n")), "{shown}");
        assert!(!hint(&["none.yml"]).contains("a command goes"));
        let usage = hint(&[]);
        assert!(usage.contains(&format!("minijob {verb} [OPTIONS] -- <COMMAND>...")), "{usage}");
    }
    world.file("web.yml", "name: web\ncommand: /bin/web\n");
    assert!(world.run(&["run", "web"]).stderr.ends_with("hint: did you mean `web.yml`?\n"));
}

#[test]
fn a_script_for_a_shell_is_never_json() {
    let shown = World::new().run(&["completion", "bash", "--json"]);
    assert_eq!((shown.code, shown.stdout.as_str()), (Some(2), ""), "{shown:?}");
    assert_eq!(shown.error_json()["hint"], "leave out --json");
}

#[test]
fn what_is_about_files_is_refused_beside_a_command_and_not_ignored() {
    let world = World::new();
    for about_files in [&["run", "--var", "x=1"][..], &["run", "--prune"], &["supervise", "--var", "x=1"]] {
        let shown = world.run(&[about_files, &["--", "/bin/true"]].concat());
        assert_eq!(shown.code, Some(2), "{shown:?}");
        assert!(shown.stderr.contains("cannot be used with"), "{shown:?}");
    }
}

#[test]
fn a_command_that_is_not_here_may_be_on_the_nodes_and_keeps_its_bare_name() {
    let world = World::new();
    let shown = world.run(&["run", "--generate", "--batch", "--", "no-such-program", "-v"]);
    assert_eq!((shown.code, shown.stderr.as_str()), (Some(0), ""), "{shown:?}");
    assert!(shown.stdout.contains("type: batch\n"), "{shown:?}");
    assert!(shown.stdout.contains("command: no-such-program\n"), "{shown:?}");
}

#[test]
fn a_name_that_breaks_the_rule_is_exit_2_and_says_what_is_allowed() {
    let world = World::new();
    let shown = world.run(&["status", "--namespace", "Bad Name"]);
    assert_eq!(shown.code, Some(2), "{shown:?}");
    let rule = "lower-case letters, digits and `-`, at most 63, a letter or digit at both ends: for example `bad-name`";
    assert!(shown.stderr.contains(rule), "{shown:?}");
    for daemon in ["server", "agent"] {
        let shown = world.run(&[daemon, "--name", "Bad Name", "--data-dir", "data"]);
        assert_eq!(shown.code, Some(2), "{shown:?}");
        assert!(shown.stderr.contains("letters, digits, `-` and `.`, at most 63"), "{shown:?}");
        assert!(!world.path("data").exists(), "nothing was begun");
    }
}

#[test]
fn an_address_to_listen_on_without_a_port_is_told_with_one() {
    for daemon in ["server", "dev"] {
        let shown = World::new().run(&[daemon, "--listen", "127.0.0.1"]);
        assert_eq!(shown.code, Some(2), "{shown:?}");
        assert!(shown.stderr.contains("a port is missing: write `127.0.0.1:4650`"), "{shown:?}");
    }
}

#[test]
fn a_data_directory_that_is_a_file_is_told_as_that() {
    let world = World::new();
    world.file("data", "");
    let hint = "hint: give a directory with --data-dir; it is made if it is missing\n";
    for daemon in ["server", "agent", "dev"] {
        let shown = world.run(&[daemon, "--data-dir", "data"]);
        shown.expect(2, "", &format!("error: data is a file: a directory is needed\n{hint}"));
    }
    let below = "error: data is a file, so data/server cannot lie in it: a directory is needed\n";
    world.run(&["server", "--data-dir", "data/server"]).expect(2, "", &format!("{below}{hint}"));
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let jobs = (0..20_000).map(|number| summary(&format!("job-{number}"), Health::Healthy)).collect();
    let server = Server::start(Script { jobs, ..Script::default() });
    let world = World::new();
    let mut command = world.command(&["status"]);
    command.env("MINIJOB_ADDR", server.url()).env("MINIJOB_TOKEN", crate::server::TOKEN);
    let mut child = command.spawn().expect("it starts");
    let mut stdout = child.stdout.take().expect("piped");
    stdout.read_exact(&mut [0; 10]).expect("a beginning");
    drop(stdout);
    let ended = outcome(child);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    let Ok(full) = std::fs::File::options().write(true).open("/dev/full") else { return };
    let world = World::new();
    let mut command = world.command(&["version"]);
    let ended = outcome(command.stdout(full).spawn().expect("it starts"));
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("cannot write the output: No space left on device"), "{ended:?}");
}

#[test]
fn dev_checks_its_files_before_it_starts_anything() {
    let world = World::new();
    world.file("bad.yml", "name: x\n");
    let shown = world.run(&["dev", "bad.yml"]);
    assert_eq!((shown.code, shown.stdout.as_str()), (Some(2), ""), "{shown:?}");
    assert!(!world.path("minijob-dev.json").exists());
}
