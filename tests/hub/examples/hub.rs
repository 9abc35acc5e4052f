//! The tests' Hub for other programs. It prints its address, accepts pushes with the token in its
//! argument, and ends at the end of its standard input.

use ddpo_test_hub::Hub;
use std::io::Read;

/// Large files above this size are uploaded in parts.
const PART_BYTES: usize = 1 << 20;

#[expect(clippy::print_stdout, reason = "the address is its answer")]
fn main() {
    let token = std::env::args().nth(1).unwrap_or_default();
    let hub = Hub::empty(&token, PART_BYTES);
    println!("{}", hub.endpoint());
    // The pipe closes when the parent closes it or dies.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}
