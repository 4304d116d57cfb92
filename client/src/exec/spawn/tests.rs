//! Commands beside a process of the test itself, which stands for a task's.

use std::time::Duration;

use super::super::place::hold;
use super::*;

/// A process to run beside, ended with this.
struct Task(Child);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Task {
    fn new() -> Self {
        let mut command = Command::new("sleep");
        command
            .arg("1000")
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("OF_TASK", "yes")
            .current_dir("/usr");
        Self(command.spawn().unwrap())
    }

    fn place(&self) -> Place {
        // The child of a moment ago may still be the copy of this process.
        std::thread::sleep(Duration::from_millis(50));
        hold(self.0.id()).and_then(|pidfd| Place::of(self.0.id(), pidfd)).unwrap()
    }

    async fn run(&self, argv: &[&str], change: impl FnOnce(&mut Spec)) -> Result<Running, SpawnError> {
        let argv = argv.iter().map(|arg| (*arg).to_owned()).collect();
        let mut spec = Spec { argv, stdin: false, terminal: None };
        change(&mut spec);
        spawn(spec, self.place()).await
    }
}

async fn all(wire: &Wire) -> String {
    let (mut bytes, mut chunk) = (Vec::new(), [0u8; 1024]);
    loop {
        match wire.read(&mut chunk).await.unwrap() {
            0 => return String::from_utf8(bytes).unwrap(),
            count => bytes.extend_from_slice(&chunk[..count]),
        }
    }
}

fn lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')))
}

async fn until_gone(pid: u32) {
    for _ in 0..500 {
        if !lives(pid) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("process {pid} is still there");
}

#[tokio::test]
async fn a_command_has_the_environment_and_the_directory_of_its_task_and_streams_of_its_own() {
    let task = Task::new();
    let script = "echo $OF_TASK $PWD; echo to stderr >&2; exit 7";
    let mut running = task.run(&["sh", "-c", script], |_| {}).await.unwrap();
    assert_eq!(all(&running.stdout).await, "yes /usr\n");
    assert_eq!(all(running.stderr.as_ref().unwrap()).await, "to stderr\n");
    assert_eq!((&mut running.ended).await.unwrap(), Ended::Code(7));
    running.release();
}

#[tokio::test]
async fn the_end_of_its_input_is_an_end() {
    let task = Task::new();
    let mut running = task.run(&["cat"], |spec| spec.stdin = true).await.unwrap();
    running.stdin.as_ref().unwrap().write_all(b"as it was sent").await.unwrap();
    running.stdin = None;
    assert_eq!(all(&running.stdout).await, "as it was sent");
    assert_eq!((&mut running.ended).await.unwrap(), Ended::Code(0));
}

#[tokio::test]
async fn a_terminal_has_a_name_a_size_and_a_session() {
    let task = Task::new();
    let script = "tty; stty size; ps -o tty= -p $$";
    let mut running = task.run(&["sh", "-c", script], |spec| spec.terminal = Some((33, 77))).await.unwrap();
    let said = all(&running.stdout).await;
    assert!(said.starts_with("/dev/pts/") && said.contains("33 77") && said.contains("pts/"), "{said}");
    assert_eq!((&mut running.ended).await.unwrap(), Ended::Code(0));
}

#[tokio::test]
async fn what_cannot_be_run_has_the_codes_of_shells() {
    let task = Task::new();
    let code = async |program: &str| task.run(&[program], |_| {}).await.map(drop).unwrap_err().code();
    assert_eq!(code("no-such-program-here").await, 127);
    assert_eq!(code("/etc/passwd").await, 126);
}

#[tokio::test]
async fn a_signal_that_ended_it_is_told() {
    let task = Task::new();
    let mut running = task.run(&["sh", "-c", "kill -9 $$"], |_| {}).await.unwrap();
    assert_eq!((&mut running.ended).await.unwrap(), Ended::Signal(9));
}

#[tokio::test]
async fn dropping_it_hangs_it_up() {
    let task = Task::new();
    let running = task.run(&["sleep", "1000"], |_| {}).await.unwrap();
    let pid = running.pid();
    assert!(lives(pid));
    drop(running);
    until_gone(pid).await;
}

#[tokio::test]
async fn what_ignores_that_is_killed_with_all_of_its_session() {
    let task = Task::new();
    let script = "trap '' HUP; set -m; sleep 1000 & echo $!; wait";
    let running = task.run(&["bash", "-c", script], |_| {}).await.unwrap();
    let (pid, mut line) = (running.pid(), [0u8; 32]);
    let count = running.stdout.read(&mut line).await.unwrap();
    let job: u32 = std::str::from_utf8(&line[..count]).unwrap().trim().parse().unwrap();
    drop(running);
    assert!(lives(pid), "it ignores SIGHUP");
    until_gone(pid).await;
    until_gone(job).await;
}
