//! Writes files atomically.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use ddpo_files::{WriteFileError, write_beside, write_file};

#[test]
fn error_names_the_file_if_its_folder_is_missing() {
    let error = write_file(Path::new("/no/such/folder/file"), b"x").unwrap_err();
    assert!(error.to_string().starts_with("could not write `/no/such/folder/file`"), "{error}");
}

#[test]
fn failed_write_keeps_the_old_file_and_removes_the_temporary_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    write_file(&path, b"old").unwrap();
    let failed = write_beside(&path, |file| {
        std::io::Write::write_all(file, b"new").unwrap();
        Err(WriteFileError { path: path.clone(), source: std::io::ErrorKind::StorageFull.into() })
    });
    assert!(failed.is_err());
    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn written_files_have_the_permissions_of_ordinary_files() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, plain) = (folder.path().join("ours"), folder.path().join("plain"));
    write_file(&ours, b"x").unwrap();
    fs::write(&plain, b"x").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&ours), mode(&plain));
}
