use std::path::Path;

use tests::process;
use tests::terminal::{Terminal, Window};
use tests::wait::{SOON, until};

/// What a newcomer does first, as the examples say it, in two terminals: what can be seen, that the commands which are shown work as
/// they stand there, and that Ctrl-C ends just what it was typed at, and in the end everything.
#[test]
fn a_newcomers_first_session_goes_as_it_is_shown_and_leaves_nothing() {
    let dir = tempfile::Builder::new().prefix("minijob-story-newcomer-").tempdir().expect("a directory");
    let long = dir.path().join("long.yml");
    std::fs::write(&long, tests::job::batch("long", "echo it began; exec sleep 1000")).expect("writable");
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository");
    let terminal = Terminal::new(dir.path(), repository);
    let (first, second) = (terminal.open("first"), terminal.open("second"));

    first.type_line("minijob dev examples/hello.yml");
    let screen = first.sees(&[
        "Ctrl-C stops everything it started",
        "hello: healthy",
        "next, in another terminal:",
        "hello.hello.0/hello | hello number 3 from instance 0",
        "hello.hello.1/hello | hello number 3 from instance 1",
    ]);
    let shown = |command: &str| {
        let line = screen.lines().map(str::trim).find(|line| line.starts_with(command));
        line.unwrap_or_else(|| panic!("`{command}` is shown: {screen}")).to_owned()
    };
    let logs = shown("minijob logs -f hello");
    looks_at_hello(&second, &shown("minijob status hello"), &logs);
    // The address, where it is not the usual one.
    let addr = logs.split_once(" --addr ").map(|(_, addr)| format!(" --addr {addr}")).unwrap_or_default();
    runs_and_does_not_wait(&second, &addr, &long);

    let before = first.screen().matches("from instance 1").count();
    first.sees(&[&format!("hello number {} from instance 1", before + 2)]);
    first.press("C-c");
    first.prompt(0);
    let names = std::fs::read_dir(dir.path()).expect("it is there").flatten();
    let names: Vec<String> = names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    assert!(names.iter().all(|name| name == "tmux" || name == "long.yml"), "all gone: {names:?}");
    second.type_line(&format!("minijob status{addr}"));
    let screen = second.prompt(4);
    for word in ["error: no server can be reached at ", "hint: try `minijob dev`"] {
        assert!(screen.contains(word), "{screen}");
    }
    terminal.close();
    until(SOON, "nothing runs any more", || match process::mentioning(dir.path()) {
        none if none.is_empty() => Ok(()),
        some => Err(format!("{some:?}")),
    });
}

/// Types the two commands that `dev` has shown.
fn looks_at_hello(window: &Window<'_>, status: &str, logs: &str) {
    window.type_line(status);
    let screen = window.prompt(0);
    for word in ["hello.hello.0", "hello.hello.1", "healthy", "1 of 4"] {
        assert!(screen.contains(word), "{screen}");
    }
    window.type_line(logs);
    let screen = window.sees(&[
        "hello.hello.0/hello | hello number 1 from instance 0",
        "hello.hello.1/hello | hello number 1 from instance 1",
    ]);
    let begun = screen.matches("from instance 0").count();
    window.sees(&[&format!("hello number {} from instance 0", begun + 2)]);
    window.press("C-c");
    window.prompt(130);
}

/// Runs the same again, and something that takes long.
fn runs_and_does_not_wait(window: &Window<'_>, addr: &str, long: &Path) {
    window.type_line(&format!("minijob run examples/hello.yml{addr}"));
    let screen = window.prompt(0);
    assert!(
        screen.contains("hello: nothing changed, version 1") && screen.contains("hello: healthy"),
        "{screen}"
    );
    window.type_line(&format!("minijob run --wait {}{addr}", long.display()));
    window.sees(&["long.long.0: running on dev", "long  1 wanted, 1 running"]);
    window.press("C-c");
    let screen = window.prompt(130);
    let left = "long: not followed any more; it goes on. `minijob status long` shows how it is";
    assert!(screen.contains(left), "{screen}");
    window.type_line(&format!("minijob status{addr}"));
    let screen = window.prompt(0);
    let row = |job: &str| screen.lines().find(|line| line.starts_with(job)).unwrap_or_default().to_owned();
    assert!(row("long ").contains("batch") && row("hello ").contains("service"), "{screen}");
    window.type_line(&format!("minijob logs -f long{addr}"));
    window.sees(&["\nit began"]);
    window.press("C-c");
    window.prompt(130);
}
