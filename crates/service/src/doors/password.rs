//! The password of Redis, where it stands in a file of its own: beside other secrets, and neither in
//! a URL nor in the environment, which a container's description shows.

use crate::doors::error::DoorError;
use crate::doors::pem;
use crate::settings::ServiceSettings;
use ddpo_settings::Secret;

/// Name of the setting, as errors tell it.
const SETTING: &str = "redis_password_file";

/// The password in the file that `redis_password_file` names; it wins over one in `redis_url`.
///
/// # Errors
/// A file that cannot be read, or holds nothing.
pub fn redis_password(settings: &ServiceSettings) -> Result<Option<Secret>, DoorError> {
    let Some(path) = &settings.redis_password_file else { return Ok(None) };
    let text = pem::read(SETTING, path)?;
    match text.trim() {
        "" => Err(pem::wrong(SETTING, path, "expected a password, found nothing".into())),
        password => Ok(Some(Secret::new(password))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_file_loses_its_line_end() {
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
