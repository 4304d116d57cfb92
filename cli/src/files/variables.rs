//! `--var` and `--var-file`: what `${var.NAME}` of job files stands for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use proto::jobfile;
use proto::yaml::{did_you_mean, nearest, quote};

use super::{Checked, Wrong, disk, shown};

/// Values of variables, as every command takes them that reads job files.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Variables {
    /// What ${var.NAME} stands for in the files
    #[arg(long, value_name = "NAME=VALUE", value_parser = assignment)]
    pub var: Vec<(String, String)>,
    /// A file of such values, `NAME: VALUE`; --var wins over it
    #[arg(long, value_name = "FILE")]
    pub var_file: Vec<PathBuf>,
}

/// Splits at the first `=`.
fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

/// All values together, and for each what is said of it if no job declares it.
#[derive(Default)]
pub(super) struct Values {
    pub by_name: BTreeMap<String, String>,
    unknown: BTreeMap<String, Checked>,
}

impl Values {
    /// Reads the files of variables; those that are wrong are added to `wrong`.
    pub fn read(variables: &Variables, wrong: &mut Vec<Checked>) -> Self {
        let mut values = Self::default();
        for path in &variables.var_file {
            let name = shown(path);
            let text = match disk::text(path) {
                Ok(text) => text,
                Err(why) => {
                    wrong.push(Checked::wrong(name, Wrong::Unreadable(why)));
                    continue;
                }
            };
            match jobfile::values(&name, &text) {
                Ok(lines) => lines.into_iter().for_each(|line| {
                    let unknown = Checked::wrong(name.clone(), Wrong::Faults(vec![line.unknown]));
                    values.put(line.name, line.value, unknown);
                }),
                Err(faults) => wrong.push(Checked::wrong(name, Wrong::Faults(faults.0))),
            }
        }
        for (name, value) in &variables.var {
            let why = Wrong::Unreadable(format!("no job declares the variable {}", quote(name)));
            values.put(name.clone(), value.clone(), Checked::wrong(format!("--var {name}"), why));
        }
        values
    }

    fn put(&mut self, name: String, value: String, unknown: Checked) {
        self.by_name.insert(name.clone(), value);
        self.unknown.insert(name, unknown);
    }

    /// Returns what is to be said of those that none of these files declares.
    pub fn unknown(self, declared: &BTreeSet<String>) -> impl Iterator<Item = Checked> {
        self.unknown.into_iter().filter(|(name, _)| !declared.contains(name)).map(|(name, mut said)| {
            let near = nearest(&name, declared.iter().map(String::as_str));
            let hint = match near {
                Some(near) => did_you_mean(near),
                None => format!("declare it: `variables: {{{name}: {{required: true}}}}`, or leave it out"),
            };
            match &mut said.result {
                Err(Wrong::Faults(faults)) => {
                    faults.iter_mut().for_each(|fault| fault.hint.clone_from(&hint))
                }
                Err(Wrong::Unreadable(why)) => why.push_str(&format!("; {hint}")),
                Ok(_) => {}
            }
            said
        })
    }
}
