//! Examples and snippets in the documents are read by the reader that users have.

use std::path::Path;

use proto::jobfile::{Files, Given};

use crate::source::{files, must_be_empty, root};

/// Reads what examples refer to.
struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path, _: usize) -> Result<Option<Vec<u8>>, String> {
        std::fs::read(path).map(Some).map_err(|cause| cause.to_string())
    }
}

/// Has every file that a snippet may name.
struct Anything;

impl Files for Anything {
    fn read(&self, _: &Path, _: usize) -> Result<Option<Vec<u8>>, String> {
        Ok(Some(b"NAME=value\n".to_vec()))
    }
}

/// Folders of examples that hold no job files: what Ansible plays, and what daemons go by.
const NO_JOBS: [&str; 2] = ["examples/three-servers/ansible", "examples/three-servers/installed"];

#[test]
fn every_example_is_a_valid_job_file() {
    let mut examples = files("examples", ".yml");
    examples.retain(|example| !NO_JOBS.iter().any(|folder| example.path.starts_with(folder)));
    assert!(examples.len() >= 4, "there are examples");
    let mut faults = Vec::new();
    for example in examples {
        let base = root().join(&example.path).parent().map(Path::to_owned);
        let given = Given { base: base.as_deref(), files: Some(&Disk), ..Given::default() };
        let name = example.path.display().to_string();
        let found = proto::jobfile::read(&name, &example.text, &given).jobs;
        if let Err(found) = found {
            faults.push(found.to_string());
        }
    }
    must_be_empty(&faults, "examples parse");
}

/// What is of another tool ends in `.yaml`.
#[test]
fn every_example_of_another_tool_is_taken_as_it_is() {
    let examples = files("examples", ".yaml");
    assert!(!examples.is_empty(), "there are examples");
    let mut faults = Vec::new();
    for example in examples {
        let base = root().join(&example.path).parent().map(Path::to_owned);
        let given = Given { base: base.as_deref(), files: Some(&Disk), ..Given::default() };
        let name = example.path.display().to_string();
        let read = proto::convert::read(&name, &example.text, &given, None);
        assert_ne!(read.format, proto::convert::Format::Job, "{name}");
        if let Err(found) = read.jobs {
            faults.push(found.to_string());
        }
    }
    must_be_empty(&faults, "examples of other tools are converted");
}

#[test]
fn every_yaml_snippet_in_the_documents_is_a_valid_job_file() {
    let mut faults = Vec::new();
    let mut count = 0;
    let mut documents = files("docs", ".md");
    documents.extend(files(".", "README.md").into_iter().filter(|file| file.path.components().count() <= 2));
    for document in documents {
        for (line, snippet) in snippets(&document.text) {
            count += 1;
            let name = format!("{}:{line}", document.path.display());
            // A snippet may name files, and a variable that is given each time.
            let variables = [("replicas".to_owned(), "3".to_owned())].into();
            let given =
                Given { base: Some(Path::new("/srv/shop")), variables: &variables, files: Some(&Anything) };
            if let Err(found) = proto::jobfile::read(&name, &snippet, &given).jobs {
                faults.push(found.to_string());
            }
        }
    }
    assert!(count > 0, "there are snippets");
    must_be_empty(&faults, "snippets parse");
}

/// Returns the blocks that begin with three backticks and `yaml`, each with its line.
fn snippets(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (at, line) in text.lines().enumerate() {
        match &mut open {
            None if line.trim() == "```yaml" => open = Some((at + 1, String::new())),
            Some(_) if line.trim() == "```" => found.extend(open.take()),
            Some((_, snippet)) => {
                snippet.push_str(line);
                snippet.push('\n');
            }
            None => {}
        }
    }
    found
}

#[test]
fn the_readme_names_the_commands_that_exist() {
    let readme = std::fs::read_to_string(root().join("README.md")).expect("there is a README");
    for command in ["dev", "run", "status", "logs", "stop", "events", "validate"] {
        assert!(
            readme.contains(&format!("minijob {command}")),
            "README.md does not show `minijob {command}`"
        );
    }
}
