use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use tests::command::{Answer, bare};
use tests::job;
use tests::process::{signal, sweep};
use tests::wait::until;

/// How long anything may take on a machine that does much else.
const SOON: Duration = Duration::from_secs(60);

/// One server with a key, and agents. When it is dropped nothing of it is left.
struct Keyed {
    dir: tempfile::TempDir,
    addr: String,
    server: Daemon,
}

/// A process and what it has said.
struct Daemon {
    child: Child,
    said: Arc<Mutex<String>>,
    data: String,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Daemon {
    fn spawn(args: &[&str], data: &str) -> Self {
        let mut command = bare(args);
        command.args(["--data-dir", data]).env("MINIJOB_TEST_DIR", data).env("XDG_CONFIG_HOME", data);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let (stderr, said) = (child.stderr.take().expect("piped"), Arc::new(Mutex::new(String::new())));
        let heard = said.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                eprintln!("{line}");
                let mut said = heard.lock().expect("nobody panics with it");
                said.push_str(&line);
                said.push('\n');
            }
        });
        Self { child, said, data: data.to_owned() }
    }

    fn until_it_says(&self, what: &str) {
        until(SOON, &format!("it says {what:?}"), || {
            let said = self.said.lock().expect("nobody panics with it").clone();
            if said.contains(what) { Ok(()) } else { Err(said) }
        });
    }
}

impl Keyed {
    fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("minijob-story-").tempdir().expect("a directory");
        std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .expect("ours");
        let port = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = port.local_addr().expect("bound").to_string();
        drop(port);
        for key in ["key", "another"] {
            let path = dir.path().join(key).to_string_lossy().into_owned();
            let made: Answer = bare(&["operator", "key", &path]).output().expect("it runs").into();
            assert_eq!(made.code, 0, "{made:?}");
        }
        let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
        let args = ["server", "--listen", &addr, "--name", "s0", "--key-file", &path("key")];
        let server = Daemon::spawn(&args, &path("s0"));
        let keyed = Self { addr, server, dir };
        until(SOON, "the server answers over TLS", || match keyed.run(&["status"]) {
            answer if answer.code == 0 => Ok(()),
            answer => Err(format!("{answer:?}")),
        });
        keyed
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_string_lossy().into_owned()
    }

    fn token(&self) -> String {
        std::fs::read_to_string(self.path("s0/token")).unwrap_or_default().trim().to_owned()
    }

    /// Runs a command as a person who has the CA and the token.
    fn run(&self, args: &[&str]) -> Answer {
        let mut command = bare(args);
        command.env("MINIJOB_ADDR", &self.addr).env("MINIJOB_CA_FILE", self.path("s0/ca.pem"));
        command.env("MINIJOB_TOKEN", self.token()).output().expect("it runs").into()
    }

    fn agent(&self, data: &str, name: &str, more: &[&str]) -> Daemon {
        let args = ["agent", "--servers", &self.addr, "--name", name];
        Daemon::spawn(&[&args[..], more].concat(), &self.path(data))
    }

    fn until_nodes_up(&self, names: &[&str]) {
        until(SOON, &format!("{names:?} are up"), || {
            let answer = self.run(&["node", "status", "--json"]);
            let items = answer.json()["items"].as_array().cloned().unwrap_or_default();
            let is_up = |node: &Value| node["liveness"] == "up" || node["status"] == "up";
            let mut up: Vec<String> = items
                .iter()
                .filter(|node| is_up(node))
                .filter_map(|node| Some(node["name"].as_str()?.to_owned()))
                .collect();
            up.sort();
            if up == names { Ok(()) } else { Err(format!("{answer:?}")) }
        });
    }
}

impl Drop for Keyed {
    fn drop(&mut self) {
        self.server.child.kill().ok();
        for name in ["n0", "n1", "n2"] {
            sweep(&self.dir.path().join(name));
        }
    }
}

