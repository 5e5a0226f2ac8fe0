//! A folder for what a run's programs write.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};

/// Bytes of a log's end that are shown.
const SHOWN: usize = 600;

/// A folder that goes with its value; should this process be killed, a shell that reads from a pipe removes it.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    guard: Child,
}

impl Folder {
    /// Makes it among the system's temporary files.
    pub(crate) fn make() -> Result<Self> {
        use std::os::unix::process::CommandExt as _;
        let path = std::env::temp_dir().join(format!("roomcast-loadtest-{}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        let mut guard = Command::new("sh");
        // whoever writes there is killed by guards of their own first
        guard.args(["-c", "read -r _; sleep 1; rm -rf \"$0\""]).arg(&path).process_group(0);
        let guard = guard.stdin(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        Ok(Self { path, guard })
    }

    /// A folder in it.
    pub(crate) fn inner(&self, name: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        std::fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.guard.kill().ok();
        self.guard.wait().ok();
        // a folder that stays is no fault of the run
        std::fs::remove_dir_all(&self.path).ok();
    }
}

/// The end of a log, for an error's text.
pub(crate) fn end_of(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text[text.len().saturating_sub(SHOWN)..]).trim().to_owned();
    if text.is_empty() { "it wrote nothing".to_owned() } else { text }
}
