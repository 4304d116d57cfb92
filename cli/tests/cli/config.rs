//! What daemons go by, contexts, services, the manual: all without a server but where a context must reach one.

use crate::server::{Script, Server, TOKEN};
use crate::views::summary;
use crate::world::{Outcome, World};
use proto::view::Health;

/// Replaces what differs between machines.
fn plain(shown: &Outcome, world: &World) -> String {
    shown.stdout.replace(&world.home().display().to_string(), "HOME")
}

/// Runs a command with more variables.
fn with(world: &World, env: &[(&str, &str)], args: &[&str]) -> Outcome {
    let mut command = world.command(args);
    command.envs(env.iter().copied());
    crate::world::outcome(command.spawn().expect("the program starts"))
}

#[test]
fn print_config_shows_what_an_agent_goes_by_and_who_said_so() {
    let world = World::new();
    let file = world.file(
        "agent.yml",
        "name: vm7\ndata_dir: /data/agent\nservers: [10.0.0.1:4650, 10.0.0.2]\nmeta: {rack: r1, note: 'a: b'}\n\
         reserve: {cpu: 500m, memory: 512MiB}\nvolumes:\n  pgdata: /srv/pg\nallow_root: true\ndefault_user: web\n",
    );
    let env = [("MINIJOB_ALLOW_PATHS", "/srv,/opt"), ("MINIJOB_NAME", "other"), ("MINIJOB_TOKEN", "s3cret")];
    let args =
        ["agent", "--config", &file, "--name", "vm8", "--http-addr", "127.0.0.1:4651", "--print-config"];
    let shown = with(&world, &env, &args);
    let expected = "\
name: vm8                                # --name
data_dir: /data/agent                    # agent.yml:2
servers: [10.0.0.1:4650, 10.0.0.2:4650]  # agent.yml:3
# token_file: not set                    # default
# key_file: not set                      # default
# advertise: not set                     # default
http: 127.0.0.1:4651                     # --http-addr
meta: {note: \"a: b\", rack: r1}           # agent.yml:4
# failure_domain: not set                # default
# capacity: not set                      # default
reserve: {cpu: 500m, memory: 512MiB}     # agent.yml:5
volumes: {pgdata: /srv/pg}               # agent.yml:6
allow_paths: [/srv, /opt]                # MINIJOB_ALLOW_PATHS
allow_root: true                         # agent.yml:8
default_user: web                        # agent.yml:9
# drain_on_shutdown: not set             # default
log_level: \"info,openraft=off\"           # default
log_json: false                          # default
# token: (not shown)                     # MINIJOB_TOKEN
";
    shown.expect(0, expected, "");
}

#[test]
fn print_config_shows_what_a_server_goes_by_and_who_said_so() {
    let world = World::new();
    let file = world.file("server.yml", "name: s1\ndata_dir: /data/server\nraft: {heartbeat: 100ms}\n");
    let env = [("MINIJOB_CONFIG", file.as_str()), ("MINIJOB_NODE_TIMEOUT", "6s")];
    let shown = with(&world, &env, &["server", "--print-config", "--listen", "10.0.0.1:4650"]);
    let expected = "\
name: s1                          # server.yml:1
data_dir: /data/server            # server.yml:2
listen: 10.0.0.1:4650             # --listen
# advertise: not set              # default
# heartbeat: not set              # default
node_timeout: 6s                  # MINIJOB_NODE_TIMEOUT
raft:
  heartbeat: 100ms                # server.yml:3
  election_timeout: 600ms..900ms  # default
# log_store: not set              # default
# join: not set                   # default
bootstrap_expect: 1               # default
# key_file: not set               # default
snapshots:
  # to: not set                   # default
  every: 1h                       # default
  keep: 48                        # default
log_level: \"info,openraft=off\"    # default
log_json: false                   # default
";
    shown.expect(0, expected, "");
    let json = with(&world, &env, &["server", "--print-config", "--json"]).json();
    assert_eq!(json["items"][0], serde_json::json!({"key": "name", "value": "s1", "origin": "server.yml:1"}));
}

#[test]
fn what_print_config_prints_holds_wherever_it_is_read() {
    let world = World::new();
    std::fs::create_dir(world.path("keys")).expect("a directory");
    for daemon in ["server", "agent"] {
        let printed = world.run(&[daemon, "--name", "x", "--data-dir", "data", "--print-config"]);
        assert!(plain(&printed, &world).contains("\ndata_dir: HOME/data"), "{printed:?}");
        let file = world.file("printed.yml", &printed.stdout);
        let again = world.run(&[daemon, "--config", &file, "--print-config"]);
        assert!(plain(&again, &world).contains("\ndata_dir: HOME/data"), "{again:?}");
        let above = world.run(&[daemon, "--data-dir", "keys/..", "--print-config"]);
        let plain = plain(&above, &world);
        assert!(plain.contains("\ndata_dir: HOME "), "no file may say `..`: {above:?}");
    }
}

#[test]
fn a_wrong_file_is_exit_2_before_anything_begins() {
    let world = World::new();
    let file = world.file("agent.yml", "name: vm7\nservres: [10.0.0.1]\nreserve: {memory: 512}\n");
    let shown = world.run(&["agent", "--config", &file, "--data-dir", "data"]);
    let expected = "\
error: agent.yml: 2 errors
  agent.yml:2:1: unknown key `servres`
    | servres: [10.0.0.1]
    | ^
    did you mean `servers`?
  agent.yml:3:19: `memory` is `512` without a unit
    | reserve: {memory: 512}
    |                   ^
    did you mean `512MiB`?
";
    shown.expect(2, "", expected);
    assert!(!world.path("data").exists(), "nothing was begun");
    let shown = world.run(&["server", "--config", "none.yml"]);
    let hint = "hint: name a file that is there with --config, or make this one\n";
    shown.expect(2, "", &format!("error: cannot read none.yml: no such file or directory\n{hint}"));
}

#[test]
fn a_context_chooses_servers_token_and_namespace() {
    let jobs = vec![summary("shop", Health::Healthy)];
    let server = Server::start(Script { jobs, ..Script::default() });
    let world = World::new();
    std::fs::create_dir_all(world.path(".config/minijob")).expect("writable");
    world.file("prod.token", TOKEN);
    // The first address is nobody's: the next one is tried.
    let text = format!(
        "# mine\ncurrent: lab\nprod: {{address: ['127.0.0.1:1', '{}'], token_file: ~/prod.token, namespace: dmz}}\n\
         lab: {{address: 127.0.0.1:1}}\n",
        server.url()
    );
    world.file(".config/minijob/contexts.yml", &text);

    let shown = world.run(&["-c", "prod", "status", "--json"]);
    assert_eq!((shown.code, &shown.json()["items"][0]["name"]), (Some(0), &"shop".into()), "{shown:?}");
    let shown = with(&world, &[("MINIJOB_CONTEXT", "prod")], &["status"]);
    assert_eq!(shown.code, Some(0), "{shown:?}");
    let shown = with(&world, &[("MINIJOB_ADDR", "127.0.0.1:2")], &["-c", "prod", "status"]);
    assert_eq!(shown.code, Some(0), "a flag is meant for this command: {shown:?}");
    assert_eq!(world.run(&["status"]).code, Some(4), "the current one has no server");
    let shown = world.run(&["status", "--addr", &server.url(), "--token", TOKEN]);
    assert_eq!(shown.code, Some(0), "an address wins over the current context: {shown:?}");
    let shown = world.run(&["-c", "prd", "status"]);
    shown.expect(2, "", "error: no context `prd`\nhint: did you mean `prod`?\n");

    world.run(&["context", "use", "prod"]).expect(0, "prod is the current context\n", "");
    world.run(&["context", "use", "prod"]).expect(0, "prod is the current context already\n", "");
    assert_eq!(world.run(&["status"]).code, Some(0));
    let kept = std::fs::read_to_string(world.path(".config/minijob/contexts.yml")).expect("there");
    assert_eq!(kept, text.replace("current: lab", "current: prod"), "the rest stays as it was written");
    let listed = world.run(&["context", "list", "--json"]).json();
    assert_eq!((&listed["items"][0]["name"], &listed["items"][1]["current"]), (&"lab".into(), &true.into()));
    let listed = world.run(&["context", "list"]);
    assert!(listed.stdout.contains("*") && !listed.stdout.contains(TOKEN), "{listed:?}");
}

#[test]
fn no_contexts_are_an_empty_answer_that_says_where_they_would_be() {
    let world = World::new();
    let listed = world.run(&["context", "list"]);
    assert_eq!((listed.code, listed.stderr.as_str()), (Some(0), ""), "{listed:?}");
    let file = world.path(".config/minijob/contexts.yml").display().to_string();
    assert!(listed.stdout.starts_with(&format!("no contexts yet: {file} holds none\n")), "{listed:?}");
    let json = world.run(&["context", "list", "--json"]);
    assert_eq!((json.code, &json.json()["items"]), (Some(0), &serde_json::json!([])));
}

#[test]
fn a_contexts_token_goes_to_its_own_servers_only() {
    let server = Server::start(Script::default());
    let world = World::new();
    std::fs::create_dir_all(world.path(".config/minijob")).expect("writable");
    world.file(".config/minijob/contexts.yml", &format!("prod: {{address: 10.0.0.1, token: {TOKEN}}}\n"));
    let shown = world.run(&["-c", "prod", "--addr", &server.url(), "status"]);
    assert_eq!(shown.code, Some(5), "without a token: {shown:?}");
}

#[test]
fn up_shows_what_it_would_write() {
    let world = World::new();
    let shown = world.run(&["up", "--dry-run"]);
    let program = std::fs::canonicalize(env!("CARGO_BIN_EXE_minijob")).expect("it is built");
    let units = plain(&shown, &world).replace(&program.display().to_string(), "/usr/local/bin/minijob");
    let (_, units) = units.split_once("## /etc/systemd/system/minijob-server.service\n").expect("the units");
    let expected = "\
[Unit]
Description=minijob server
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
ExecStart=/usr/local/bin/minijob server --config /etc/minijob/server.yml
ExecReload=/bin/kill -HUP $MAINPID
Restart=always
RestartSec=1
OOMScoreAdjust=-900
LimitNOFILE=65536

[Install]
WantedBy=multi-user.target

## /etc/systemd/system/minijob-agent.service
[Unit]
Description=minijob agent
Wants=network-online.target
After=network-online.target minijob-server.service
StartLimitIntervalSec=0

[Service]
ExecStart=/usr/local/bin/minijob agent --config /etc/minijob/agent.yml
ExecReload=/bin/kill -HUP $MAINPID
Restart=always
RestartSec=1
OOMScoreAdjust=-900
# Tasks and the keeper that holds them outlive the agent, and have control groups of their own below its.
KillMode=process
Delegate=yes
TasksMax=infinity

[Install]
WantedBy=multi-user.target
";
    assert_eq!(units, expected);
}

#[test]
fn up_joins_a_cluster_with_its_key_as_a_server_where_it_is_named_and_else_as_an_agent() {
    let world = World::new();
    let shown = world.run(&["up", "--join", "10.0.0.1"]);
    assert_eq!(shown.code, Some(2), "{shown:?}");
    assert!(shown.stderr.contains("--key-file <FILE>"), "{shown:?}");
    let would = |join: &str| {
        let shown = world.run(&["up", "--dry-run", "--join", join, "--key-file", "/k"]);
        assert_eq!(shown.code, Some(0), "{shown:?}");
        shown.stdout
    };
    // Of 203.0.113.0/24 no machine has an address.
    let server = would("203.0.113.1,127.0.0.1,203.0.113.3");
    assert!(
        server.contains("join: [203.0.113.1:4650, 127.0.0.1:4650, 203.0.113.3:4650]\nbootstrap_expect: 3\n"),
        "{server}"
    );
    assert!(server.contains("servers: [127.0.0.1:4650, 203.0.113.1:4650, 203.0.113.3:4650]\n"), "{server}");
    let agent = would("203.0.113.1,203.0.113.2,203.0.113.3");
    assert!(
        !agent.contains("server.yml") && agent.contains("key_file: /etc/minijob/cluster.key\n"),
        "{agent}"
    );
}

#[test]
fn without_systemd_up_says_what_to_run_and_down_what_to_stop() {
    if std::path::Path::new("/run/systemd/system").exists() {
        return;
    }
    let world = World::new();
    let shown = world.run(&["up"]);
    assert_eq!(shown.code, Some(1), "{shown:?}");
    assert!(shown.stderr.contains("server --data-dir /var/lib/minijob/server"), "{shown:?}");
    assert_eq!(world.run(&["down"]).code, Some(1));
}

#[test]
fn bash_takes_the_completion_and_every_command_has_a_page() {
    let world = World::new();
    let script = world.run(&["completion", "bash"]);
    assert_eq!(script.code, Some(0), "{script:?}");
    world.file("completion.bash", &script.stdout);
    let ask = ". ./completion.bash; COMP_WORDS=(minijob val); COMP_CWORD=1; _minijob minijob val minijob; echo ${COMPREPLY[@]}";
    if let Ok(shown) = std::process::Command::new("bash").args(["-c", ask]).current_dir(world.home()).output()
    {
        assert_eq!(String::from_utf8_lossy(&shown.stdout), "validate\n", "{shown:?}");
    }
    let shown = world.run(&["man", "--dir", "man1"]);
    assert_eq!(shown.code, Some(0), "{shown:?}");
    for command in ["dev", "run", "status", "server", "agent", "up", "context-use"] {
        assert!(world.path(&format!("man1/minijob-{command}.1")).exists(), "{command}");
    }
    assert!(world.run(&["man"]).stdout.contains(".TH minijob 1"));
}
