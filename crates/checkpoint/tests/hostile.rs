//! Checks that no input makes the readers panic, hang or run out of memory.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use ddpo_checkpoint::TensorFile;
use proptest::prelude::*;

fn golden(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name)).unwrap()
}

/// Opens a file of these bytes and reads every tensor that it declares.
fn exercise(bytes: &[u8]) {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    if let Ok(tensors) = TensorFile::open(file.path()) {
        for info in tensors.tensors() {
            let _ = tensors.read(&info.name);
            let _ = tensors.is_finite(&info.name);
        }
    }
}

/// Returns a zip archive with this pickle and one storage of 64 bytes.
fn archive(pickle: &[u8]) -> Vec<u8> {
    use std::io::{Cursor, Write};
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, content) in [("a/data.pkl", pickle), ("a/data/0", &[0_u8; 64])] {
        zip.start_file(name, options).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn said(pickle: &[u8]) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), archive(pickle)).unwrap();
    TensorFile::open(file.path()).err().map(|error| error.to_string()).unwrap_or_default()
}

/// Returns `{"w": _rebuild_tensor_v2(FloatStorage "0" of 16, offset, (size,), (stride,), ...)}`.
fn tensor_pickle(offset: i32, size: i32, stride: i32) -> Vec<u8> {
    let mut out = b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n((".to_vec();
    out.extend(b"X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x10tQ");
    for (number, ending) in [(offset, ""), (size, "\x05"), (stride, "\x05")] {
        out.push(b'J');
        out.extend(number.to_le_bytes());
        // TUPLE1 around the sizes and around the strides.
        out.extend(ending.bytes().map(|byte| byte | 0x80));
    }
    out.extend(b"\x89}tRs.");
    out
}

#[test]
fn rejects_views_beyond_their_storage() {
    assert_eq!(said(&tensor_pickle(0, 5, 3)), "");
    for (offset, size, stride) in [(1, 16, 2), (9, 4, 7), (-1, 2, 3), (0, -2, 3), (0, 2, -3)] {
        assert!(!said(&tensor_pickle(offset, size, stride)).is_empty(), "{offset} {size} {stride}");
    }
}

#[test]
fn rejects_huge_views_of_a_small_storage() {
    let message = said(&tensor_pickle(7, i32::MAX, 0));
    assert!(message.contains("more than the file can hold"), "{message}");
}

#[test]
fn rejects_exponentially_shared_dictionaries() {
    // Each level refers twice to the level below: 2^28 values in 300 bytes.
    let mut pickle = b"\x80\x02}q\x00".to_vec();
    for level in 0..28_u8 {
        pickle.extend([b'}', b'q', level + 1, b'(']);
        pickle.extend([b'K', 1, b'h', level, b'K', 2, b'h', level, b'u']);
    }
    pickle.push(b'.');
    assert!(said(&pickle).contains("too many values"), "{}", said(&pickle));
}

#[test]
fn rejects_lists_that_contain_themselves() {
    let message = said(b"\x80\x02}X\x01\x00\x00\x00a]q\x00h\x00as.");
    assert!(message.contains("too many levels"), "{message}");
}

#[test]
fn rejects_deep_nesting() {
    let mut pickle = b"\x80\x02}X\x01\x00\x00\x00a".to_vec();
    pickle.extend(vec![b']'; 100_000]);
    pickle.extend(vec![b'a'; 99_999]);
    pickle.extend(b"s.");
    assert!(said(&pickle).contains("too many levels"));
}

#[test]
fn rejects_globals_in_every_encoding() {
    assert!(said(b"\x80\x02cos\nsystem\n.").contains("refused to run `os.system`"));
    assert!(said(b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.").contains("`builtins.eval`"));
    assert!(said(b"(S'x'\nios\nsystem\n.").contains("refused pickle opcode 0x53"));
    assert!(said(b"\x80\x02\x81.").contains("refused pickle opcode 0x81"));
    assert!(said(b"\x80\x02ctorch.storage\n_load_from_bytes\n.").contains("refused to run"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn changed_files_never_panic(
        which in 0..6_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let names = [
            "state.bin",
            "state-protocol-5.bin",
            "nested.pth",
            "malicious.pth",
            "state.safetensors",
            "state-legacy.bin",
        ];
        let mut bytes = golden(names[which]);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        exercise(&bytes);
    }

    #[test]
    fn changed_pickles_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
        sizes in (any::<i32>(), any::<i32>(), any::<i32>()),
    ) {
        let mut pickle = tensor_pickle(sizes.0, sizes.1, sizes.2);
        for (at, value) in changes {
            let at = at.index(pickle.len());
            pickle[at] = value;
        }
        if let Some(cut) = cut {
            pickle.truncate(cut.index(pickle.len()));
        }
        exercise(&archive(&pickle));
    }

    #[test]
    fn any_pickle_never_panics(pickle in prop::collection::vec(any::<u8>(), 0..200)) {
        exercise(&archive(&pickle));
    }

    #[test]
    fn any_header_never_panics(
        length in prop_oneof![0..400_u64, any::<u64>()],
        json in "\\{\"w\":\\{\"dtype\":\"(F32|I64|U8)\",\"shape\":\\[[0-9]{0,20}(,[0-9]{1,20})?\\],\"data_offsets\":\\[[0-9]{1,20},[0-9]{1,20}\\]\\}\\}",
    ) {
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.extend(json.as_bytes());
        bytes.extend([0; 16]);
        exercise(&bytes);
        let mut fitting = (json.len() as u64).to_le_bytes().to_vec();
        fitting.extend(json.as_bytes());
        fitting.extend([0; 16]);
        exercise(&fitting);
    }
}
