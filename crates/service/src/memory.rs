//! Tunes the C library's allocator for tensors, and measures the memory of the process.

/// Makes the allocator keep freed memory for reuse.
///
/// glibc allocates every block above a threshold directly from the kernel and returns it when
/// freed. Each activation of a large model then causes page faults and zeroing in the kernel: a
/// sixth of the time of a forward pass at 256x256. Call this function first in `main`, before other
/// threads start. Does nothing with other C libraries.
#[allow(unsafe_code)]
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt takes plain integers and only writes the allocator's parameters. For a value
    // that it does not know it returns 0 and changes nothing.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, -1);
        libc::mallopt(libc::M_TOP_PAD, 64 << 20);
    }
}

/// Returns the resident memory of the process (bytes); `None` if the system does not report it.
pub fn resident_bytes() -> Option<u64> {
    of_status("VmRSS:")
}

/// Returns the largest resident memory so far (bytes).
pub fn peak_bytes() -> Option<u64> {
    of_status("VmHWM:")
}

fn of_status(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}
