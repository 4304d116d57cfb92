//! Which server is asked, with which token, and what is said when none answers.

use std::os::unix::fs::PermissionsExt;

use proto::view::Health;

use crate::server::{Script, Server, TOKEN, dead_address};
use crate::views::summary;
use crate::world::{World, outcome};

fn server() -> Server {
    Server::start(Script { jobs: vec![summary("web", Health::Healthy)], ..Script::default() })
}

#[test]
fn no_server_is_exit_4_and_names_the_address_and_the_next_step() {
    let address = dead_address();
    let world = World::new();
    let expected = format!(
        "error: no server can be reached at {address}: connection refused\n\
         hint: try `minijob dev` for a cluster of your own, or name a server with --addr or MINIJOB_ADDR\n"
    );
    world.ask(&address, &["status"]).expect(4, "", &expected);
    let json = world.ask(&address, &["status", "--json"]);
    assert_eq!((json.code, &json.error_json()["kind"]), (Some(4), &"unavailable".into()));
}

#[test]
fn without_any_setup_the_server_on_this_machine_is_asked() {
    // Whether one runs here or not, and whether it takes us or not: it is that address.
    let shown = World::new().run(&["status", "--addr", ""]);
    let asked =
        shown.code == Some(0) || shown.stderr.contains("http://127.0.0.1:4650") || shown.code == Some(5);
    assert!(asked, "{shown:?}");
}

#[test]
fn the_second_address_is_asked_when_the_first_is_dead() {
    let server = server();
    let addresses = format!("{},{}", dead_address(), server.url());
    assert_eq!(World::new().ask(&addresses, &["status"]).code, Some(0));
}

#[test]
fn several_dead_servers_are_named_one_by_one() {
    let (first, second) = (dead_address(), dead_address());
    let shown = World::new().ask(&format!("{first},{second}"), &["status"]);
    assert_eq!(shown.code, Some(4));
    assert!(shown.stderr.starts_with("error: none of 2 servers can be reached\n"), "{shown:?}");
    for address in [first, second] {
        assert!(shown.stderr.contains(&format!("  {address}: connection refused\n")), "{shown:?}");
    }
}

#[test]
fn a_port_where_something_else_answers_is_no_server() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    // It ends with the test's process: how often it is tried is not the point.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let _ = std::io::Write::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let shown = World::new().ask(&address.to_string(), &["status"]);
    assert_eq!(shown.code, Some(4), "{shown:?}");
    assert!(shown.stderr.contains("the connection ended without an answer"), "{shown:?}");
}

#[test]
fn an_address_that_is_none_is_wrong_usage() {
    let shown = World::new().run(&["status", "--addr", "https://10.0.0.1:4650"]);
    assert_eq!(shown.code, Some(2));
    assert!(shown.stderr.contains("no CA is known to believe https://10.0.0.1:4650 by"), "{shown:?}");
}

#[test]
fn a_wrong_token_is_exit_5_and_says_where_it_came_from() {
    let server = server();
    World::new().run(&["status", "--addr", &server.url(), "--token", "wrong"]).expect(
        5,
        "",
        "error: this token is not known here\n\
         hint: the token came from --token or MINIJOB_TOKEN; is it one of this cluster?\n",
    );
}

/// Leaves the note of a `dev` that runs as this very process.
fn leave_note(world: &World, addr: &str, token: &str, pid: u32) {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", std::process::id())).expect("own stat");
    let after_name = stat.rsplit_once(')').expect("a name").1;
    let started: u64 =
        after_name.split_ascii_whitespace().nth(19).expect("a field").parse().expect("a number");
    let note = serde_json::json!({"addr": addr, "token": token, "pid": pid, "started": started});
    world.file("minijob-dev.json", &note.to_string());
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(world.path("minijob-dev.json"), mode).expect("mode set");
}

#[test]
fn a_running_dev_is_found_without_any_setup() {
    let server = server();
    let world = World::new();
    leave_note(&world, &server.url(), TOKEN, std::process::id());
    assert_eq!(world.run(&["status"]).code, Some(0));
    let by_address = world.run(&["status", "--addr", &server.url()]);
    assert_eq!(by_address.code, Some(0), "its token is known also when its address is given: {by_address:?}");
}

#[test]
fn a_dev_that_has_gone_is_not_asked() {
    let server = server();
    let world = World::new();
    leave_note(&world, &server.url(), TOKEN, u32::MAX);
    let shown = world.run(&["status"]);
    assert!(server.script().list_requests.is_empty(), "{shown:?}");
}

#[test]
fn the_token_file_of_a_server_of_this_user_is_found() {
    if std::path::Path::new("/var/lib/minijob/server/token").exists() {
        // The system's server comes first, and this machine has one.
        return;
    }
    let server = server();
    let world = World::new();
    let directory = world.home().join(".local/share/minijob/server");
    std::fs::create_dir_all(&directory).expect("made");
    std::fs::write(directory.join("token"), format!("{TOKEN}\n")).expect("written");
    let mut command = world.command(&["status"]);
    command.env("MINIJOB_ADDR", server.url());
    let shown = outcome(command.spawn().expect("it starts"));
    assert_eq!(shown.code, Some(0), "{shown:?}");
}
