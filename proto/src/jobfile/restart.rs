//! `restart` and `reschedule`: what follows an end, on the node and on another.

use std::time::Duration;

use super::keys::Level;
use super::reader::{Reader, shown};
pub(super) use super::rules::ATTEMPTS_MOST;
use super::table::Table;
use super::tree::{Node, Value};
use crate::model::{Backoff, Interval, JobType, OnExhausted, Reschedule, Restart, RestartOn, policy};

/// The shortest window: restarts are at least 100 ms apart, so that a shorter one would hardly count any.
pub(super) const INTERVAL_LEAST: Duration = Duration::from_secs(1);

const BACKOFF: &[(&str, Backoff)] = &[("constant", Backoff::Constant), ("exponential", Backoff::Exponential)];
const ON_EXHAUSTED: &[(&str, OnExhausted)] =
    &[("move", OnExhausted::Move), ("stay", OnExhausted::Stay), ("fail", OnExhausted::Fail)];

const ON: &[(&str, RestartOn)] =
    &[("any", RestartOn::Any), ("failure", RestartOn::Failure), ("never", RestartOn::Never)];

/// Returns the policy of a group that writes none.
pub(super) const fn default_restart(kind: JobType) -> Restart {
    match kind {
        JobType::Service | JobType::System => Restart::SERVICE,
        JobType::Batch | JobType::SysBatch => Restart::BATCH,
    }
}

/// Returns the policy of a group that writes none.
pub(super) const fn default_reschedule(kind: JobType) -> Reschedule {
    match kind {
        JobType::Service | JobType::System => Reschedule::SERVICE,
        JobType::Batch | JobType::SysBatch => Reschedule::BATCH,
    }
}

/// Reads `restart`; what it does not say is the default of the job's type.
pub(super) fn restart(reader: &mut Reader<'_>, node: &Node, kind: JobType) -> Restart {
    let hint = "for example `restart: {attempts: -1, delay: 5s}`; `attempts: -1` never gives up";
    if !mapping(reader, node, "restart", hint) {
        return default_restart(kind);
    }
    let table = Table::read(reader, node, &[Level::Restart], "restart");
    let mut restart = default_restart(kind);
    if let Some(attempts) = table.get("attempts").and_then(|node| attempts(reader, node)) {
        restart.attempts = attempts;
    }
    if let Some(interval) = table.get("interval").and_then(|node| interval(reader, node)) {
        restart.interval = interval;
    }
    (restart.delay, restart.max_delay) = delays(reader, &table, restart.delay, restart.max_delay);
    if let Some(backoff) = table.get("backoff").and_then(|node| reader.word(node, "backoff", BACKOFF)) {
        restart.backoff = backoff;
    }
    if let Some(percent) = table.get("jitter").and_then(|node| reader.percent(node, "jitter")) {
        restart.jitter_percent = percent;
    }
    let word = |node| reader.word(node, "on_exhausted", ON_EXHAUSTED);
    if let Some(on_exhausted) = table.get("on_exhausted").and_then(word) {
        restart.on_exhausted = on_exhausted;
    }
    if let Some(on) = table.get("on").and_then(|node| reader.word(node, "on", ON)) {
        restart.on = on;
    }
    let never_again = restart.attempts.is_some()
        && restart.interval == Interval::Forever
        && restart.on_exhausted == OnExhausted::Stay;
    if never_again {
        let message =
            "`on_exhausted: stay` waits for the end of a window, and `interval: forever` never ends";
        reader.fault(
            table.key_at("on_exhausted"),
            message,
            "write `on_exhausted: fail`, or an `interval` that ends",
        );
    }
    restart
}

/// Reads `reschedule`; what it does not say is the default of the job's type.
pub(super) fn reschedule(reader: &mut Reader<'_>, node: &Node, kind: JobType) -> Reschedule {
    if !mapping(reader, node, "reschedule", "for example `reschedule: {attempts: 3, delay: 10s}`") {
        return default_reschedule(kind);
    }
    let table = Table::read(reader, node, &[Level::Reschedule], "reschedule");
    let mut reschedule = default_reschedule(kind);
    if let Some(attempts) = table.get("attempts").and_then(|node| attempts(reader, node)) {
        reschedule.attempts = attempts;
    }
    (reschedule.delay, reschedule.max_delay) = delays(reader, &table, reschedule.delay, reschedule.max_delay);
    if let Some(backoff) = table.get("backoff").and_then(|node| reader.word(node, "backoff", BACKOFF)) {
        reschedule.backoff = backoff;
    }
    reschedule
}

/// Says what a policy looks like to somebody who wrote `restart: always` or `restart: -1`.
fn mapping(reader: &mut Reader<'_>, node: &Node, key: &str, hint: &str) -> bool {
    let mapping = matches!(node.value, Value::Map(_) | Value::Null);
    if !mapping {
        reader.fault(node.at, format!("`{key}` is {}, expected a mapping", shown(node)), hint);
    }
    mapping
}

fn attempts(reader: &mut Reader<'_>, node: &Node) -> Option<Option<u32>> {
    const ENDLESS: [&str; 7] = ["inf", "infinity", "infinite", "unlimited", "forever", "always", ".inf"];
    if matches!(&node.value, Value::Text { text, .. } if ENDLESS.contains(&text.to_ascii_lowercase().as_str()))
    {
        return reader.expected(node, "attempts", "a whole number", "write `-1` for no end");
    }
    let number = reader.whole(node, "attempts", -1..=ATTEMPTS_MOST)?;
    Some(u32::try_from(number).ok())
}

fn interval(reader: &mut Reader<'_>, node: &Node) -> Option<Interval> {
    if matches!(&node.value, Value::Text { text, .. } if text == "forever") {
        return Some(Interval::Forever);
    }
    reader.duration(node, "interval", INTERVAL_LEAST).map(Interval::Window)
}

/// Reads `delay` and `max_delay`. A `max_delay` that is not written is never below the `delay` that is.
fn delays(
    reader: &mut Reader<'_>,
    table: &Table<'_>,
    first: Duration,
    most: Duration,
) -> (Duration, Duration) {
    let mut read = |key| {
        let node = table.get(key)?;
        reader.duration(node, key, policy::LEAST_DELAY)
    };
    let delay = read("delay").unwrap_or(first);
    let Some(max_delay) = read("max_delay") else { return (delay, most.max(delay)) };
    if max_delay < delay {
        let units = crate::units::show_duration;
        let message =
            format!("`max_delay` is {}, less than `delay`, which is {}", units(max_delay), units(delay));
        reader.fault(table.key_at("max_delay"), message, format!("at least `{}`", units(delay)));
    }
    (delay, max_delay)
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_means_no_end_elsewhere_is_shown_as_it_is_written_here() {
        for word in ["inf", "unlimited", "Infinity"] {
            let text = format!("name: web\ncommand: /bin/web\nrestart: {{attempts: {word}}}\n");
            let faults = crate::jobfile::parse("web.yml", &text).expect_err("no number");
            assert_eq!(faults.0[0].hint, "write `-1` for no end", "{word}");
        }
        let text = "name: web\ncommand: /bin/web\nresources: {memory: 64M}\nrestart: {delay: 5min}\n";
        let faults = crate::jobfile::parse("web.yml", text).expect_err("no units of ours");
        let hints: Vec<&str> = faults.0.iter().map(|fault| fault.hint.as_str()).collect();
        assert_eq!(hints, ["did you mean `64MiB`?", "did you mean `5m`?"]);
    }
}
