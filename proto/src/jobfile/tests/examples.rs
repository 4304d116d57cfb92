//! What we show to people works as it is shown.

use std::path::{Path, PathBuf};

use super::super::{explain, keys, parse, parse_in};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    let paths = entries.map(|entry| entry.expect("can be read").path());
    paths.filter(|path| path.extension().is_some_and(|end| end == "yml")).collect()
}

#[test]
fn every_example_is_right_and_explains_to_itself() {
    let examples = files(&repository().join("examples"));
    assert!(examples.len() >= 5, "only {} examples", examples.len());
    for path in examples {
        let name = path.display().to_string();
        let jobs = parse_in(&name, &read(&path), path.parent()).unwrap_or_else(|faults| panic!("{faults}"));
        for job in jobs {
            let explained = explain(&job);
            assert_eq!(
                parse("explained.yml", &explained).as_ref().map(|jobs| &jobs[0]),
                Ok(&job),
                "{explained}"
            );
        }
    }
}

#[test]
fn every_snippet_of_the_manual_is_right() {
    let manual = read(&repository().join("docs/job-file.md"));
    let snippets: Vec<&str> =
        manual.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(snippets.len() >= 8, "only {} snippets", snippets.len());
    for snippet in snippets {
        parse("snippet.yml", snippet).unwrap_or_else(|faults| panic!("{snippet}\n{faults}"));
    }
}

#[test]
fn the_manual_names_every_key() {
    let manual = read(&repository().join("docs/job-file.md"));
    for key in keys::Level::ALL.iter().flat_map(|level| level.keys()) {
        let named = manual.contains(&format!("`{}`", key.name)) || key.name == "static";
        assert!(named, "`{}` is not in docs/job-file.md", key.name);
    }
}

#[test]
fn the_full_example_shows_every_key_that_is_acted_on() {
    let full = read(&repository().join("examples/full.yml"));
    let acted = keys::Level::ALL.iter().flat_map(|level| level.keys()).filter(|key| key.later.is_none());
    for key in acted {
        assert!(full.contains(&format!("{}:", key.name)), "`{}` is not in examples/full.yml", key.name);
    }
}

#[test]
fn files_of_docker_compose_are_refused_in_one_sentence() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/jobfile/tests/compose");
    for path in files(&folder) {
        let faults = parse("compose.yml", &read(&path)).expect_err("is no job file");
        let messages: Vec<&str> = faults.0.iter().map(|fault| fault.message.as_str()).collect();
        assert_eq!(messages, ["this is a docker-compose file, not a job file"], "{}", path.display());
    }
}
