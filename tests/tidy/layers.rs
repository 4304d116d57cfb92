//! Every arrow points down: a room may use the rooms below it and never one above.

use crate::source::{files, must_be_empty};

/// The rooms of a crate, from the ground up. Rooms of one line do not see each other.
struct House {
    crate_name: &'static str,
    floors: &'static [&'static [&'static str]],
}

const HOUSES: &[House] = &[
    House {
        crate_name: "proto",
        floors: &[
            &["limits"],
            &["ids", "names", "signals", "time", "units", "envfile", "key"],
            &["model", "token"],
            &["wire", "error", "expr"],
            &["view", "jobfile"],
            &["convert"],
        ],
    },
    House {
        crate_name: "pki",
        floors: &[
            &["limits", "purpose"],
            &["member", "proof"],
            &["identity", "seal", "enrol"],
            &["own", "renew"],
            &["ca"],
            &["tls"],
            &["files", "asked"],
            &["testing"],
        ],
    },
    House {
        crate_name: "server",
        floors: &[
            &["limits"],
            &["core", "peers"],
            &["identity", "raft"],
            &["machine", "archives"],
            &["cluster"],
            &["enrolment"],
            &["agents", "forming"],
            &["leader", "ops"],
            &["metrics"],
            &["api"],
            &["server"],
        ],
    },
    House {
        crate_name: "client",
        floors: &[
            &["limits"],
            &["core", "clock"],
            &["logs", "store", "fingerprint", "enrolment"],
            &["keeper"],
            &["driver"],
            &["tasks"],
            &["exec"],
            &["allocs"],
            &["session"],
            &["agent"],
            &["probes", "supervise"],
        ],
    },
];

/// Exceptions to the floors, each with its reason.
const STAIRS: &[(&str, &str, &str)] =
    &[("proto/src/model/job.rs", "wire", "a job knows how many bytes it takes in the log")];

#[test]
fn every_arrow_points_down() {
    let mut faults = Vec::new();
    for house in HOUSES {
        let floor_of = |room: &str| house.floors.iter().position(|floor| floor.contains(&room));
        for file in files(&format!("{}/src", house.crate_name), ".rs") {
            let mut parts =
                file.path.components().skip(2).map(|part| part.as_os_str().to_string_lossy().into_owned());
            let room = parts.next().unwrap_or_default().trim_end_matches(".rs").to_owned();
            if room == "lib" || room == "bin" {
                continue;
            }
            let Some(here) = floor_of(&room) else {
                faults.push(format!(
                    "{}: the room `{room}` has no floor: say in tests/tidy/layers.rs where it belongs",
                    file.path.display()
                ));
                continue;
            };
            for (line, code) in file.code() {
                for used in uses(code) {
                    let stairs = STAIRS.iter().any(|(from, to, _)| file.path.ends_with(from) && used == *to);
                    let fine = used == room || stairs || floor_of(&used).is_none_or(|there| there < here);
                    if !fine {
                        faults.push(format!(
                            "{}:{line}: `{room}` uses `{used}`, which is not below it",
                            file.path.display()
                        ));
                    }
                }
            }
        }
    }
    must_be_empty(&faults, "arrows point down");
}

/// Returns the rooms that a line names after `crate::`.
fn uses(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for part in code.split("crate::").skip(1) {
        if let Some(group) = part.strip_prefix('{') {
            let names =
                group.split([',', '}']).map(|name| name.trim().split("::").next().unwrap_or("").to_owned());
            found.extend(names.filter(|name| !name.is_empty()));
        } else {
            found.push(part.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    found
}

#[test]
fn server_and_client_never_see_each_other() {
    let mut faults = Vec::new();
    for (here, other) in [
        ("server", "client"),
        ("client", "server"),
        ("proto", "server"),
        ("proto", "client"),
        ("pki", "server"),
        ("pki", "client"),
    ] {
        let manifest =
            std::fs::read_to_string(crate::source::root().join(here).join("Cargo.toml")).expect("manifest");
        if manifest.lines().any(|line| line.starts_with(&format!("{other}."))) {
            faults.push(format!("{here}/Cargo.toml depends on {other}"));
        }
    }
    must_be_empty(&faults, "crates keep to their arrows");
}

/// Third parties that belong to one place, so that leaving them is a contained change.
const KEPT_IN: &[(&str, &[&str])] = &[
    ("openraft", &["server/src/raft"]),
    ("sled", &["server/src/raft/log_store"]),
    ("axum", &["server/src/api", "server/src/server"]),
    ("rustls", &["pki/src"]),
    ("rcgen", &["pki/src"]),
    ("x509_parser", &["pki/src"]),
    ("clap", &["cli/src"]),
    ("serde_saphyr", &["proto/src/jobfile"]),
];

#[test]
fn third_parties_stay_in_their_rooms() {
    let mut faults = Vec::new();
    for house in ["proto", "pki", "server", "client", "cli"] {
        for file in files(&format!("{house}/src"), ".rs") {
            for (line, code) in file.code() {
                for (library, rooms) in KEPT_IN {
                    let used = code.contains(&format!("{library}::"));
                    let allowed = rooms.iter().any(|room| file.path.to_string_lossy().starts_with(room));
                    if used && !allowed {
                        faults.push(format!(
                            "{}:{line}: {library} belongs to {}",
                            file.path.display(),
                            rooms.join(", ")
                        ));
                    }
                }
            }
        }
    }
    must_be_empty(&faults, "third parties stay in their rooms");
}
