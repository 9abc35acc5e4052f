//! The options of a push.

use std::path::Path;

/// The folder to push and its destination.
#[derive(Debug, Clone, Copy)]
pub struct Push<'a> {
    /// The repository, `owner/name`. It is created if it does not exist.
    pub repository: &'a str,
    /// The branch. It is created if it does not exist.
    pub branch: &'a str,
    /// The visibility of a new repository.
    pub visibility: Visibility,
    /// The first line of the commit message.
    pub message: &'a str,
    /// The folder to push. Its files keep their relative paths; other files of the repository are kept.
    pub folder: &'a Path,
    /// Paths in the folder to leave out.
    pub leave_out: &'a [&'a str],
}

/// The visibility of a new repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visibility {
    /// The default in the owner's settings, usually public.
    Usual,
    /// Only the owner can see it.
    Private,
}
