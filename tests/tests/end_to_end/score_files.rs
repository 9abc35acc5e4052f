//! `ddpo score` and `ddpo pretrain` read files of many formats, leave out files that cannot be read, and
//! follow links.

use ddpo_tests::Workshop;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

const TASK: &str = "--task=jpeg compressibility";

/// Copies files of `crates/picture/tests/goldens`.
fn copy(workshop: &Workshop, folder: &str, names: &[&str]) {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/picture/tests/goldens");
    fs::create_dir_all(workshop.path(folder)).unwrap();
    for name in names {
        fs::copy(goldens.join(name), workshop.path(folder).join(name)).unwrap();
    }
}

/// Returns the files and the rewards of a table.
fn rows(table: &str) -> Vec<(String, String)> {
    let cells = |line: &str| {
        let mut cells = line.split(',').map(str::to_owned);
        (cells.next().unwrap(), cells.next().unwrap())
    };
    table.lines().skip(1).map(cells).collect()
}

#[test]
fn lossless_files_of_one_image_have_one_reward() {
    let workshop = Workshop::new();
    let names = ["rgb.png", "rgb.bmp", "lzw.tif", "alpha.png", "lossless.webp", "alpha.bmp"];
    copy(&workshop, "pictures", &names);
    let scored = workshop.ddpo(&["score", TASK, "pictures"]).succeeded();
    let rewards = rows(&scored.stdout);
    assert_eq!(rewards.len(), names.len());
    let reward = |name: &str| {
        let of_name = |(file, _): &&(String, String)| file.ends_with(name);
        rewards.iter().find(of_name).unwrap().1.clone()
    };
    for (one, other) in [
        ("rgb.png", "rgb.bmp"),
        ("rgb.png", "lzw.tif"),
        ("alpha.png", "lossless.webp"),
        ("alpha.png", "alpha.bmp"),
    ] {
        assert_eq!(reward(one), reward(other), "{one} and {other}");
    }
}

#[test]
fn files_that_cannot_be_read_are_listed_at_the_end() {
    let workshop = Workshop::new();
    copy(&workshop, "pictures", &["frame.gif", "rgb.png"]);
    workshop.write("pictures/a.png", "no picture");
    workshop.write("pictures/m.webp", "RIFF____WEBP");
    symlink("nowhere.jpg", workshop.path("pictures/z.jpg")).unwrap();
    let scored = workshop.ddpo(&["score", TASK, "pictures"]).succeeded();
    let files: Vec<String> = rows(&scored.stdout).into_iter().map(|(file, _)| file).collect();
    assert_eq!(files, ["pictures/frame.gif", "pictures/rgb.png"]);
    let said: Vec<&str> = scored.stderr.lines().collect();
    let at = said.iter().position(|line| line.starts_with("left out 3 of 5 files")).unwrap();
    for (line, name) in said[at + 1..].iter().zip(["a.png: ", "m.webp: ", "z.jpg: "]) {
        assert!(line.starts_with(&format!("  pictures/{name}")), "{line}");
    }
    assert_eq!(said.len(), at + 4);
    let strict = workshop.ddpo(&["score", TASK, "--strict", "pictures"]);
    assert!(strict.refused().starts_with("pictures/a.png: image format: expected png"), "{strict}");
    assert_eq!(strict.stdout, "");
}

#[test]
fn links_to_folders_are_followed_only_if_asked() {
    let workshop = Workshop::new();
    copy(&workshop, "pictures/inner", &["rgb.png"]);
    copy(&workshop, "elsewhere", &["rgb.bmp"]);
    symlink("..", workshop.path("pictures/inner/loop")).unwrap();
    symlink("../elsewhere", workshop.path("pictures/link")).unwrap();
    let files = |flags: &[&str]| {
        let arguments = [&["score", TASK], flags, &["pictures"]].concat();
        let scored = workshop.ddpo(&arguments).succeeded();
        rows(&scored.stdout).into_iter().map(|(file, _)| file).collect::<Vec<_>>()
    };
    assert_eq!(files(&[]), ["pictures/inner/rgb.png"]);
    assert_eq!(files(&["--recursive"]), ["pictures/inner/rgb.png", "pictures/link/rgb.bmp"]);
}

#[test]
fn rejects_limits_and_ages_that_mean_nothing() {
    let workshop = Workshop::new();
    copy(&workshop, "pictures", &["rgb.png"]);
    for (flags, part) in [
        (&["--reward-deadline=0"][..], "expected seconds, more than 0"),
        (&["--reward-deadline=soon"], "expected seconds, more than 0"),
        (&["--age-classes=young"], "expected LABEL=AGES"),
        (
            &["--reward=over50", "--reward-model=toy-ages-32", "--age-classes=young=0-29"],
            "expected labels of the classifier, found \"young\"; its labels: \"0-2\"",
        ),
    ] {
        let refused = workshop.ddpo(&[&["score"], flags, &["pictures"]].concat());
        assert!(refused.code != Some(0) && refused.stderr.contains(part), "{flags:?}: {refused}");
    }
}
