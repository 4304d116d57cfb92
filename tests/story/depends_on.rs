use std::path::Path;

use tests::cluster::Cluster;
use tests::job;

fn why<'s>(status: &'s serde_json::Value, group: &str) -> &'s str {
    status["groups"][group]["waiting"]["why"].as_str().unwrap_or_default()
}

/// A line of shell that writes the time at which it began, in nanoseconds.
fn note(dir: &Path, name: &str) -> String {
    format!("date +%s%N >> {}/{name}", dir.display())
}

/// Returns the times that a script has noted.
fn noted(dir: &Path, name: &str) -> Vec<u128> {
    let text = std::fs::read_to_string(dir.join(name)).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// A directory that tasks may write to, whoever they run as.
fn open_dir(cluster: &Cluster) -> std::path::PathBuf {
    let dir = cluster.dir().join("noted");
    std::fs::create_dir(&dir).expect("ours");
    std::fs::set_permissions(&dir, std::os::unix::fs::PermissionsExt::from_mode(0o777)).expect("ours");
    dir
}

fn resources() -> &'static str {
    "resources: {cpu: 1m, memory: 1MiB, memory_limit: none}"
}

/// Promise: a group begins when what it depends on is as it must be, says meanwhile for what it waits, and is not held up again.
#[test]
fn web_is_placed_when_db_is_healthy_and_goes_on_without_it() {
    let cluster = Cluster::start(1);
    let dir = open_dir(&cluster);
    let (gate, db, web) = (dir.join("gate"), note(&dir, "db"), note(&dir, "web"));
    // A prestart task holds `db` up, so that it begins late.
    let text = format!(
        "name: shop
groups:
  db:
    tasks:
      prepare:
        command: /bin/sh
        args: [-c, 'while ! test -e {gate}; do sleep 0.05; done']
        lifecycle: {{hook: prestart}}
        {limits}
      db: {{command: /bin/sh, args: [-c, '{db}; exec sleep 1000'], {limits}}}
  web:
    count: 2
    depends_on: [{{group: db, condition: healthy}}]
    tasks:
      web: {{command: /bin/sh, args: [-c, '{web}; exec sleep 1000'], {limits}}}
",
        gate = gate.display(),
        limits = resources(),
    );
    let planned = cluster.dir().join("shop.yml");
    std::fs::write(&planned, &text).expect("ours");
    let plan = cluster.run(&["plan", &planned.to_string_lossy()]);
    assert!(plan.stdout.contains("waits for group `db` to be healthy: 0 of 1 is"), "{plan:?}");

    cluster.submit(&text);
    let waits = "waits for group `db` to be healthy: 0 of 1 is";
    let status = cluster.wait_job("shop", "web waits for db", |status| why(status, "web") == waits);
    assert_eq!(status["groups"]["web"]["waiting"]["count"], 2, "{status}");
    for command in ["status", "why"] {
        let shown = cluster.run(&[command, "shop"]).stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(shown.contains(waits), "{command}: {shown}");
    }
    assert!(noted(&dir, "web").is_empty());

    std::fs::write(&gate, "").expect("ours");
    cluster.wait_job("shop", "all of it is healthy", |status| status["health"] == "healthy");
    let (db_at, web_at) = (noted(&dir, "db"), noted(&dir, "web"));
    assert_eq!((db_at.len(), web_at.len()), (1, 2));
    assert!(web_at.iter().all(|at| *at > db_at[0]), "{db_at:?} {web_at:?}");

    assert_eq!(cluster.run(&["scale", "shop/db", "0"]).code, 0);
    cluster.wait_job("shop", "db is gone, web runs on", |status| status["running"] == 2);
    assert_eq!(cluster.run(&["restart", "shop.web.0"]).code, 0);
    cluster.wait_job("shop", "web.0 was replaced without db", |status| {
        status["groups"]["web"]["healthy"] == 2 && noted(&dir, "web").len() == 3
    });
    assert_eq!(cluster.run(&["scale", "shop/web", "3"]).code, 0);
    let status = cluster.wait_job("shop", "one more waits", |status| !why(status, "web").is_empty());
    assert_eq!(why(&status, "web"), "waits for group `db`, which is scaled to 0");
    assert_eq!(status["groups"]["web"]["healthy"], 2, "{status}");
}

/// Promise: work that ends comes first, also when it is another job that is submitted later; what was changed meanwhile runs on.
#[test]
fn web_is_placed_when_migrate_is_completed() {
    let cluster = Cluster::start(1);
    let dir = open_dir(&cluster);
    let gate = dir.join("gate");
    let web = |release: u32| {
        let more = "depends_on: {job: migrate, condition: completed}";
        job::with("web", "service", 1, &format!("{}; exec sleep 100{release}", note(&dir, "web")), more)
    };
    cluster.submit(&web(1));
    let status = cluster.wait_job("web", "it waits", |status| !why(status, "web").is_empty());
    assert_eq!(why(&status, "web"), "waits for job `migrate`, which does not exist");

    let script =
        format!("while ! test -e {}; do sleep 0.05; done; {}", gate.display(), note(&dir, "migrate"));
    cluster.submit(&job::batch("migrate", &script));
    let waits = "waits for job `migrate` to be completed: 0 of 1 is";
    cluster.wait_job("web", "it waits for the work", |status| why(status, "web") == waits);
    std::fs::write(&gate, "").expect("ours");
    let status = cluster.wait_job("web", "it runs", |status| status["healthy"] == 1);
    assert!(noted(&dir, "web")[0] > noted(&dir, "migrate")[0]);

    // A new version of both: the old one runs until the new migration is over.
    std::fs::remove_file(&gate).expect("ours");
    cluster.submit(&job::batch("migrate", &format!("{script}; echo again")));
    cluster.submit(&web(2));
    let later = cluster.wait_job("web", "the new one waits", |status| why(status, "web") == waits);
    assert_eq!(
        (&later["running"], &later["allocs"][0]["id"]),
        (&1.into(), &status["allocs"][0]["id"]),
        "{later}"
    );
    std::fs::write(&gate, "").expect("ours");
    cluster.wait_job("web", "the new one is healthy", |status| status["health"] == "healthy");
    assert_eq!((noted(&dir, "web").len(), noted(&dir, "migrate").len()), (2, 2));
}
