//! Validates names of repositories, revisions and files on the Hub.

/// Returns whether `name` is a valid repository name: `owner/name` of letters, digits, `-`, `_` and `.`.
pub(crate) fn is_repository_name(name: &str) -> bool {
    let part = |part: &str| part.len() <= 96 && is_part(part);
    name.split_once('/').is_some_and(|(owner, name)| part(owner) && part(name))
}

/// Returns whether `path` is a valid file path in a repository and cannot leave its snapshot.
pub(crate) fn is_file_name(path: &str) -> bool {
    path.len() <= 256 && path.split('/').all(is_part)
}

/// Returns whether `revision` is a valid revision and a safe file name.
pub(crate) fn is_revision(revision: &str) -> bool {
    revision.len() <= 128 && revision.split('/').all(is_part)
}

/// Returns whether `part` is valid between two slashes of a name.
fn is_part(part: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !part.is_empty() && !part.starts_with('.') && part.bytes().all(plain)
}

pub(crate) fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::{is_commit, is_repository_name, is_revision};

    #[test]
    fn distinguishes_repository_names_from_paths() {
        for name in ["google/ddpm-church-256", "a/b", "Owner_1/na.me"] {
            assert!(is_repository_name(name), "{name}");
        }
        for name in ["", "a", "/a", "a/", "./a", "../a", "a/../b", "a/b/c", "a/.b", "a b/c", "~/a"]
        {
            assert!(!is_repository_name(name), "{name}");
        }
    }

    #[test]
    fn rejects_revisions_that_leave_the_cache() {
        assert!(is_revision("main") && is_revision("refs/pr/1") && is_revision("v1.0"));
        assert!(!is_revision("../x") && !is_revision("a//b") && !is_revision(""));
        assert!(is_commit(&"a1".repeat(20)) && !is_commit("main"));
    }
}
