//! What a file is read with: values of its variables, and the files that it refers to.

use std::collections::BTreeMap;
use std::path::Path;

use super::super::{Files, Given, explain, parse, read, values};
use crate::limits;
use crate::model::{Job, Task};

/// Files by their absolute path.
struct Held(BTreeMap<&'static str, Vec<u8>>);

impl Files for Held {
    fn read(&self, path: &Path, most: usize) -> Result<Option<Vec<u8>>, String> {
        let path = path.to_str().expect("is UTF-8");
        if path == "/srv/forbidden" {
            return Err("cannot read it: Permission denied".to_owned());
        }
        let content = self.0.get(path).cloned();
        Ok(content.map(|content| content.into_iter().take(most + 1).collect()))
    }
}

fn held(files: &[(&'static str, &str)]) -> Held {
    Held(files.iter().map(|(path, text)| (*path, text.as_bytes().to_vec())).collect())
}

fn with(text: &str, variables: &[(&str, &str)], files: &Held) -> Result<Vec<Job>, String> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let variables = variables.iter().map(owned).collect();
    let given = Given { base: Some(Path::new("/srv")), variables: &variables, files: Some(files) };
    read("job.yml", text, &given).jobs.map_err(|faults| faults.to_string())
}

fn task(text: &str, variables: &[(&str, &str)], files: &[(&'static str, &str)]) -> Task {
    let jobs = with(text, variables, &held(files)).unwrap_or_else(|faults| panic!("{text}\n{faults}"));
    let explained = explain(&jobs[0]);
    assert_eq!(parse("explained.yml", &explained).as_ref(), Ok(&jobs), "{explained}");
    jobs[0].groups["a"].tasks["a"].clone()
}

fn refused(text: &str, variables: &[(&str, &str)], files: &[(&'static str, &str)]) -> String {
    with(text, variables, &held(files)).expect_err(text)
}

#[test]
fn variables_stand_wherever_a_scalar_stands() {
    let text = "
name: ${var.name}
variables: {name: {required: true}, count: {default: 2}, tag: {default: '1.4'}, memory: {default: 64MiB}, signal: {default: INT}}
count: ${var.count}
command: /opt/app-${var.tag}/bin
args: ['${var.tag}', 'a ${var.tag} ${var.name} b', '$${var.tag}']
resources: {memory: '${var.memory}'}
stop_signal: ${var.signal}
meta: {tag: '${var.tag}'}
files: [{to: 'conf/${var.tag}', content: '${var.tag} $${var.tag} ${job.name}'}]
critical: ${var.critical}
";
    let text = text.replace("signal: {default: INT}}", "signal: {default: INT}, critical: {default: false}}");
    let jobs =
        with(&text, &[("name", "shop"), ("count", "5"), ("critical", "true")], &held(&[])).expect("is right");
    let group = &jobs[0].groups["shop"];
    let task = &group.tasks["shop"];
    assert_eq!((group.count, task.process.command.as_str(), task.critical), (5, "/opt/app-1.4/bin", true));
    assert_eq!(task.process.args, ["1.4", "a 1.4 shop b", "$${var.tag}"]);
    assert_eq!((task.resources.memory_bytes, task.stop_signal), (64 << 20, 2));
    assert_eq!(task.files[0].to, "conf/1.4");
    assert_eq!(task.files[0].content, "1.4 ${var.tag} ${job.name}");
    assert_eq!(jobs[0].meta["tag"], "1.4");
}

#[test]
fn a_value_is_never_more_than_a_text() {
    let hostile = "x\nimage: evil\n- [a, {b: c}] # *d &e";
    let text = "name: a\nvariables: {v: {required: true}}\ncommand: b\nargs: [\"${var.v}\"]\nenv: {A: \"${var.v}\"}\n";
    let task = task(text, &[("v", hostile)], &[]);
    assert_eq!((task.process.args[0].as_str(), task.env["A"].as_str()), (hostile, hostile));
    for empty in ["", "~", "null", "[]", "{}"] {
        let faults = refused(&text.replace("args: [\"${var.v}\"]", "count: ${var.v}"), &[("v", empty)], &[]);
        assert!(faults.contains("expected a whole number"), "{empty:?}: {faults}");
    }
}

#[test]
fn what_is_given_for_others_is_of_no_concern() {
    let text = "name: a\nvariables: {v: {default: x}}\ncommand: b\nargs: [\"${var.v}\"]\n";
    assert_eq!(task(text, &[("v", "1"), ("other", "2")], &[]).process.args, ["1"]);
    let variables = BTreeMap::new();
    let declared = read("job.yml", text, &Given { variables: &variables, ..Given::default() }).variables;
    assert!(declared.iter().eq(["v"]), "{declared:?}");
    let broken = read("job.yml", &format!("{text}cuont: 1\n"), &Given::default());
    assert!(broken.jobs.is_err() && broken.variables.contains("v"));
}

#[test]
fn each_job_of_a_file_has_its_own_variables() {
    let faults = refused(
        "name: a\nvariables: {v: {default: b}}\ncommand: ${var.v}\n---\nname: b\ncommand: ${var.v}\n",
        &[],
        &[],
    );
    assert!(faults.starts_with("job.yml:6:10: `${var.v}` names no variable of the job"), "{faults}");
}

#[test]
fn values_are_read_from_a_file_of_names_and_scalars() {
    let assigned = values("prod.yml", "# production\ntag: 1.10\nreplicas: 3\nempty: ''\n").expect("is right");
    let shown: Vec<String> = assigned.iter().map(|one| format!("{}={}", one.name, one.value)).collect();
    assert_eq!(shown, ["tag=1.10", "replicas=3", "empty="]);
    let said = "prod.yml:3:1: no job declares the variable `replicas`\n  | replicas: 3\n  | ^";
    assert_eq!(assigned[1].unknown.to_string(), said);
    assert_eq!(values("prod.yml", ""), Ok(Vec::new()));
    for text in ["a: [b]\n", "a:\n", "- a\n", "a: 1\na: 2\n", "a: 1\n---\nb: 2\n", "a: \"b\n"] {
        assert!(values("prod.yml", text).is_err(), "{text}");
    }
}

#[test]
fn files_travel_with_the_job() {
    let text = "name: a\ncommand: b\nfiles: [{to: x, from: conf/x.conf}, {to: y, from: /etc/y}]\n";
    let task = task(text, &[], &[("/srv/conf/x.conf", "${var.x} $${var.x}"), ("/etc/y", "\0")]);
    assert_eq!(task.files[0].content, "${var.x} $${var.x}", "what is in a file is left as it is");
    assert_eq!(task.files[1].content, "\0");
}

#[test]
fn env_wins_over_files_and_later_files_over_earlier() {
    let text = "
name: a
command: b
env_files: [one.env, {path: two.env}, {path: none.env, optional: true}]
env: {C: env, URL: 'db://${env.A}@${env.HOME}/$${env.A}'}
";
    let files = [("/srv/one.env", "A=1\nB=1\nC=1\n"), ("/srv/two.env", "B=2\nC=2\nD='${job.name}'\n")];
    let env = task(text, &[], &files).env;
    assert_eq!([&env["A"], &env["B"], &env["C"]], ["1", "2", "env"]);
    assert_eq!(env["D"], "$${job.name}", "what is in a file is not filled in");
    assert_eq!(env["URL"], "db://1@${env.HOME}/$${env.A}");
    let own = "name: a\ncommand: b\nenv_files: [x.env]\nenv: {A: '${env.A}!'}\n";
    assert_eq!(task(own, &[], &[("/srv/x.env", "A='${'")]).env["A"], "$${!");
}

#[test]
fn a_file_that_cannot_travel_is_named_with_the_reason() {
    let with_file = |file: &str| format!("name: a\ncommand: b\nfiles: [{{to: x, from: {file}}}]\n");
    let large = "x".repeat(limits::TRAVELLING_FILE_BYTES + 1);
    for (path, said) in [
        ("none", "there is no file `none`\n"),
        ("forbidden", "`forbidden`: cannot read it: Permission denied"),
        ("large", "`large` is larger than 256KiB"),
    ] {
        let faults = refused(&with_file(path), &[], &[("/srv/large", &large)]);
        assert!(faults.starts_with(&format!("job.yml:3:23: {said}")), "{faults}");
    }
    assert!(
        parse("job.yml", &with_file("/etc/x"))
            .expect_err("no files")
            .to_string()
            .contains("cannot be read here")
    );
    let text = "name: a\ncommand: b\nenv_files: [x.env]\n";
    let faults = refused(text, &[], &[("/srv/x.env", "A=1\nB: 2\n")]);
    assert!(
        faults.starts_with("job.yml:3:13: `x.env`, line 2: there is no `=`: write KEY=VALUE"),
        "{faults}"
    );
}

#[test]
fn no_number_of_files_takes_memory() {
    let entries: Vec<String> = (0..100).map(|n| format!("{{to: f{n}, from: x}}")).collect();
    let tasks: String = (1..100).map(|n| format!("  t{n}: {{command: b, files: *f}}\n")).collect();
    let text = format!("name: a\ntasks:\n  t: {{command: b, files: &f [{}]}}\n{tasks}", entries.join(", "));
    let faults = refused(&text, &[], &[("/srv/x", &"x".repeat(1 << 17))]);
    assert!(faults.contains("with `x` the files of this job have more than 192KiB together"), "{faults}");
}

#[test]
fn variables_that_multiply_are_refused_before_they_take_memory() {
    let value = "x".repeat(1 << 20);
    let uses = "${var.v}".repeat(10_000);
    let text =
        format!("name: a\nvariables: {{v: {{required: true}}}}\ncommand: b\nargs: ['{uses}', '{uses}']\n");
    let faults = refused(&text, &[("v", &value)], &[]);
    assert!(faults.contains("the variables fill in more than 4194304 bytes"), "{faults}");
}