/// Promise: where there is a key, an agent is what has enrolled with it, once: then its certificate is enough. Who has another key, or a token
/// alone, runs nothing and is told why; and no agent speaks for another's node.
#[test]
fn an_agent_enrols_once_with_the_key_and_nobody_else_is_one() {
    let keyed = Keyed::start();
    let key = keyed.path("key");
    let first = keyed.agent("n0", "n0", &["--key-file", &key]);
    keyed.until_nodes_up(&["n0"]);
    let file = keyed.dir.path().join("job.yml");
    std::fs::write(&file, job::shell("web", 1, "echo hello; while :; do sleep 1; done")).expect("written");
    let ran = keyed.run(&["run", &file.to_string_lossy(), "--timeout", "60s"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    // Output comes on another connection of the agent, which shows its certificate, too.
    until(SOON, "its output is read", || match keyed.run(&["logs", "web"]) {
        answer if answer.stdout.contains("hello") => Ok(()),
        answer => Err(format!("{answer:?}")),
    });
    let kept = std::fs::metadata(keyed.path("n0/member.pem")).expect("kept");
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&kept.permissions()) & 0o777, 0o600);

    drop(first);
    let again = keyed.agent("n0", "n0", &[]);
    again.until_it_says("registered");

    let stranger = keyed.agent("n1", "n1", &["--key-file", &keyed.path("another")]);
    stranger.until_it_says("different key files");
    // What is in n0 names n0.
    std::fs::create_dir_all(keyed.path("n2")).expect("ours");
    for file in ["member.pem", "ca.pem"] {
        std::fs::copy(format!("{}/{file}", again.data), format!("{}/{file}", keyed.path("n2")))
            .expect("copied");
    }
    let thief = keyed.agent("n2", "n2", &[]);
    thief.until_it_says("it has no key to get another one");
    keyed.until_nodes_up(&["n0"]);
}

/// Promise: people are believed by their token and believe servers by the cluster's CA; without it, or with another, nothing is asked and the
/// next step is said.
#[test]
fn people_see_whether_the_server_is_the_clusters() {
    let keyed = Keyed::start();
    let ask = |addr: &str, ca: Option<&str>| -> Answer {
        let mut command = bare(&["status"]);
        command.env("MINIJOB_ADDR", addr).env("MINIJOB_TOKEN", keyed.token());
        command.env("HOME", "/nonexistent").env_remove("MINIJOB_CA_FILE");
        command.envs(ca.map(|ca| ("MINIJOB_CA_FILE", ca))).output().expect("it runs").into()
    };
    let https = format!("https://{}", keyed.addr);
    assert_eq!(ask(&https, Some(&keyed.path("s0/ca.pem"))).code, 0);
    let unknown = ask(&https, None);
    assert_eq!(unknown.code, 2, "{unknown:?}");
    assert!(unknown.stderr.contains("--ca-file"), "{unknown:?}");
    let other = Keyed::start();
    let foreign = ask(&https, Some(&other.path("s0/ca.pem")));
    assert_eq!(foreign.code, 4, "{foreign:?}");
    assert!(foreign.stderr.contains("another cluster"), "{foreign:?}");
    let plain = ask(&format!("http://{}", keyed.addr), None);
    assert_eq!(plain.code, 4, "{plain:?}");
    let curl = std::process::Command::new("curl")
        .args(["-s", "-m", "10", "--cacert", &keyed.path("s0/ca.pem"), &format!("{https}/health")])
        .output()
        .expect("curl runs");
    assert!(curl.status.success(), "other programs believe it by the CA: {curl:?}");
}

/// Promise: an agent that is thrown out is gone at once and comes back when it is let in; saying either twice changes nothing.
#[test]
fn an_agent_is_thrown_out_and_let_in_again_by_its_name() {
    let keyed = Keyed::start();
    let agent = keyed.agent("n0", "n0", &["--key-file", &keyed.path("key")]);
    keyed.until_nodes_up(&["n0"]);
    let changed = |args: &[&str]| -> bool {
        let answer = keyed.run(&[&["operator", "member"][..], args, &["--json"]].concat());
        assert_eq!(answer.code, 0, "{answer:?}");
        answer.json()["changed"].as_bool().expect("whether")
    };
    assert!(changed(&["deny", "n0"]));
    assert!(!changed(&["deny", "n0"]));
    keyed.until_nodes_up(&[]);
    let listed = keyed.run(&["operator", "member", "list"]);
    assert!(listed.stdout.contains("thrown out, remembered until"), "{listed:?}");
    agent.until_it_says("thrown out of the cluster");
    let unknown = keyed.run(&["operator", "member", "deny", "n9"]);
    assert!(unknown.code != 0 && unknown.stderr.contains("operator member list"), "{unknown:?}");
    assert!(changed(&["allow", "n0"]));
    assert!(!changed(&["allow", "n0"]));
    keyed.until_nodes_up(&["n0"]);
}

