//! The tests' own Hub for other programs: prints its address, takes pushes with the token that it is
//! given, and ends when its standard input does.

use ddpo_tests::hub::Hub;
use std::io::Read;

/// Bytes beyond which a large file is taken in parts.
const PART_BYTES: usize = 1 << 20;

#[expect(clippy::print_stdout, reason = "the address is its answer")]
fn main() {
    let token = std::env::args().nth(1).unwrap_or_default();
    let hub = Hub::empty(&token, PART_BYTES);
    println!("{}", hub.endpoint());
    // Whoever started it closes the pipe, or dies.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}
