//! Files of monexec: `convert` prints them as job files, the other commands take them as they are.

use std::io::Write as _;
use std::process::Stdio;

use crate::server::{Script, Server};
use crate::world::{Outcome, World, outcome};

const SHOP: &str = "services:\n  \
    - label: shop api\n    command: /usr/bin/api\n    args: [-c, \"echo ${HOME}\"]\n    restart: 2\n    envFiles: [dev.env, gone.env]\n  \
    - command: ./worker\n    workdir: run\n\
    critical: [shop api]\n\
    telegram: {token: x}\n";

fn world() -> World {
    let world = World::new();
    world.file("shop.yaml", SHOP);
    world.file("dev.env", "MAIL=me\n");
    world
}

fn with_input(world: &World, args: &[&str], input: &str) -> Outcome {
    let mut child = world.command(args).stdin(Stdio::piped()).spawn().expect("the program starts");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("it reads");
    outcome(child)
}

/// What is said of the file wherever it goes to a cluster.
const NOTES: &str = "\
minijob: shop.yaml:2: the label `shop api` becomes the name `shop-api`
minijob: shop.yaml:6: there is no file `gone.env`, and it is left out
minijob: shop.yaml:9: when `shop api` has ended for good it is the end of all under `minijob supervise`; in a cluster the other services go on
minijob: shop.yaml:10: `telegram` is not acted on: no messages are sent to Telegram yet
";

#[test]
fn convert_prints_a_short_job_file_that_says_what_the_file_itself_does() {
    let world = world();
    let shown = world.run(&["convert", "monexec", "shop.yaml"]);
    assert_eq!((shown.code, shown.stderr.as_str()), (Some(0), NOTES), "{shown:?}");
    let home = world.home().canonicalize().expect("is there");
    let worker = format!("        command: {}\n", home.join("run/worker").display());
    for part in [
        "name: shop\n",
        "  shop-api:\n",
        "          - \"echo $${HOME}\"\n",
        "          MAIL: me\n",
        "      attempts: 2\n      interval: forever\n      delay: 6s\n      backoff: constant\n",
        "        stop_signal: SIGINT\n        stop_timeout: 3s\n",
        "        critical: true\n",
        &worker,
    ] {
        assert!(shown.stdout.contains(part), "{part:?} is missing: {}", shown.stdout);
    }
    let checked = with_input(&world, &["validate", "-"], &shown.stdout);
    checked.expect(0, "<stdin>: ok (1 job, 2 groups, 2 allocations)\n", "");
    let explained = with_input(&world, &["validate", "--explain", "-"], &shown.stdout);
    assert_eq!(explained.stdout, world.run(&["validate", "--explain", "shop.yaml"]).stdout);
    let lines = |text: &str| text.lines().count();
    assert!(lines(&shown.stdout) < lines(&explained.stdout) / 2, "no defaults: {}", shown.stdout);
}

#[test]
fn convert_finds_out_whose_file_it_is_or_says_what_it_converts() {
    let world = world();
    let told = world.run(&["convert", "monexec", "shop.yaml"]);
    let found = world.run(&["convert", "shop.yaml"]);
    assert_eq!((found.code, found.stdout), (Some(0), told.stdout));
    world.file("web.yml", "name: web\ncommand: /bin/web\n");
    world.run(&["convert", "web.yml"]).expect(
        2,
        "",
        "error: web.yml is a job file already: there is nothing to convert\n\
         hint: `minijob validate --explain web.yml` shows it with every default filled in\n",
    );
    world.file("notes.yml", "shopping: [milk]\n");
    let neither = world.run(&["convert", "notes.yml"]);
    assert_eq!(neither.code, Some(2), "{neither:?}");
    assert!(neither.stderr.contains("`minijob convert monexec FILE` reads them as that"), "{neither:?}");
    let none = world.run(&["convert", "monexec"]);
    assert!(none.code == Some(2) && none.stderr.contains("the files are missing"), "{none:?}");
}

#[test]
fn convert_takes_several_files_and_standard_input() {
    let world = world();
    world.file("one.yaml", "services: [{command: /bin/one}]\n");
    let shown = world.run(&["convert", "monexec", "one.yaml", "shop.yaml"]);
    assert_eq!(shown.stdout.matches("---\n").count(), 1, "{shown:?}");
    let checked = with_input(&world, &["validate", "-"], &shown.stdout);
    checked.expect(0, "<stdin>: ok (2 jobs, 3 groups, 3 allocations)\n", "");
    let piped = with_input(&world, &["convert", "monexec", "-"], "services: [{command: /bin/two}]\n");
    assert!(piped.stdout.starts_with("name: two\n"), "{piped:?}");
    assert!(!piped.stdout.contains("workdir"), "it has no place: {piped:?}");
}