/// Promise: the cluster's key is changed while everything goes on; then the old one opens nothing, and says so. Nothing is retired too early.
#[test]
fn the_key_is_changed_by_a_file_and_a_signal() {
    let keyed = Keyed::start();
    let (key, old) = (keyed.path("key"), keyed.path("old"));
    std::fs::copy(&key, &old).expect("copied");
    let _member = keyed.agent("n0", "n0", &["--key-file", &key]);
    keyed.until_nodes_up(&["n0"]);
    let reload = || signal(keyed.server.child.id(), Signal::SIGHUP);
    let rotated = keyed.run(&["operator", "key", "rotate", &key]);
    assert_eq!(rotated.code, 0, "{rotated:?}");
    let early = keyed.run(&["operator", "key", "retire", &key]);
    assert!(early.code != 0 && early.stderr.contains("s0"), "the server has not read it: {early:?}");
    let twice = keyed.run(&["operator", "key", "rotate", &key]);
    assert!(twice.code != 0 && twice.stderr.contains("retire"), "{twice:?}");
    reload();
    until(SOON, "the old key can be retired", || match keyed.run(&["operator", "key", "retire", &key]) {
        answer if answer.code == 0 => Ok(()),
        answer => Err(format!("{answer:?}")),
    });
    let again = keyed.run(&["operator", "key", "retire", &key, "--json"]);
    assert_eq!(again.json()["changed"], false, "{again:?}");
    reload();
    keyed.server.until_it_says("going by 1 of the cluster's keys");
    let stranger = keyed.agent("n1", "n1", &["--key-file", &old]);
    stranger.until_it_says("different key files");
    let _third = keyed.agent("n2", "n2", &["--key-file", &key]);
    keyed.until_nodes_up(&["n0", "n2"]);
}

/// Promise: another administrator's token takes the place of the first one, at once and for good, in a file that only its owner reads; whoever lost it makes another with
/// the cluster's key.
#[test]
fn the_administrators_token_is_changed_and_the_one_before_opens_nothing() {
    let keyed = Keyed::start();
    let with = |token: &str, args: &[&str]| -> Answer {
        let mut command = bare(args);
        command.env("MINIJOB_ADDR", &keyed.addr).env("MINIJOB_CA_FILE", keyed.path("s0/ca.pem"));
        command.env("MINIJOB_TOKEN", token).output().expect("it runs").into()
    };
    let (first, file) = (keyed.token(), keyed.path("admin"));
    let nowhere = with(&first, &["operator", "token", "rotate"]);
    assert!(nowhere.code != 0 && nowhere.stderr.contains("--out"), "{nowhere:?}");
    assert_eq!(with(&first, &["operator", "token", "rotate", "--out", &file]).code, 0);
    let mode = std::fs::metadata(&file).expect("there").permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o600);
    let second = std::fs::read_to_string(&file).expect("a token").trim().to_owned();
    assert_eq!(with(&second, &["status"]).code, 0);
    let refused = with(&first, &["status"]);
    assert_eq!(refused.code, 5, "{refused:?}");
    let other =
        with(&second, &["operator", "token", "rotate", "--out", &file, "--key-file", &keyed.path("another")]);
    assert!(other.code != 0, "{other:?}");
    assert_eq!(with(&second, &["status"]).code, 0, "nothing was changed");
    let lost = with("", &["operator", "token", "rotate", "--out", &file, "--key-file", &keyed.path("key")]);
    assert_eq!(lost.code, 0, "{lost:?}");
    let third = std::fs::read_to_string(&file).expect("a token").trim().to_owned();
    assert_eq!(with(&third, &["status"]).code, 0);
    assert_eq!(with(&second, &["status"]).code, 5);
}
