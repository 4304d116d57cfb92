//! Job files for tests.

/// A service whose one task runs a line of shell, restarted for ever after `delay`.
#[must_use]
pub fn shell(name: &str, count: u32, script: &str) -> String {
    with(
        name,
        "service",
        count,
        script,
        "restart: {attempts: -1, delay: 100ms, backoff: constant, jitter: 0%}",
    )
}

/// A batch job whose one task runs a line of shell, and is not tried again.
#[must_use]
pub fn batch(name: &str, script: &str) -> String {
    with(name, "batch", 1, script, "restart: {attempts: 0}\nreschedule: {attempts: 0}")
}

/// A job of that type with more keys.
#[must_use]
pub fn with(name: &str, kind: &str, count: u32, script: &str, more: &str) -> String {
    let script = serde_json::to_string(script).expect("a text is JSON, and JSON is YAML");
    format!(
        "name: {name}\ntype: {kind}\ncount: {count}\ncommand: /bin/sh\nargs: [-c, {script}]\nresources: {{cpu: 1m, memory: 1MiB, memory_limit: none}}\n{more}\n"
    )
}
