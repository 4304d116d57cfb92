//! What we show to people works as it is shown.

use std::path::{Path, PathBuf};

use proptest::test_runner::{Config as ProptestConfig, TestRunner};

use super::super::{Files, Given, brief, explain, keys, parse, read as read_jobs, schema};
use crate::model::Job;

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

/// Reads what is on disk.
struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path, _: usize) -> Result<Option<Vec<u8>>, String> {
        std::fs::read(path).map(Some).map_err(|error| error.to_string())
    }
}

/// Has every file that a snippet may name.
struct Anything;

impl Files for Anything {
    fn read(&self, _: &Path, _: usize) -> Result<Option<Vec<u8>>, String> {
        Ok(Some(b"NAME=value\n".to_vec()))
    }
}

/// Reads a snippet, which may name files, and variables without a value.
fn snippet_jobs(text: &str) -> Vec<Job> {
    let variables = [("replicas".to_owned(), "3".to_owned())].into();
    let given = Given { base: Some(Path::new("/srv/shop")), variables: &variables, files: Some(&Anything) };
    read_jobs("snippet.yml", text, &given).jobs.unwrap_or_else(|faults| panic!("{text}\n{faults}"))
}

#[test]
fn every_example_is_right_and_explains_to_itself() {
    let examples = files(&repository().join("examples"));
    assert!(examples.len() >= 5, "only {} examples", examples.len());
    for path in examples {
        let name = path.display().to_string();
        let given = Given { base: path.parent(), files: Some(&Disk), ..Given::default() };
        let jobs = read_jobs(&name, &read(&path), &given).jobs;
        for job in jobs.unwrap_or_else(|faults| panic!("{faults}")) {
            let explained = explain(&job);
            assert_eq!(
                parse("explained.yml", &explained).as_ref().map(|jobs| &jobs[0]),
                Ok(&job),
                "{explained}"
            );
        }
    }
}

fn snippets(manual: &str) -> Vec<&str> {
    manual.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

#[test]
fn every_snippet_of_the_manual_is_right() {
    let manual = read(&repository().join("docs/job-file.md"));
    let snippets = snippets(&manual);
    assert!(snippets.len() >= 8, "only {} snippets", snippets.len());
    for snippet in snippets {
        snippet_jobs(snippet);
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

/// Returns the documents of a file as JSON, as an editor sees them.
fn as_json(text: &str) -> Vec<serde_json::Value> {
    serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("{text}\n{error}"))
}

fn validator() -> jsonschema::Validator {
    jsonschema::draft202012::new(&schema()).expect("is a schema")
}

fn must_be_valid(validator: &jsonschema::Validator, name: &str, text: &str) {
    for document in as_json(text) {
        let faults: Vec<String> = validator
            .iter_errors(&document)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(faults.is_empty(), "{name}\n{text}\n{faults:#?}");
    }
}

#[test]
fn the_schema_takes_every_example_and_what_is_explained_of_it() {
    let validator = validator();
    for path in files(&repository().join("examples")) {
        let name = path.display().to_string();
        let text = read(&path);
        must_be_valid(&validator, &name, &text);
        let given = Given { base: path.parent(), files: Some(&Disk), ..Given::default() };
        for job in read_jobs(&name, &text, &given).jobs.expect("is right") {
            must_be_valid(&validator, &name, &explain(&job));
        }
    }
    for snippet in snippets(&read(&repository().join("docs/job-file.md"))) {
        must_be_valid(&validator, "docs/job-file.md", snippet);
    }
}

#[test]
fn the_schema_takes_whatever_can_be_explained() {
    let validator = validator();
    let mut runner = TestRunner::new(ProptestConfig::with_cases(32));
    let job = crate::jobfile::testing::job();
    let taken = runner.run(&job, |job| {
        must_be_valid(&validator, "explained", &explain(&job));
        must_be_valid(&validator, "brief", &brief(&job));
        Ok(())
    });
    taken.expect("is taken");
}

#[test]
fn the_schema_refuses_what_the_reader_refuses() {
    let validator = validator();
    for text in [
        "name: a\ncomand: b\n",
        "command: b\n",
        "name: a\n",
        "name: a\ncommand: b\ncount: many\n",
        "name: a\ncommand: b\npriority: 101\n",
        "name: a\ncommand: b\nrestart: {delay: 5}\n",
        "name: a\ncommand: b\nservices: [{port: http}]\n",
        "name: a\ncommand: b\nupdate: {max_parallel: 2}\n",
        "name: a\ncommand: b\ncritical: maybe\n",
        "name: a\ncommand: b\nresources: {memory: 256}\n",
        "name: a\ncommand: b\nfiles: [{too: x}]\n",
        "name: a\ntasks: {a: {command: b, count: 3}}\n",
        "name: a\ncommand: b\ngroups: {a: {tasks: {a: {command: b}}}}\n",
        "jobs: {a: {command: b}}\n",
        "name: a\njobs: []\n",
        "name: Web\ncommand: b\n",
    ] {
        assert!(parse("job.yml", text).is_err(), "{text}");
        assert!(!validator.is_valid(&as_json(text)[0]), "{text}");
    }
}

#[test]
fn every_key_of_the_tables_is_in_the_schema_with_its_words() {
    let schema = schema();
    for level in keys::Level::ALL {
        // What belongs to the job is in all three forms.
        let name = if level == keys::Level::Job {
            "full"
        } else {
            level.owner().rsplit(' ').next().expect("a word")
        };
        let definition = &schema["$defs"][name.trim_matches('`')]["properties"];
        for key in level.keys() {
            let says = definition[key.name]["description"].as_str().unwrap_or_default();
            assert!(
                says.ends_with(key.later.unwrap_or(key.says)) && !says.is_empty(),
                "{name}: {}",
                key.name
            );
        }
        assert_eq!(definition.as_object().map(serde_json::Map::len), Some(level.keys().len()), "{name}");
    }
}
