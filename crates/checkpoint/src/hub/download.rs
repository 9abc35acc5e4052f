//! Fetching one content into the cache: resumed where it stopped, verified, then renamed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

use ddpo_files::sha256_of;

use crate::hub::Failure;
use crate::hub::client::{Client, Remote};

/// Attempts in a row that bring nothing before the download is given up.
const MAX_FRUITLESS: u32 = 3;

/// Downloads with the wrong content before it is given up: a part that was left by another run may
/// be to blame for the first.
const MAX_DAMAGED: u32 = 2;

/// Wait before the second attempt; doubled for each further one.
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// Bytes that are read at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// Fetches `url` to `path`, which appears only when it is complete and verified.
pub(crate) fn download(
    client: &Client,
    url: &str,
    remote: &Remote,
    path: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<(), Failure> {
    let partial = path.with_extension("incomplete");
    let (mut most, mut fruitless, mut damaged) = (length_of(&partial)?, 0, 0);
    loop {
        let attempt = fetch_rest(client, url, remote, &partial, progress);
        let now = length_of(&partial)?;
        fruitless = if now > most { 0 } else { fruitless + 1 };
        most = most.max(now);
        let failure = match attempt.and_then(|length| verify(&partial, length, remote)) {
            Ok(()) => return Ok(fs::rename(&partial, path)?),
            Err(failure) => failure,
        };
        if matches!(failure, Failure::Damaged(_)) {
            // What is there can never become the right content.
            fs::remove_file(&partial)?;
            most = 0;
            damaged += 1;
        }
        if !failure.may_pass() || fruitless >= MAX_FRUITLESS || damaged >= MAX_DAMAGED {
            return Err(failure);
        }
        thread::sleep(FIRST_WAIT * 2_u32.pow(fruitless));
    }
}

fn length_of(path: &Path) -> Result<u64, Failure> {
    match fs::metadata(path) {
        Ok(about) => Ok(about.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// Appends what is missing of the file and returns the length that it should have, if known.
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

/// Checks the length, and the digest where the Hub gives one.
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
