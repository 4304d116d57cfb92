//! The settings of the cluster are shown and changed.

use proto::error::{Error, Kind as ErrorKind};
use proto::ids::{RequestId, Revision};
use proto::names::{did_you_mean, nearest};
use proto::time::millis;
use proto::units::parse_duration;
use proto::view::{SettingList, SettingView, Written};

use super::jobs::written;
use super::{Caller, Capability};
use crate::cluster::Cluster;
use crate::core::state::{Allowed, Kind, Setting, SettingChange, SettingValue, Settings};

/// What a setting is set to so that it is what it is in a new cluster.
const DEFAULT: &str = "default";
/// Where all of them are shown.
const LIST: &str = "`minijob operator settings` lists them";

/// Lists all settings.
///
/// # Errors
/// Forbidden.
pub fn list_settings(cluster: &Cluster, caller: &Caller) -> Result<SettingList, Error> {
    caller.need(Capability::Read)?;
    let state = cluster.snapshot();
    Ok(all(&state.settings, state.revision))
}

/// Shows one setting.
///
/// # Errors
/// Forbidden; not found with the nearest name.
pub fn setting(cluster: &Cluster, caller: &Caller, name: &str) -> Result<SettingView, Error> {
    caller.need(Capability::Read)?;
    Ok(view(named(name)?, &cluster.snapshot().settings))
}

/// Changes the settings that are named, by pairs of a name and a value as people write it; `default` is what it is in a new
/// cluster. The others stay, whatever somebody else makes of them meanwhile. What they are already changes nothing.
///
/// # Errors
/// Forbidden; not found with the nearest name; invalid, with what would be right; and those of [`Cluster::write`].
pub async fn set_settings(
    cluster: &Cluster,
    caller: &Caller,
    request: RequestId,
    pairs: &[(String, String)],
) -> Result<Written, Error> {
    caller.need(Capability::Operator)?;
    let changes = read(pairs)?;
    written(cluster.write(&caller.actor, request, Kind::SetSettings(changes)).await?)
}

/// Makes the document of all settings.
pub(crate) fn all(settings: &Settings, revision: Revision) -> SettingList {
    let items = Setting::ALL.into_iter().map(|setting| view(setting, settings)).collect();
    SettingList { items, next: None, revision, warnings: Vec::new() }
}

fn view(setting: Setting, settings: &Settings) -> SettingView {
    let value = setting.of(settings);
    SettingView {
        name: setting.name().to_owned(),
        value: value.to_string(),
        value_ms: match value {
            SettingValue::Time(time) => Some(millis(time)),
            SettingValue::Count(_) | SettingValue::Switch(_) => None,
        },
        default: setting.of(&Settings::default()).to_string(),
        allowed: setting.rule(),
        about: setting.about().to_owned(),
    }
}

fn named(name: &str) -> Result<Setting, Error> {
    Setting::named(name).ok_or_else(|| {
        let shown: String = name.chars().take(100).collect();
        let error =
            Error::new(ErrorKind::NotFound, format!("there is no setting `{}`", shown.escape_debug()));
        let near = nearest(name, Setting::ALL.into_iter().map(Setting::name));
        error.hint(near.map_or_else(|| LIST.to_owned(), did_you_mean))
    })
}

fn read(pairs: &[(String, String)]) -> Result<Vec<SettingChange>, Error> {
    let invalid = |message: String| Error::new(ErrorKind::Invalid, message);
    if pairs.is_empty() {
        return Err(invalid("no setting is named".to_owned()).hint(LIST));
    }
    let mut changes: Vec<SettingChange> = Vec::new();
    for (name, text) in pairs {
        let setting = named(name)?;
        if changes.iter().any(|change| change.setting == setting) {
            return Err(invalid(format!("{name} is named twice")).hint("give each setting one value"));
        }
        changes.push(SettingChange { setting, value: value(setting, text)? });
    }
    Ok(changes)
}

/// Reads a value as people write it. Whether it may be so is decided on the state that the command meets.
fn value(setting: Setting, text: &str) -> Result<SettingValue, Error> {
    if text == DEFAULT {
        return Ok(setting.of(&Settings::default()));
    }
    let read = match setting.allowed() {
        Allowed::Time(..) => parse_duration(text).map(SettingValue::Time).map_err(|bad| bad.to_string()),
        Allowed::Count(..) => {
            text.parse().map(SettingValue::Count).map_err(|_| format!("`{}` is no number", shown(text)))
        }
        Allowed::Switch => text
            .parse()
            .map(SettingValue::Switch)
            .map_err(|_| format!("`{}` is neither true nor false", shown(text))),
    };
    read.map_err(|why| {
        let message = format!("{}: {why}", setting.name());
        Error::new(ErrorKind::Invalid, message)
            .hint(format!("possible is {}, or `{DEFAULT}`", setting.rule()))
    })
}

fn shown(text: &str) -> String {
    text.chars().take(100).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
        all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn refusal(all: &[(&str, &str)]) -> (ErrorKind, String, String) {
        let error = read(&pairs(all)).expect_err("refused");
        (error.kind, error.message, error.hint)
    }

    #[test]
    fn values_are_read_as_people_write_them_and_default_is_what_a_new_cluster_has() {
        let written =
            [("node_timeout", "1500ms"), ("versions", "3"), ("preemption", "true"), ("heartbeat", "default")];
        let read = read(&pairs(&written)).expect("read");
        let values: Vec<SettingValue> = read.iter().map(|change| change.value).collect();
        let expected = [
            SettingValue::Time(Duration::from_millis(1500)),
            SettingValue::Count(3),
            SettingValue::Switch(true),
            SettingValue::Time(Settings::default().heartbeat),
        ];
        assert_eq!(values, expected);
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_what_would_be_right() {
        let (kind, message, hint) = refusal(&[("node_timeot", "1s")]);
        assert_eq!((kind, message.as_str()), (ErrorKind::NotFound, "there is no setting `node_timeot`"));
        assert_eq!(hint, "did you mean `node_timeout`?");
        assert_eq!(refusal(&[("colour", "1s")]).2, LIST);
        let (kind, message, hint) = refusal(&[("node_timeout", "10")]);
        assert_eq!(kind, ErrorKind::Invalid);
        assert!(message.starts_with("node_timeout: `10` has no unit"), "{message}");
        assert_eq!(hint, "possible is 1s to 10m, and 3 heartbeats at least, or `default`");
        assert_eq!(refusal(&[("versions", "-1")]).1, "versions: `-1` is no number");
        assert_eq!(refusal(&[("preemption", "yes")]).1, "preemption: `yes` is neither true nor false");
        assert_eq!(refusal(&[("versions", "1"), ("versions", "2")]).1, "versions is named twice");
        assert_eq!(refusal(&[]).2, LIST);
    }
}
