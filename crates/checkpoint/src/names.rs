//! Names that a repository, a revision or a file on the Hub may have.

/// Returns whether a name could be that of a repository: `owner/name`, of letters, digits, `-`, `_`, `.`.
pub(crate) fn is_repository_name(name: &str) -> bool {
    let part = |part: &str| part.len() <= 96 && is_part(part);
    name.split_once('/').is_some_and(|(owner, name)| part(owner) && part(name))
}

/// Returns whether a path could be that of a file in a repository, and stays in its snapshot.
pub(crate) fn is_file_name(path: &str) -> bool {
    path.len() <= 256 && path.split('/').all(is_part)
}

/// Returns whether a revision could be one, and could be the name of a file.
pub(crate) fn is_revision(revision: &str) -> bool {
    revision.len() <= 128 && revision.split('/').all(is_part)
}

/// Returns whether a text may stand between two slashes of a name.
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
    fn repository_names_are_told_from_paths() {
        for name in ["google/ddpm-church-256", "a/b", "Owner_1/na.me"] {
            assert!(is_repository_name(name), "{name}");
        }
        for name in ["", "a", "/a", "a/", "./a", "../a", "a/../b", "a/b/c", "a/.b", "a b/c", "~/a"]
        {
            assert!(!is_repository_name(name), "{name}");
        }
    }

    #[test]
    fn revisions_cannot_leave_the_cache() {
        assert!(is_revision("main") && is_revision("refs/pr/1") && is_revision("v1.0"));
        assert!(!is_revision("../x") && !is_revision("a//b") && !is_revision(""));
        assert!(is_commit(&"a1".repeat(20)) && !is_commit("main"));
    }
}
