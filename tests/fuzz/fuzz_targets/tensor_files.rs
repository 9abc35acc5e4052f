//! Opens bytes as a file of tensors: safetensors, both formats of `torch.save`, or an index. A pickle
//! alone is put into an archive, so that changes do not break the archive around it. Reads small
//! tensors, which must have the shape and the values that the file states.

#![no_main]

use ddpo_checkpoint::TensorFile;
use ddpo_fuzz::written;
use libfuzzer_sys::fuzz_target;
use std::io::{Cursor, Write};
use std::path::PathBuf;
use tch::Kind;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// The most values of a tensor that is read.
const READ: i64 = 1 << 16;

/// The first bytes of the format before PyTorch 1.6.
const LEGACY: &[u8] = &[0x80, 2, 0x8a, 10];

fuzz_target!(|input: &[u8]| {
    let Ok(file) = TensorFile::open(&path_of(input)) else { return };
    let _ = (file.values(), file.order(), file.metadata(), file.scalars());
    for info in file.tensors() {
        let elements = info.shape.iter().fold(1_i64, |all, &side| all.saturating_mul(side));
        if elements > READ {
            continue;
        }
        let tensor = file.read(&info.name).expect("a tensor within the file");
        assert_eq!((tensor.size(), tensor.kind()), (info.shape.clone(), info.kind));
        let finite = match info.kind {
            Kind::Float | Kind::Half | Kind::BFloat16 | Kind::Double => {
                tensor.isfinite().all().int64_value(&[]) == 1
            }
            _ => true,
        };
        assert_eq!(file.is_finite(&info.name).expect("a tensor within the file"), finite);
    }
});

fn path_of(input: &[u8]) -> PathBuf {
    match input {
        [b'{', ..] => {
            // The files that the seeds' index names.
            for (name, bytes) in PARTS {
                written(name, bytes);
            }
            written("state.json", input)
        }
        [0x80, ..] if !input.starts_with(LEGACY) => written("state.pth", &archive(input)),
        _ => written("state", input),
    }
}

const PARTS: [(&str, &[u8]); 2] = [
    (
        "state-00001-of-00002.safetensors",
        include_bytes!("../../../crates/checkpoint/tests/goldens/state-00001-of-00002.safetensors"),
    ),
    (
        "state-00002-of-00002.safetensors",
        include_bytes!("../../../crates/checkpoint/tests/goldens/state-00002-of-00002.safetensors"),
    ),
];

/// Returns an archive with `pickle` and storages of 256 bytes.
fn archive(pickle: &[u8]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::DEFAULT.compression_method(CompressionMethod::Stored);
    let storage: Vec<u8> = (0..=255).collect();
    let mut entry = |name: &str, bytes: &[u8]| {
        zip.start_file(format!("archive/{name}"), options).expect("a valid name");
        zip.write_all(bytes).expect("space in memory");
    };
    entry("data.pkl", pickle);
    (0..STORAGES).for_each(|key| entry(&format!("data/{key}"), &storage));
    zip.finish().expect("space in memory").into_inner()
}

/// The number of storages of [`archive`], as many as the seeds need.
const STORAGES: usize = 8;
