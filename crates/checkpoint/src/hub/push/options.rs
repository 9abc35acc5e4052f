//! The options of a push.

use std::path::Path;

/// What is pushed where.
#[derive(Debug, Clone, Copy)]
pub struct Push<'a> {
    /// The repository, `owner/name`; it is made if it is not there.
    pub repository: &'a str,
    /// The branch; it is made if it is not there.
    pub branch: &'a str,
    /// Whether the repository is private, if it is made.
    pub visibility: Visibility,
    /// The first line of the commit's message.
    pub message: &'a str,
    /// The folder whose files are pushed, by their paths in it. Files of the repository that the
    /// folder does not have stay.
    pub folder: &'a Path,
    /// Paths in the folder that are left out.
    pub leave_out: &'a [&'a str],
}

/// Who sees a repository that is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visibility {
    /// Everybody; or as the owner's settings have it.
    Usual,
    /// Nobody else.
    Private,
}