#[test]
fn convert_as_json_has_the_job_files_and_what_they_leave_out() {
    let json = world().run(&["convert", "monexec", "--json", "shop.yaml"]);
    assert_eq!((json.code, json.stderr.as_str()), (Some(0), ""));
    let file = &json.json()["files"][0];
    assert_eq!(file["file"], "shop.yaml");
    assert!(file["job_file"].as_str().expect("a text").starts_with("name: shop\n"), "{file}");
    assert_eq!((&file["notes"][3]["line"], &file["notes"][2]["in_cluster_only"]), (&10.into(), &true.into()));
}

#[test]
fn convert_prints_nothing_unless_all_is_right_and_says_where_it_is_not() {
    let world = world();
    world
        .file("bad.yaml", "services:\n  - command: /bin/bad\n    restart: 2000000\n    stop_timeout: soon\n");
    let shown = world.run(&["convert", "monexec", "shop.yaml", "bad.yaml"]);
    shown.expect(
        2,
        "",
        "error: 2 errors\n\
         \x20 bad.yaml:3:14: `restart` is `2000000`, expected a whole number from -1 to 1000000\n\
         \x20   |     restart: 2000000\n\
         \x20   |              ^\n\
         \x20 bad.yaml:4:19: `stop_timeout` is `soon`, expected a duration such as `5s` or `1m30s`\n\
         \x20   |     stop_timeout: soon\n\
         \x20   |                   ^\n\
         hint: nothing was converted\n",
    );
    let relative = with_input(&world, &["convert", "monexec", "-"], SHOP);
    assert!(relative.stderr.contains("<stdin>:8:14: `workdir` is `run`, a relative path"), "{relative:?}");
}

#[test]
fn what_is_not_converted_yet_is_refused_by_name() {
    let world = world();
    for (format, tool) in [("compose", "docker-compose"), ("nomad", "Nomad")] {
        let shown = world.run(&["convert", format, "shop.yaml"]);
        assert_eq!(shown.code, Some(2), "{shown:?}");
        assert!(shown.stderr.contains(&format!("files of {tool} are not converted yet")), "{shown:?}");
    }
    let shown = world.run(&["convert", "systemd", "shop.yaml"]);
    assert_eq!(shown.code, Some(2), "{shown:?}");
    assert!(shown.stderr.contains("`systemd` is no format that is converted"), "{shown:?}");
}

#[test]
fn validate_names_the_format_and_what_has_no_counterpart() {
    let world = world();
    let shown = world.run(&["validate", "shop.yaml"]);
    shown.expect(0, "shop.yaml: ok, a file of monexec (1 job, 2 groups, 2 allocations)\n", NOTES);
    let json = world.run(&["validate", "--json", "shop.yaml"]);
    assert_eq!(json.stderr, "");
    let file = &json.json()["files"][0];
    assert_eq!((&file["format"], &file["notes"][0]["line"]), (&"monexec".into(), &2.into()));
    let explained = world.run(&["validate", "--explain", "shop.yaml"]);
    assert!(explained.stdout.starts_with("name: shop\nnamespace: default\n"), "{explained:?}");
}

#[test]
fn run_takes_the_file_as_it_is_and_names_what_has_no_counterpart() {
    let server = Server::start(Script::default());
    let world = world();
    let shown = world.ask(&server.url(), &["run", "--detach", "shop.yaml"]);
    assert_eq!(shown.code, Some(0), "{shown:?}");
    assert_eq!(shown.stderr, format!("minijob: shop.yaml: read as a file of monexec\n{NOTES}"));
    let job = server.script().puts[0].job.clone().expect("a job");
    assert_eq!((job.name.as_str(), job.groups.len()), ("shop", 2));
    let json = world.ask(&server.url(), &["run", "--detach", "--json", "shop.yaml"]);
    assert_eq!((json.code, json.stderr.as_str()), (Some(0), ""), "scripts are left alone");
}

#[test]
fn a_file_that_could_be_of_two_formats_is_an_error_until_one_is_said() {
    let world = world();
    world.file("both.yml", "name: both\nservices: [{command: /bin/both}]\n");
    let shown = world.run(&["validate", "both.yml"]);
    assert_eq!(shown.code, Some(2));
    assert!(shown.stderr.contains("both.yml:2:1: this could be a job file, for its `name`"), "{shown:?}");
    assert!(shown.stderr.contains("`--format job` or `--format monexec`"), "{shown:?}");
    let said = world.run(&["validate", "--format", "monexec", "both.yml"]);
    assert_eq!(said.stdout, "both.yml: ok, a file of monexec (1 job, 1 group, 1 allocation)\n");
    assert!(said.stderr.contains("both.yml:1: `name` is no section that is known"), "{said:?}");
    for command in ["run", "plan", "dev", "supervise"] {
        let shown = world.run(&[command, "--format", "job", "both.yml"]);
        assert!(
            shown.code == Some(2) && shown.stderr.contains("`services` is not supported yet"),
            "{shown:?}"
        );
    }
}
