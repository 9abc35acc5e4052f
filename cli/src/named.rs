//! Parses flags with a closed set of names.

use anyhow::{Result, anyhow};
use std::fmt::Display;
use std::str::FromStr;

/// Returns the value that `text` names, or an error that names the flag.
pub fn named<T: FromStr<Err: Display>>(flag: &str, text: &str) -> Result<T> {
    text.parse().map_err(|error| anyhow!("{flag} = {text}: {error}"))
}
