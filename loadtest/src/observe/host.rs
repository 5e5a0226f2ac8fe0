//! Notes which machine a run was made on, so that figures are not compared across machines.

use std::fs;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

/// Facts about the machine.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Host {
    /// Processor model.
    pub(crate) cpu: String,
    /// Processors this process could use at its start.
    pub(crate) cores: usize,
    /// Kernel name and release.
    pub(crate) kernel: String,
    /// One-, five- and fifteen-minute load before the run.
    pub(crate) load_before: String,
    /// The same after the run.
    pub(crate) load_after: String,
    /// When the run started, UTC.
    pub(crate) started_at: String,
    /// Git revision of the working directory, if it has one.
    pub(crate) git_revision: Option<String>,
}

impl Host {
    /// Looks at the machine before a run.
    pub(crate) fn look() -> Self {
        let uname = rustix::system::uname();
        let kernel = format!("{} {}", uname.sysname().to_string_lossy(), uname.release().to_string_lossy());
        Self {
            cpu: cpu_model().unwrap_or_else(|| "unknown".to_owned()),
            cores: processors(),
            kernel,
            load_before: load(),
            load_after: String::new(),
            started_at: utc(SystemTime::now()),
            git_revision: git_revision(),
        }
    }

    /// Notes the load after the run.
    pub(crate) fn finish(&mut self) {
        self.load_after = load();
    }
}

fn cpu_model() -> Option<String> {
    let table = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = table.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn processors() -> usize {
    let online = fs::read_to_string("/proc/cpuinfo").map_or(0, |table| {
        let rows = table.lines().filter(|line| line.starts_with("processor"));
        rows.count()
    });
    online.max(1)
}

fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

fn git_revision() -> Option<String> {
    let output = Command::new("git").args(["describe", "--always", "--dirty", "--abbrev=12"]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let revision = text.trim();
    (output.status.success() && !revision.is_empty()).then(|| revision.to_owned())
}

/// A point in time as `2026-11-21T02:04:28Z`.
pub(crate) fn utc(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Year, month and day of a day number since 1970 (Hinnant's algorithm, for non-negative days).
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn dates_are_written_in_utc() {
        let at = |seconds| utc(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(at(1_795_226_668), "2026-11-21T02:04:28Z");
    }
}
