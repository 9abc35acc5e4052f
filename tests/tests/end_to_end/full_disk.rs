//! A full disk stops a run with one message. The run loses nothing and resumes when there is room.

use ddpo_tests::disk::{SmallDisk, with_files_of_at_most};
use ddpo_tests::workshop::WEIGHTS;
use ddpo_tests::{Ended, Running, Workshop, run, tree};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const LONG: [&str; 3] = ["--num-epochs=5", "--ema-decay=0.9", "--record-batches"];

fn train(workshop: &Workshop, folder: &str) -> Running {
    let folder = format!("--output-dir={folder}");
    workshop.start(&run::short(&[&LONG[..], &[&folder]].concat()))
}

/// Checks a run in `folder` that a full disk has stopped: one message that names a file, no partial files,
/// and checkpoints that load.
#[track_caller]
fn stopped_cleanly(workshop: &Workshop, folder: &str, stopped: &Ended) {
    let message = stopped.refused();
    assert!(message.contains(&format!("{folder}/")), "{message}");
    let files = tree::read(&workshop.path(folder));
    let half = files.keys().find(|name| name.contains(".tmp-") || name.contains(".part"));
    assert_eq!(half, None, "after: {message}");
    for epoch in 1..=5 {
        let checkpoint = format!("{folder}/checkpoints/epoch-{epoch:06}");
        if workshop.path(&checkpoint).exists() {
            let sample = ["sample", "--ddpm-ckpt", &checkpoint, "--num-inference-steps=1"];
            workshop.ddpo(&[&sample[..], &["--num-samples=1", "--out=out"]].concat()).succeeded();
        }
    }
}

/// Returns the kibibytes of the files under a folder; hard links count once.
fn kibibytes(folder: &Path, seen: &mut BTreeMap<u64, u64>) -> u64 {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let about = entry.metadata().unwrap();
        seen.insert(about.ino(), about.blocks() / 2);
        if about.is_dir() {
            kibibytes(&entry.path(), seen);
        }
    }
    seen.values().sum()
}

#[test]
fn a_run_resumes_after_a_full_disk_has_room_again() {
    let workshop = Workshop::new();
    train(&workshop, "whole").end().succeeded();
    let whole = kibibytes(&workshop.path("whole"), &mut BTreeMap::new());
    // Without the permission to mount, a limit on the size of files simulates a full disk.
    let disk = SmallDisk::mount(&workshop.path("disk"), whole / 2);
    let stopped = match &disk {
        Some(_) => train(&workshop, "disk/run").end(),
        None => {
            let flags = run::short(&[&LONG[..], &["--output-dir=disk/run"]].concat());
            let limit = size(&workshop, "whole/batches/epoch-000001.safetensors") - 512;
            Running::start(with_files_of_at_most(limit, &workshop.path(""), &flags)).end()
        }
    };
    stopped_cleanly(&workshop, "disk/run", &stopped);
    if let Some(disk) = &disk {
        assert!(stopped.stderr.contains("No space left on device"), "{stopped}");
        assert!(workshop.path("disk/run/checkpoints/epoch-000001").exists(), "{stopped}");
        // A resume on the full disk fails too, but damages nothing.
        let again = workshop.ddpo(&["train", "--resume", "--output-dir=disk/run"]);
        stopped_cleanly(&workshop, "disk/run", &again);
        disk.grow();
    }
    workshop.ddpo(&["train", "--resume", "--output-dir=disk/run"]).succeeded();
    run::assert_same(&workshop.path("whole"), &workshop.path("disk/run"));
}

fn size(workshop: &Workshop, name: &str) -> u64 {
    workshop.path(name).metadata().unwrap().len()
}

#[test]
fn a_checkpoint_that_cannot_be_written_leaves_no_partial_folder() {
    let workshop = Workshop::new();
    train(&workshop, "whole").end().succeeded();
    // The folder of a run that was stopped after its first epoch.
    tree::copy(&workshop.path("whole"), &workshop.path("run"));
    let checkpoints = workshop.path("run/checkpoints");
    for name in ["epoch-000002", "epoch-000003", "epoch-000004", "epoch-000005", "best"] {
        fs::remove_dir_all(checkpoints.join(name)).unwrap();
    }
    tree::copy(&checkpoints.join("epoch-000001"), &checkpoints.join("best"));
    let before = tree::read(&checkpoints);
    let first = "run/checkpoints/epoch-000001";
    let limit = size(&workshop, &format!("{first}/optimizer.safetensors")) - 512;
    assert!(limit > size(&workshop, &format!("{first}/{WEIGHTS}")));

    let resume = ["train", "--resume", "--output-dir=run"];
    let limited = with_files_of_at_most(limit, &workshop.path(""), &resume);
    let stopped = Running::start(limited).end();
    stopped_cleanly(&workshop, "run", &stopped);
    for part in ["optimizer.safetensors", "File too large"] {
        assert!(stopped.stderr.contains(part), "{stopped}");
    }
    tree::assert_same(&before, &tree::read(&checkpoints));
    workshop.ddpo(&resume).succeeded();
    run::assert_same(&workshop.path("whole"), &workshop.path("run"));
}

#[test]
fn a_command_on_a_full_disk_leaves_no_partial_output() {
    let workshop = Workshop::new();
    workshop.ddpo(&run::short(&["--num-epochs=1", "--record-batches"])).succeeded();
    let before = tree::read(&workshop.path(""));
    let limit = size(&workshop, &format!("model/{WEIGHTS}")) - 512;
    let cases: [(&[&str], &str); 3] = [
        (
            &["replay", "--batch=run/batches/epoch-000001.safetensors", "--batch-size=4"],
            "diffusion_pytorch_model.safetensors",
        ),
        (
            &["pretrain", "--unet-config=model/unet/config.json", "--faces=2", "--steps=1"],
            "diffusion_pytorch_model.safetensors",
        ),
        (
            &["sample", "--num-inference-steps=40", "--save-trajectories"],
            "trajectories.safetensors",
        ),
    ];
    for (arguments, name) in cases {
        let model: &[&str] = if arguments[0] == "pretrain" { &[] } else { &["--ddpm-ckpt=model"] };
        let arguments = [arguments, model, &["--threads=1", "--out=out"]].concat();
        let limited = with_files_of_at_most(limit, &workshop.path(""), &arguments);
        let stopped = Running::start(limited).end();
        let message = stopped.refused();
        assert!(message.contains(name) && message.contains("File too large"), "{message}");
        let mut left = tree::read(&workshop.path(""));
        // Images that were complete before the disk was full may remain.
        left.retain(|name, _| !(name.starts_with("out/") && name.ends_with(".png")));
        tree::assert_same(&before, &left);
    }
}
