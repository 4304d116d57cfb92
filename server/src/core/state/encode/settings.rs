//! Settings, and changes of some of them.

use std::time::Duration;

use proto::time::millis;
use proto::wire::{BadMessage, v1};

use super::need;
use crate::core::state::{Setting, SettingChange, SettingValue, Settings};
use crate::limits::DEAD_SERVER_TIMEOUT;

pub(super) fn settings_to_wire(settings: &Settings) -> v1::Settings {
    v1::Settings {
        heartbeat_ms: millis(settings.heartbeat),
        node_timeout_ms: millis(settings.node_timeout),
        events_per_subject: settings.events_per_subject as u32,
        ended_allocs_kept: settings.ended_allocs as u64,
        ended_allocs_kept_ms: millis(settings.ended_allocs_for),
        versions_per_job: settings.versions as u32,
        preemption: settings.preemption,
        brake_at: settings.brake_at as u32,
        brake_pause_ms: Some(millis(settings.brake_pause)),
        dead_server_timeout_ms: millis(settings.dead_server_timeout),
    }
}

pub(super) fn settings_from_wire(settings: &v1::Settings) -> Settings {
    let default = Settings::default();
    Settings {
        heartbeat: Duration::from_millis(settings.heartbeat_ms),
        node_timeout: Duration::from_millis(settings.node_timeout_ms),
        events_per_subject: settings.events_per_subject as usize,
        ended_allocs: settings.ended_allocs_kept as usize,
        ended_allocs_for: Duration::from_millis(settings.ended_allocs_kept_ms),
        versions: settings.versions_per_job as usize,
        preemption: settings.preemption,
        brake_at: match settings.brake_at {
            0 => default.brake_at,
            percent => percent as usize,
        },
        brake_pause: settings.brake_pause_ms.map_or(default.brake_pause, Duration::from_millis),
        dead_server_timeout: match settings.dead_server_timeout_ms {
            0 => DEAD_SERVER_TIMEOUT,
            ms => Duration::from_millis(ms),
        },
    }
}

pub(super) fn change_to_wire(change: &SettingChange) -> v1::SettingChange {
    use v1::setting_change::Value;
    let value = match change.value {
        SettingValue::Time(time) => Value::TimeMs(millis(time)),
        SettingValue::Count(count) => Value::Count(count),
        SettingValue::Switch(on) => Value::On(on),
    };
    v1::SettingChange { name: change.setting.name().to_owned(), value: Some(value) }
}

/// Reads a change. One of a setting that this version does not know is no change to it: its peers would differ.
pub(super) fn change_from_wire(change: &v1::SettingChange) -> Result<SettingChange, BadMessage> {
    use v1::setting_change::Value;
    let value = match need(change.value, "value")? {
        Value::TimeMs(time) => SettingValue::Time(Duration::from_millis(time)),
        Value::Count(count) => SettingValue::Count(count),
        Value::On(on) => SettingValue::Switch(on),
    };
    Ok(SettingChange { setting: need(Setting::named(&change.name), "name")?, value })
}
