//! The line above every table: when, where, and how quiet it was.

use std::path::Path;

use crate::calibrate::TOLERATED_PERCENT;

/// Says what a table was measured on. None varies: no time was measured.
pub(crate) fn line(variation: Option<f64>, rounds: usize, quick: bool) -> String {
    let is_noisy = variation.is_some_and(|variation| variation > TOLERATED_PERCENT);
    let calibration = variation.map_or_else(
        || "no calibration: no time is in it".to_owned(),
        |variation| format!("calibration within {variation:.0} %"),
    );
    let marks = [(is_noisy, "**noisy** "), (quick, "**quick** ")];
    let marks: String = marks.iter().filter(|(is_so, _)| *is_so).map(|(_, mark)| *mark).collect();
    let now = proto::time::now().to_string();
    let date = now.split('T').next().unwrap_or_default();
    format!(
        "{marks}{date}, {} cores {}, Linux {}, data on {}, build profile `{}`, {rounds} rounds, {calibration}.",
        std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
        cpu_model(),
        read("/proc/sys/kernel/osrelease"),
        filesystem(&std::env::temp_dir()),
        profile(),
    )
}

fn cpu_model() -> String {
    let text = read("/proc/cpuinfo");
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or_else(|| "of an unknown model".to_owned(), |(_, name)| name.trim().to_owned())
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

/// Returns the type of the file system with the longest mount point that a path lies below.
fn filesystem(path: &Path) -> String {
    let mounts = read("/proc/mounts");
    let rows = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let rows = rows.filter(|row| row.len() > 2 && path.starts_with(row[1]));
    rows.max_by_key(|row| row[1].len())
        .map_or_else(|| "an unknown file system".to_owned(), |row| row[2].to_owned())
}

fn profile() -> String {
    let me = std::env::current_exe().unwrap_or_default();
    let folder = me.parent().and_then(Path::file_name);
    folder.map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}
