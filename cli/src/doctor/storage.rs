//! Free space where files are written.

use super::findings::Disk;
use ddpo_checkpoint::HubSettings;
use std::path::Path;

/// Returns the disks of the run folder, the Hub's cache and the folder for temporary files.
pub fn disks(output_dir: &Path) -> Vec<Disk> {
    let cache = HubSettings::from_env().ok().map(|settings| settings.cache);
    let temporary = std::env::temp_dir();
    let mut disks = vec![disk("runs", output_dir)];
    disks.extend(cache.as_deref().map(|cache| disk("Hub cache", cache)));
    disks.push(disk("temporary files", &temporary));
    disks
}

fn disk(purpose: &str, path: &Path) -> Disk {
    // If the folder does not exist yet, its nearest existing parent has the space.
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.into());
    let free = absolute.ancestors().find_map(|folder| rustix::fs::statvfs(folder).ok());
    Disk {
        purpose: purpose.into(),
        path: absolute.display().to_string(),
        free: free.map(|found| found.f_bavail * found.f_frsize),
    }
}
