//! Downloads one file into the cache: resumes a partial download, verifies it, then renames it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;
use std::thread;

use ddpo_files::sha256_of;

use crate::hub::backoff::{FIRST_WAIT, waits};
use crate::hub::client::{Client, Remote};
use crate::hub::error::Failure;

/// Consecutive attempts without new bytes before the download fails.
const MAX_FRUITLESS: usize = 3;

/// Attempts with wrong content before the download fails. A partial file of an earlier run may cause the
/// first.
const MAX_DAMAGED: u32 = 2;

/// Size of one read.
const CHUNK_BYTES: usize = 256 << 10;

/// Downloads `url` to `path`. The file appears only when it is complete and verified.
pub(crate) fn download(
    client: &Client,
    url: &str,
    remote: &Remote,
    path: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<(), Failure> {
    let partial = path.with_extension("incomplete");
    let fruitless_waits = || waits(MAX_FRUITLESS - 1);
    let (mut most, mut damaged, mut waits) = (length_of(&partial)?, 0, fruitless_waits());
    loop {
        let attempt = fetch_rest(client, url, remote, &partial, progress);
        let now = length_of(&partial)?;
        let progressed = now > most;
        most = most.max(now);
        let failure = match attempt.and_then(|length| verify(&partial, length, remote)) {
            Ok(()) => return Ok(fs::rename(&partial, path)?),
            Err(failure) => failure,
        };
        if matches!(failure, Failure::Damaged(_)) {
            // Resuming cannot repair wrong bytes.
            fs::remove_file(&partial)?;
            most = 0;
            damaged += 1;
        }
        if progressed {
            waits = fruitless_waits();
        }
        let wait = if progressed { Some(FIRST_WAIT) } else { waits.next() };
        let Some(wait) = wait.filter(|_| failure.may_pass() && damaged < MAX_DAMAGED) else {
            return Err(failure);
        };
        thread::sleep(wait);
    }
}

fn length_of(path: &Path) -> Result<u64, Failure> {
    match fs::metadata(path) {
        Ok(about) => Ok(about.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// Appends the missing bytes to the partial file and returns the expected length, if known.
fn fetch_rest(
    client: &Client,
    url: &str,
    remote: &Remote,
    partial: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<Option<u64>, Failure> {
    let present = length_of(partial)?;
    if present > 0 && remote.size == Some(present) {
        return Ok(remote.size);
    }
    let from = if remote.size.is_some_and(|size| present < size) { present } else { 0 };
    let response = client.fetch(url, from)?;
    let resumed = response.status() == 206;
    let length = response.body().content_length();
    let mut file = OpenOptions::new();
    let file = file.create(true).write(true).append(resumed).truncate(!resumed).open(partial)?;
    let mut at = if resumed { from } else { 0 };
    let expected = remote.size.or(length.map(|length| at + length));
    let mut body = response.into_body().into_reader();
    let mut chunk = vec![0_u8; CHUNK_BYTES];
    loop {
        let read =
            body.read(&mut chunk).map_err(|error| Failure::Unreachable(error.to_string()))?;
        if read == 0 {
            break;
        }
        (&file).write_all(&chunk[..read])?;
        at += read as u64;
        progress(at);
        if expected.is_some_and(|expected| at > expected) {
            return Err(Failure::Damaged(format!("more than the expected {expected:?} bytes")));
        }
    }
    file.sync_all()?;
    Ok(expected)
}

/// Checks the length and, if the Hub sent one, the digest.
fn verify(partial: &Path, expected: Option<u64>, remote: &Remote) -> Result<(), Failure> {
    let found = length_of(partial)?;
    if let Some(expected) = expected.filter(|expected| *expected != found) {
        return Err(Failure::Short { expected, found });
    }
    let is_digest = remote.etag.len() == 64 && remote.etag.bytes().all(|b| b.is_ascii_hexdigit());
    if !is_digest {
        return Ok(());
    }
    let found = sha256_of(File::open(partial)?)?;
    if found == remote.etag.to_ascii_lowercase() {
        return Ok(());
    }
    Err(Failure::Damaged(format!("expected SHA-256 {}, found {found}", remote.etag)))
}
