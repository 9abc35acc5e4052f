//! Simulates full disks.

use crate::binary;
use crate::process;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system in memory, which is unmounted on drop.
#[derive(Debug)]
pub struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    /// Mounts a file system of `kibibytes` at `folder`. Returns `None` without the permission to mount.
    pub fn mount(folder: &Path, kibibytes: u64) -> Option<Self> {
        std::fs::create_dir_all(folder).ok()?;
        let options = format!("size={kibibytes}k");
        let words = ["-t", "tmpfs", "-o", &options, "tmpfs"].map(OsStr::new);
        runs("mount", words.into_iter().chain([folder.as_os_str()]))
            .then(|| Self { folder: folder.into() })
    }

    /// Makes the file system large enough for the tests.
    ///
    /// # Panics
    /// If the remount fails.
    pub fn grow(&self) {
        let words = ["-o", "remount,size=1g"].map(OsStr::new);
        assert!(runs("mount", words.into_iter().chain([self.folder.as_os_str()])));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        runs("umount", ["-l".as_ref(), self.folder.as_os_str()].into_iter());
    }
}

fn runs<'a>(program: &str, arguments: impl Iterator<Item = &'a OsStr>) -> bool {
    let output = Command::new(program).args(arguments).output();
    output.is_ok_and(|output| output.status.success())
}

/// Returns a command `ddpo ARGUMENTS` whose files cannot exceed `bytes`, rounded down to units of 512.
pub fn with_files_of_at_most(bytes: u64, folder: &Path, arguments: &[&str]) -> Command {
    // Without the trap, SIGXFSZ would end the process before it gets the error.
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$@\"", bytes / 512);
    let mut command = Command::new("sh");
    process::prepare(&mut command, folder);
    command.args(["-c", &script, "sh"]).arg(binary::ddpo()).args(arguments);
    command
}
