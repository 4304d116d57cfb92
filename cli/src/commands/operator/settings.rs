//! `minijob operator settings`: what all servers go by.

use proto::view::{SettingList, SettingView};
use proto::wire::v1;

use crate::args::Global;
use crate::commands::written;
use crate::connect::{Client, Servers};
use crate::exit::{Exit, Failure};
use crate::output::{Cell, Out, Table, Tone, behind};
use crate::read::understood;
use crate::runtime;

const EXAMPLES: &str = "\
Examples:
  minijob operator settings
  minijob operator settings get node_timeout
  minijob operator settings set heartbeat=300ms node_timeout=1s
  minijob operator settings set node_timeout=default

Settings that are not named stay as they are. Agents go by a new heartbeat and a new node_timeout from their next heartbeat on.";

/// What `operator settings` is asked.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// What to do; none: shows all settings
    #[command(subcommand)]
    pub what: Option<What>,
}

/// What can be done.
#[derive(Debug, clap::Subcommand)]
pub enum What {
    /// Shows one setting
    Get {
        /// Its name
        name: String,
    },
    /// Changes settings, all that are named or none
    Set {
        /// The new value of a setting; `default`: what it is in a new cluster
        #[arg(value_name = "NAME=VALUE", required = true, value_parser = pair)]
        settings: Vec<(String, String)>,
    },
}

/// Reads `node_timeout=10s`.
fn pair(text: &str) -> Result<(String, String), String> {
    let trimmed = text.split_once('=').map(|(name, value)| (name.trim(), value.trim()));
    match trimmed {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err("a name and a value are wanted: for example `node_timeout=10s`".to_owned()),
    }
}

/// Runs the command.
///
/// # Errors
/// The server's refusal.
pub(super) fn main(args: &Args, global: &Global) -> Result<Exit, Failure> {
    match &args.what {
        None => all(global),
        Some(What::Get { name }) => one(name, global),
        Some(What::Set { settings }) => set(settings, global),
    }
}

fn all(global: &Global) -> Result<Exit, Failure> {
    let call =
        |mut client: Client| async move { client.list_settings(v1::ListSettingsRequest::default()).await };
    let mut out = Out::new(global);
    let document = runtime::small(async { Ok(Servers::new(global)?.ask(call).await?) })?;
    let settings = understood::<SettingList>(document)?;
    if out.json {
        out.passed_on(&settings.raw)?;
        return Ok(Exit::DONE);
    }
    let mut table = Table::new(&out, &["SETTING", "VALUE", "DEFAULT", "WHAT IT IS"]);
    for setting in &settings.view.items {
        table.row(vec![
            Cell::toned(Tone::Strong, &setting.name),
            value(setting),
            setting.default.as_str().into(),
            setting.about.as_str().into(),
        ]);
    }
    out.line(&table.render())?;
    Ok(Exit::DONE)
}

fn one(name: &str, global: &Global) -> Result<Exit, Failure> {
    let request = v1::GetSettingRequest { name: name.to_owned() };
    let call = |mut client: Client| {
        let request = request.clone();
        async move { client.get_setting(request).await }
    };
    let mut out = Out::new(global);
    let document = runtime::small(async { Ok(Servers::new(global)?.ask(call).await?) })?;
    let setting = understood::<SettingView>(document)?;
    if out.json {
        out.passed_on(&setting.raw)?;
        return Ok(Exit::DONE);
    }
    let setting = &setting.view;
    out.line(&format!(
        "{}  {}",
        out.paint.text(Tone::Strong, &setting.name),
        value(setting).painted(out.paint)
    ))?;
    for (key, text) in
        [("default", &setting.default), ("allowed", &setting.allowed), ("what it is", &setting.about)]
    {
        let line = behind(&format!("{key:<12}"), text, out.width);
        let (label, rest) = line.split_at(12);
        out.line(&format!("{}{rest}", out.paint.text(Tone::Dim, label)))?;
    }
    Ok(Exit::DONE)
}

/// What somebody has changed stands out.
fn value(setting: &SettingView) -> Cell {
    let tone = if setting.value == setting.default { Tone::Plain } else { Tone::Warn };
    Cell::toned(tone, &setting.value)
}

fn set(settings: &[(String, String)], global: &Global) -> Result<Exit, Failure> {
    let change = |(name, value): &(String, String)| v1::set_settings_request::Change {
        name: name.clone(),
        value: value.clone(),
    };
    let changes = settings.iter().map(change).collect();
    let request = v1::SetSettingsRequest { request_id: written::request_id(), changes };
    let call = |mut client: Client| {
        let request = request.clone();
        async move { client.set_settings(request).await }
    };
    let mut out = Out::new(global);
    let reply = runtime::small(async { Ok(Servers::new(global)?.ask(call).await?) })?;
    let answer = written::understood(&reply)?;
    let lines: Vec<String> = settings.iter().map(|(name, value)| said(name, value, answer.changed)).collect();
    written::show(&mut out, &answer, None, &lines.join("\n"))
}

fn said(name: &str, value: &str, changed: bool) -> String {
    match (changed, value) {
        (true, "default") => format!("{name}: its default now"),
        (true, value) => format!("{name}: {value} now"),
        (false, "default") => format!("{name}: nothing changed, it was its default already"),
        (false, value) => format!("{name}: nothing changed, it was {value} already"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_named_with_its_value() {
        assert_eq!(pair("node_timeout=10s"), Ok(("node_timeout".into(), "10s".into())));
        assert_eq!(pair("node_timeout = 10s"), Ok(("node_timeout".into(), "10s".into())));
        for bad in ["node_timeout", "=10s", "node_timeout=", ""] {
            assert!(pair(bad).is_err_and(|why| why.contains("`node_timeout=10s`")), "{bad}");
        }
    }
}
