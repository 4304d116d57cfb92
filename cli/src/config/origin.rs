//! Where a value came from.

use std::collections::BTreeMap;
use std::fmt;

use clap::parser::ValueSource;
use clap::{ArgMatches, Command};

/// Where a value came from, the strongest last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// A file, from this line on.
    File {
        /// Its path as it was given.
        path: String,
        /// From 1.
        line: u32,
    },
    /// An environment variable.
    Variable(String),
    /// A flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => out.write_str("default"),
            Self::File { path, line } => write!(out, "{path}:{line}"),
            Self::Variable(name) | Self::Flag(name) => out.write_str(name),
        }
    }
}

/// A value, and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting<T> {
    /// What holds.
    pub value: T,
    /// Who said so.
    pub origin: Origin,
}

impl<T> Setting<T> {
    /// Returns the value that nobody chose.
    pub const fn default(value: T) -> Self {
        Self { value, origin: Origin::Default }
    }
}

/// Which arguments of a command were given, and how. The grammar itself knows values only.
#[derive(Clone, Debug, Default)]
pub struct Given(BTreeMap<String, Origin>);

impl Given {
    /// Notes what of a command's own arguments was given by flag or variable.
    #[must_use]
    pub fn of(command: &Command, matches: &ArgMatches) -> Self {
        let origin = |arg: &clap::Arg| match matches.value_source(arg.get_id().as_str())? {
            ValueSource::CommandLine => Some(Origin::Flag(format!("--{}", arg.get_long()?))),
            ValueSource::EnvVariable => Some(Origin::Variable(arg.get_env()?.to_string_lossy().into_owned())),
            _ => None,
        };
        let known = |arg: &&clap::Arg| matches.ids().any(|id| id == arg.get_id());
        let given = command.get_arguments().filter(known);
        Self(given.filter_map(|arg| Some((arg.get_id().to_string(), origin(arg)?))).collect())
    }

    /// Returns how an argument was given; none if it was not.
    #[must_use]
    pub fn origin(&self, argument: &str) -> Option<&Origin> {
        self.0.get(argument)
    }

    /// Chooses between what an argument says, what the file says and the default.
    pub fn choose<T>(
        &self,
        argument: &str,
        given: Option<T>,
        file: Option<Setting<T>>,
        default: T,
    ) -> Setting<T> {
        match (self.0.get(argument), given) {
            (Some(origin), Some(value)) => Setting { value, origin: origin.clone() },
            _ => file.unwrap_or_else(|| Setting::default(default)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flag_over_variable_over_file_over_default() {
        let command =
            || Command::new("x").arg(clap::Arg::new("the_name").long("the-name").env("CARGO_PKG_NAME"));
        let given = |args: &[&str]| {
            let mut command = command();
            let matches = command.try_get_matches_from_mut(args).expect("valid");
            (Given::of(&command, &matches), matches.get_one::<String>("the_name").cloned())
        };
        let file =
            || Some(Setting { value: "file".to_owned(), origin: Origin::File { path: "f".into(), line: 3 } });
        let chosen = |args: &[&str], file| {
            let (given, value) = given(args);
            let chosen = given.choose("the_name", value, file, "default".to_owned());
            format!("{} {}", chosen.value, chosen.origin)
        };
        assert_eq!(chosen(&["x", "--the-name", "flag"], file()), "flag --the-name");
        // Cargo sets it for every test.
        assert_eq!(chosen(&["x"], file()), "minijob CARGO_PKG_NAME");
        let nothing = Given::default();
        let from = |file| nothing.choose("the_name", None, file, "default".to_owned()).origin.to_string();
        assert_eq!((from(file()), from(None)), ("f:3".into(), "default".into()));
    }
}
