//! The limit of open files of the process, which connections share with files.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit of open files to its hard limit. Call it at the start of `main`. If the system
/// refuses, the limit stays.
pub fn raise_limit() {
    let found = getrlimit(Resource::Nofile);
    if found.current != found.maximum {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: found.maximum, ..found });
    }
}

/// Returns the limit of open files; `None` if there is none.
pub fn limit() -> Option<usize> {
    let limit = getrlimit(Resource::Nofile).current?;
    Some(usize::try_from(limit).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raises_the_limit_to_the_hard_limit() {
        let before = getrlimit(Resource::Nofile);
        let low = before.maximum.map_or(256, |most| most.min(256));
        setrlimit(Resource::Nofile, Rlimit { current: Some(low), ..before }).unwrap();
        assert_eq!(limit(), Some(low as usize));
        raise_limit();
        assert_eq!(getrlimit(Resource::Nofile).current, before.maximum);
        setrlimit(Resource::Nofile, before).unwrap();
    }
}
