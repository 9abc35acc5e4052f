//! Reads the password of Redis from a file. Unlike a URL or a variable, a file does not appear in
//! the description of a container.

use crate::auth::certificates;
use crate::auth::error::AuthError;
use crate::settings::ServiceSettings;
use ddpo_settings::Secret;

/// Name of the setting, for messages.
const SETTING: &str = "redis_password_file";

/// Reads the password from the file `redis_password_file`; it overrides one in `redis_url`.
///
/// # Errors
/// The file cannot be read, or is empty.
pub fn redis_password(settings: &ServiceSettings) -> Result<Option<Secret>, AuthError> {
    let Some(path) = &settings.redis_password_file else { return Ok(None) };
    let text = certificates::read(SETTING, path)?;
    match text.trim() {
        "" => Err(certificates::wrong(SETTING, path, "expected a password, found nothing".into())),
        password => Ok(Some(Secret::new(password))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_password_without_the_line_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("redis");
        let redis_password_file = Some(path.clone());
        let settings = ServiceSettings { redis_password_file, ..ServiceSettings::default() };
        std::fs::write(&path, "correct horse\n").unwrap();
        let password = redis_password(&settings).unwrap();
        assert_eq!(password.unwrap().expose(), "correct horse");
        std::fs::write(&path, "\n").unwrap();
        let empty = redis_password(&settings).unwrap_err().to_string();
        let expected = format!("{SETTING} {}: expected a password, found nothing", path.display());
        assert_eq!(empty, expected);
        std::fs::remove_file(&path).unwrap();
        let missing = redis_password(&settings).unwrap_err().to_string();
        assert!(missing.starts_with(&format!("{SETTING} {}: ", path.display())), "{missing}");
        assert_eq!(redis_password(&ServiceSettings::default()).unwrap(), None);
    }
}
