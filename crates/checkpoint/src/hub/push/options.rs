//! The options of a push.

use std::path::Path;

/// The folder to push and its destination.
#[derive(Debug, Clone, Copy)]
pub struct Push<'a> {
    /// The repository, `owner/name`; it is created if it does not exist.
    pub repository: &'a str,
    /// The branch; it is created if it does not exist.
    pub branch: &'a str,
    /// The visibility of the repository, if it is created.
    pub visibility: Visibility,
    /// The first line of the commit's message.
    pub message: &'a str,
    /// The folder whose files are pushed, named by their paths in it. Other files of the
    /// repository are kept.
    pub folder: &'a Path,
    /// Paths in the folder that are not pushed.
    pub leave_out: &'a [&'a str],
}

/// The visibility of a new repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visibility {
    /// The default of the owner's settings, usually public.
    Usual,
    /// Only the owner can see it.
    Private,
}
