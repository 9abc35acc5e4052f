//! The findings as lines for a terminal.

use super::findings::{Cuda, Device, Disk, Findings, Reach};

const GIB: f64 = (1_u64 << 30) as f64;

/// Formats one line per finding: a name and a value.
pub fn table(findings: &Findings) -> String {
    let Findings { machine, cpu, memory, libtorch, used, .. } = findings;
    let mut rows = vec![
        ("ddpo", findings.version.clone()),
        ("machine", machine.clone()),
        ("cpu", format!("{}, {} threads, {}", cpu.name, cpu.threads, cpu.features.join(" "))),
        ("memory", format!("{}, {} available", gib(memory.total), gib(memory.available))),
        ("libtorch", format!("{} at {}", libtorch.version, or(libtorch.path.as_deref(), "?"))),
        ("cuda", cuda(&findings.cuda)),
    ];
    rows.extend(findings.cuda.devices.iter().map(|found| ("", device(found))));
    rows.push(("redis", reach(&findings.redis)));
    rows.push(("hub", reach(&findings.hub)));
    rows.extend(findings.disks.iter().map(|found| ("disk", disk(found))));
    rows.push(("would use", format!("{}; {} CPU threads", used.device, used.threads)));
    rows.iter().map(|(name, found)| format!("{name:<10} {found}\n")).collect()
}

fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / GIB)
}

fn or<'a>(text: Option<&'a str>, other: &'a str) -> &'a str {
    text.unwrap_or(other)
}

fn cuda(found: &Cuda) -> String {
    let number = |number: Option<i64>| number.map_or("-".into(), |number| number.to_string());
    let versions = format!(
        "CUDA {}, driver for CUDA {}, cuDNN {}, NCCL {}",
        or(found.runtime.as_deref(), "-"),
        or(found.driver.as_deref(), "-"),
        number(found.cudnn),
        number(found.nccl.map(i64::from)),
    );
    match &found.reason {
        Some(reason) => format!("no device: {reason} ({versions})"),
        None => versions,
    }
}

fn device(found: &Device) -> String {
    let peers = if found.peers.is_empty() { "none".into() } else { found.peers.join(" ") };
    format!(
        "{}: {}, {}, compute capability {}, {} multiprocessors, peer access: {peers}",
        found.device,
        found.name,
        gib(found.memory),
        found.capability,
        found.processors,
    )
}

fn reach(found: &Reach) -> String {
    let state = found.state.replace('_', " ");
    match (&found.reason, found.seconds) {
        (Some(reason), _) => format!("{state}: {reason}"),
        (None, Some(seconds)) => format!("{state} in {:.0} ms", seconds * 1e3),
        (None, None) => state,
    }
}

fn disk(found: &Disk) -> String {
    let free = found.free.map_or("unknown".into(), gib);
    format!("{free} free for {} in {}", found.purpose, found.path)
}
