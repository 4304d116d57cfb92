use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use tests::command::bare;
use tests::process;
use tests::wait::{SOON, until};

/// `minijob dev hello.yml`, started as a newcomer does, with its own place for temporary files.
struct Dev {
    child: Child,
    dir: tempfile::TempDir,
}

impl Dev {
    fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("minijob-story-dev-").tempdir().expect("a directory");
        let file = dir.path().join("hello.yml");
        std::fs::write(&file, tests::job::shell("hello", 2, "while true; do echo hello; sleep 0.1; done"))
            .expect("writable");
        let mut command = bare(&["dev", "--listen", "127.0.0.1:0", &file.to_string_lossy()]);
        command.env("TMPDIR", dir.path()).env("XDG_RUNTIME_DIR", dir.path()).process_group(0);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
        let dev = Self { child, dir };
        until(SOON, "two tasks run", || {
            let tasks = dev.tasks();
            if tasks.len() >= 2 { Ok(()) } else { Err(format!("{tasks:?}")) }
        });
        dev
    }

    fn tasks(&self) -> Vec<u32> {
        let all = process::mentioning(self.dir.path());
        all.into_iter()
            .filter(|pid| {
                std::fs::read(format!("/proc/{pid}/environ"))
                    .is_ok_and(|env| contains(&env, b"MINIJOB_ALLOC_ID="))
            })
            .collect()
    }

    fn all_gone(&self, at_most: Duration) {
        until(at_most, "nothing of it runs and its directory is gone", || {
            let left = process::mentioning(self.dir.path());
            let dirs = temporary(self.dir.path());
            if left.is_empty() && dirs.is_empty() { Ok(()) } else { Err(format!("{left:?} {dirs:?}")) }
        });
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        self.child.kill().ok();
        let mut said = String::new();
        if std::thread::panicking()
            && let Some(stderr) = &mut self.child.stderr
        {
            stderr.read_to_string(&mut said).ok();
            eprintln!("{said}");
        }
        process::sweep(self.dir.path());
        self.child.wait().ok();
    }
}

fn temporary(dir: &Path) -> Vec<String> {
    let names = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("minijob-dev-") && !name.ends_with(".json")).collect()
}

fn contains(hay: &[u8], needle: &[u8]) -> bool {
    hay.windows(needle.len()).any(|window| window == needle)
}

/// Ctrl-C ends everything that `dev` started.
#[test]
fn ctrl_c_leaves_nothing_behind() {
    let mut dev = Dev::start();
    process::signal(dev.child.id(), Signal::SIGINT);
    let code = until(SOON, "dev has ended", || {
        dev.child.try_wait().ok().flatten().ok_or_else(|| "it runs".to_owned())
    });
    assert_eq!(code.code(), Some(0));
    dev.all_gone(Duration::from_secs(5));
}

/// kill -9 of `dev` too: the parent of its tasks ends them soon after.
#[test]
fn kill_9_leaves_nothing_behind() {
    let mut dev = Dev::start();
    process::signal(dev.child.id(), Signal::SIGKILL);
    dev.child.wait().ok();
    dev.all_gone(Duration::from_secs(30));
}
