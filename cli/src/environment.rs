//! The process's environment as (name, value) pairs; names that are not text cannot be ours.

/// All variables whose name and value are text.
pub fn variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}
