//! Values of flags that are one of a few names.

use anyhow::{Result, anyhow};
use std::fmt::Display;
use std::str::FromStr;

/// What `text` names, or an error that names the flag.
pub fn named<T: FromStr<Err: Display>>(flag: &str, text: &str) -> Result<T> {
    text.parse().map_err(|error| anyhow!("{flag} = {text}: {error}"))
}
