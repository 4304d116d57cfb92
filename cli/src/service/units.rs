//! The text of the units.

use std::path::Path;

/// The unit of the server.
pub const SERVER: &str = "minijob-server.service";
/// The unit of the agent.
pub const AGENT: &str = "minijob-agent.service";

/// Returns the unit of the server that runs this program with this file.
#[must_use]
pub(super) fn server(program: &Path, config: &str) -> String {
    let exec = exec(program, "server", config);
    format!(
        "[Unit]
Description=minijob server
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
ExecStart={exec}
ExecReload=/bin/kill -HUP $MAINPID
Restart=always
RestartSec=1
OOMScoreAdjust=-900
LimitNOFILE=65536

[Install]
WantedBy=multi-user.target
"
    )
}

/// Returns the unit of the agent.
#[must_use]
pub(super) fn agent(program: &Path, config: &str) -> String {
    let exec = exec(program, "agent", config);
    format!(
        "[Unit]
Description=minijob agent
Wants=network-online.target
After=network-online.target {SERVER}
StartLimitIntervalSec=0

[Service]
ExecStart={exec}
ExecReload=/bin/kill -HUP $MAINPID
Restart=always
RestartSec=1
OOMScoreAdjust=-900
# Tasks and the keeper that holds them outlive the agent, and have control groups of their own below its.
KillMode=process
Delegate=yes
TasksMax=infinity

[Install]
WantedBy=multi-user.target
"
    )
}

fn exec(program: &Path, command: &str, config: &str) -> String {
    format!("{} {command} --config {config}", quoted(&program.display().to_string()))
}

/// Writes a path as `ExecStart=` reads it: `%` and `$` stand for themselves, and spaces do not split it.
fn quoted(path: &str) -> String {
    let escaped = path.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+%".contains(c);
    if escaped.chars().all(plain) { escaped } else { format!("\"{escaped}\"") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_whatever_is_in_it() {
        assert_eq!(quoted("/usr/local/bin/minijob"), "/usr/local/bin/minijob");
        assert_eq!(quoted("/opt/my tools/100%/$x"), "\"/opt/my tools/100%%/$$x\"");
    }

    #[test]
    fn tasks_outlive_the_agents_unit_and_both_units_come_back() {
        let (server, agent) = (server(Path::new("/b"), "/s.yml"), agent(Path::new("/b"), "/a.yml"));
        assert!(agent.contains("\nKillMode=process\n") && agent.contains("\nDelegate=yes\n"));
        for unit in [&server, &agent] {
            assert!(unit.contains("\nRestart=always\n") && unit.contains("\nOOMScoreAdjust=-900\n"));
        }
        assert!(server.contains("\nExecStart=/b server --config /s.yml\n"));
    }

    #[test]
    fn systemd_finds_nothing_wrong_with_them() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut command = std::process::Command::new("systemd-analyze");
        command.arg("verify");
        for (name, text) in [
            (SERVER, server(Path::new("/bin/true"), "/s.yml")),
            (AGENT, agent(Path::new("/bin/true"), "/a.yml")),
        ] {
            let path = dir.path().join(name);
            std::fs::write(&path, text).expect("written");
            command.arg(path);
        }
        // Only where systemd is installed; the texts themselves are golden everywhere.
        let Ok(output) = command.output() else { return };
        let told = String::from_utf8_lossy(&output.stderr);
        let about_ours: Vec<&str> = told.lines().filter(|line| line.contains("minijob")).collect();
        assert!(output.status.success() && about_ours.is_empty(), "{told}");
    }
}
