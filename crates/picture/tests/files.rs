//! Finding and writing picture files.

#![allow(clippy::unwrap_used)] // A test may panic.

use std::fs;
use std::path::Path;

use ddpo_picture::{
    Folders, PictureError, decode_image, encode_png, images_in, images_under, read_image, write_png,
};
use ddpo_rollout::image::RgbImage;

fn picture() -> RgbImage {
    RgbImage::new(3, 2, (0..18).map(|value| value * 14).collect()).unwrap()
}

#[test]
fn png_round_trips_and_encodes_deterministically() {
    let bytes = encode_png(&picture()).unwrap();
    assert_eq!(decode_image(&bytes).unwrap(), picture());
    assert_eq!(encode_png(&picture()).unwrap(), bytes);
}

#[test]
fn rejects_a_picture_without_pixels() {
    let empty = RgbImage::new(0, 4, Vec::new()).unwrap();
    assert!(matches!(encode_png(&empty), Err(PictureError::Empty { width: 0, height: 4 })));
}

#[test]
fn writing_leaves_no_temporary_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.png");
    write_png(&path, &picture()).unwrap();
    write_png(&path, &picture()).unwrap();
    assert_eq!(read_image(&path).unwrap(), picture());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn names_the_file_if_its_folder_is_missing() {
    let found = write_png(Path::new("/no/such/folder/a.png"), &picture()).unwrap_err();
    assert!(found.to_string().starts_with("/no/such/folder/a.png: "), "{found}");
}

#[test]
fn finds_pictures_in_subfolders_and_sorts_them() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("b/.hidden")).unwrap();
    for name in ["c.JPG", "a.png", "b/x.jpeg", "b/.hidden/y.png", ".z.png", "notes.txt"] {
        fs::write(folder.path().join(name), b"").unwrap();
    }
    let found = images_under(folder.path()).unwrap();
    let names: Vec<_> =
        found.iter().map(|path| path.strip_prefix(folder.path()).unwrap().to_str()).collect();
    assert_eq!(names, [Some("a.png"), Some("b/x.jpeg"), Some("c.JPG")]);
    let alone = folder.path().join("notes.txt");
    assert_eq!(images_under(&alone).unwrap(), [alone]);
}

#[test]
fn names_a_folder_without_pictures_and_a_missing_path() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(images_under(folder.path()), Err(PictureError::NoImages(_))));
    let found = images_under(Path::new("/no/such/path")).unwrap_err().to_string();
    assert!(found.starts_with("/no/such/path: "), "{found}");
}

#[test]
fn follows_links_once_and_survives_loops() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    let outside = folder.path().join("outside");
    for made in [root.join("a/b"), outside.join("c")] {
        fs::create_dir_all(made).unwrap();
    }
    for name in
        ["root/1.webp", "root/a/2.GIF", "root/a/b/3.tif", "outside/4.bmp", "outside/c/5.png"]
    {
        fs::write(folder.path().join(name), b"").unwrap();
    }
    // Back to the top, to a sibling, to itself, to the outside twice, and from there back.
    symlink(&root, root.join("a/b/up")).unwrap();
    symlink(root.join("a"), root.join("z")).unwrap();
    symlink(root.join("self"), root.join("self")).unwrap();
    symlink(&outside, root.join("more")).unwrap();
    symlink(outside.join("c"), root.join("again")).unwrap();
    symlink(&root, outside.join("back")).unwrap();
    let names = |folders| {
        let found = images_in(&root, folders).unwrap();
        let shown =
            found.iter().map(|path| path.strip_prefix(&root).unwrap().display().to_string());
        shown.collect::<Vec<_>>()
    };
    assert_eq!(names(Folders::Sub), ["1.webp", "a/2.GIF", "a/b/3.tif"]);
    let linked = ["1.webp", "a/2.GIF", "a/b/3.tif", "again/5.png", "more/4.bmp"];
    assert_eq!(names(Folders::Linked), linked);
}
