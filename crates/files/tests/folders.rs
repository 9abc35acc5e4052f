//! Publishes folders atomically, and repairs interrupted publications.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use ddpo_files::{PublishError, WriteFileError, publish_folder, recover_folder, write_file};

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn version(root: &Path) -> String {
    fs::read_to_string(root.join("version")).unwrap()
}

fn put(text: &str) -> impl Fn(&Path) -> Result<(), WriteFileError> {
    move |folder| write_file(&folder.join("version"), text.as_bytes())
}

#[test]
fn publishing_replaces_the_folder_and_a_failure_keeps_the_old_folder() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("best");
    publish_folder(&target, put("1")).unwrap();
    publish_folder(&target, put("2")).unwrap();
    assert_eq!(version(&target), "2");
    let failed = publish_folder(&target, |fresh| {
        fs::write(fresh.join("half"), b"written").unwrap();
        Err("the disk is full")
    });
    assert!(matches!(failed, Err(PublishError::Fill("the disk is full"))));
    assert_eq!(version(&target), "2");
    assert_eq!(names(folder.path()), ["best"]);
    assert!(publish_folder(Path::new("/.."), put("x")).is_err());
}

/// Each case lists the folders after a process was killed while publishing, and the version that recovery
/// keeps.
#[test]
fn recovers_from_a_killed_process() {
    let cases: [(&[&str], &str); 5] = [
        (&["best"], "best"),
        (&["best", ".tmp-best"], "best"),
        (&[".old-best", ".tmp-best"], ".old-best"),
        (&[".old-best", "best"], "best"),
        (&[".old-best"], ".old-best"),
    ];
    for (present, survivor) in cases {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| -> PathBuf { folder.path().join(name) };
        for name in present {
            fs::create_dir(at(name)).unwrap();
            fs::write(at(name).join("version"), name).unwrap();
        }
        recover_folder(&at("best")).unwrap();
        assert_eq!(version(&at("best")), survivor, "{present:?}");
        assert_eq!(names(folder.path()), ["best"], "{present:?}");
        publish_folder(&at("best"), put("next")).unwrap();
        assert_eq!(version(&at("best")), "next");
        assert_eq!(names(folder.path()), ["best"], "{present:?}");
    }
}
