//! What this machine is, read by hand from `/proc`, `/etc` and the kernel.

use std::collections::BTreeMap;
use std::path::Path;

use nix::sys::utsname::uname;
use proto::model::Resources;

/// What is known of the machine. What cannot be read is empty: an agent without `/proc` still runs tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// Its name.
    pub host_name: String,
    /// Its own id, the same for all agents on it; of a cloned VM the same as of the original.
    pub machine_id: String,
    /// New with every boot.
    pub boot_id: String,
    /// What it has: cores and memory, all of both.
    pub capacity: Resources,
    /// For constraints: `os`, `arch`, `kernel`, `hostname`, `cpu_count`, `memory_bytes`, `distribution`.
    pub attributes: BTreeMap<String, String>,
}

/// Reads all of it. Blocks for a moment.
#[must_use]
pub fn read() -> Machine {
    let text = |path: &str| std::fs::read_to_string(Path::new(path)).unwrap_or_default().trim().to_owned();
    let names = uname().ok();
    let name = |pick: fn(&nix::sys::utsname::UtsName) -> &std::ffi::OsStr| {
        names.as_ref().map_or(String::new(), |names| pick(names).to_string_lossy().into_owned())
    };
    let host_name = name(|names| names.nodename());
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64;
    let memory_bytes = memory_total(&text("/proc/meminfo"));
    let machine_id = Some(text("/etc/machine-id")).filter(|id| !id.is_empty());
    let attributes = [
        ("os", std::env::consts::OS.to_owned()),
        ("arch", std::env::consts::ARCH.to_owned()),
        ("kernel", name(|names| names.release())),
        ("hostname", host_name.clone()),
        ("cpu_count", cores.to_string()),
        ("memory_bytes", memory_bytes.to_string()),
        ("distribution", distribution(&text("/etc/os-release"))),
    ];
    Machine {
        host_name,
        machine_id: machine_id.unwrap_or_else(|| text("/var/lib/dbus/machine-id")),
        boot_id: text("/proc/sys/kernel/random/boot_id"),
        capacity: Resources { cpu_millis: cores * 1000, memory_bytes },
        attributes: attributes
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(key, value)| (key.to_owned(), value))
            .collect(),
    }
}

/// The line `MemTotal:  16309284 kB` in bytes; 0 when there is none.
fn memory_total(meminfo: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kibibytes = line.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kibibytes.unwrap_or(0).saturating_mul(1024)
}

/// The line `ID=debian`, without quotes.
fn distribution(os_release: &str) -> String {
    let id = os_release.lines().find_map(|line| line.strip_prefix("ID="));
    id.unwrap_or_default().trim_matches('"').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn total_memory_is_read_in_bytes() {
        assert_eq!(memory_total("MemTotal:       16309284 kB\nMemFree: 1 kB\n"), 16_309_284 * 1024);
        assert_eq!(memory_total("MemFree: 1 kB"), 0);
        assert_eq!(memory_total("MemTotal: lots kB"), 0);
    }

    #[test]
    fn the_distribution_loses_its_quotes() {
        assert_eq!(distribution("NAME=\"Rocky\"\nID=\"rocky\"\nID_LIKE=rhel\n"), "rocky");
    }

    #[test]
    fn this_machine_has_cores_memory_and_a_boot() {
        let machine = read();
        assert!(machine.capacity.cpu_millis >= 1000);
        assert!(machine.capacity.memory_bytes > 1 << 20);
        assert!(!machine.boot_id.is_empty());
        assert_eq!(machine.attributes["os"], "linux");
    }
}
