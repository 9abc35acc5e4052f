//! OpenTelemetry's environment variables that concern the whole SDK. The exporters read those of OTLP, such
//! as `OTEL_EXPORTER_OTLP_HEADERS`, themselves.
//!
//! Agrees with the OpenTelemetry specification 1.50, "Environment Variable Specification" and "Resource SDK".

/// The values of the variables. An empty variable counts as unset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variables {
    /// `OTEL_SDK_DISABLED`: nothing is exported.
    pub disabled: bool,
    /// `OTEL_SERVICE_NAME`, otherwise `service.name` of `OTEL_RESOURCE_ATTRIBUTES`.
    pub service_name: Option<String>,
    /// `OTEL_RESOURCE_ATTRIBUTES`, without `service.name`.
    pub attributes: Vec<(String, String)>,
    /// What is wrong with a variable that was ignored.
    pub ignored: Vec<String>,
}

/// The attribute with the name of the service.
const SERVICE_NAME: &str = "service.name";

impl Variables {
    /// Reads the variables of the process.
    #[must_use]
    pub fn of_process() -> Self {
        Self::read(|name| std::env::var(name).ok())
    }

    /// Reads the variables by `value`. The specification asks to ignore a malformed variable as a whole.
    pub fn read(value: impl Fn(&str) -> Option<String>) -> Self {
        let value = |name: &str| value(name).filter(|text| !text.is_empty());
        let mut read = Self { service_name: value("OTEL_SERVICE_NAME"), ..Self::default() };
        match value("OTEL_SDK_DISABLED").map(|text| text.to_ascii_lowercase()).as_deref() {
            Some("true") => read.disabled = true,
            None | Some("false") => {}
            Some(found) => {
                let told = format!("OTEL_SDK_DISABLED = {found:?}: expected true or false");
                read.ignored.push(told);
            }
        }
        match value("OTEL_RESOURCE_ATTRIBUTES").map(|text| pairs(&text)).transpose() {
            Ok(pairs) => read.attributes = pairs.unwrap_or_default(),
            Err(found) => read.ignored.push(format!(
                "OTEL_RESOURCE_ATTRIBUTES: expected key=value,key=value with other characters as \
                 %XX, found {found:?}"
            )),
        }
        let all = std::mem::take(&mut read.attributes).into_iter();
        let (names, attributes): (Vec<_>, Vec<_>) = all.partition(|(key, _)| key == SERVICE_NAME);
        let attribute = names.into_iter().next_back().map(|(_, name)| name);
        Self { service_name: read.service_name.or(attribute), attributes, ..read }
    }
}

/// Returns the pairs of `key=value,key=value`, decoded.
///
/// # Errors
/// The first part that is malformed.
fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts.map(|part| pair(part).ok_or_else(|| part.to_owned())).collect()
}

fn pair(part: &str) -> Option<(String, String)> {
    let (key, value) = part.split_once('=')?;
    let (key, value) = (decoded(key.trim())?, decoded(value.trim())?);
    (!key.is_empty()).then_some((key, value))
}

/// Decodes `%XX`, as W3C Baggage has it.
fn decoded(text: &str) -> Option<String> {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let (code, rest) = (piece.get(..2)?, piece.get(2..)?);
        if !code.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        bytes.push(u8::from_str_radix(code, 16).ok()?);
        bytes.extend(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(given: &[(&str, &str)]) -> Variables {
        Variables::read(|name| {
            let found = given.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn unset_and_empty_variables_change_nothing() {
        assert_eq!(read(&[]), Variables::default());
        let names = ["OTEL_SDK_DISABLED", "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"];
        assert_eq!(read(&names.map(|name| (name, ""))), Variables::default());
    }

    #[test]
    fn only_true_disables_the_sdk() {
        for (text, disabled, ignored) in
            [("true", true, 0), ("True", true, 0), ("false", false, 0), ("1", false, 1)]
        {
            let read = read(&[("OTEL_SDK_DISABLED", text)]);
            assert_eq!((read.disabled, read.ignored.len()), (disabled, ignored), "{text}");
        }
    }

    #[test]
    fn the_service_name_takes_precedence_over_the_attribute() {
        let attributes = ("OTEL_RESOURCE_ATTRIBUTES", "team=a%2Cb%3D%C3%A9, service.name=faces,");
        let found = read(&[attributes]);
        assert_eq!(found.service_name.as_deref(), Some("faces"));
        assert_eq!(found.attributes, owned(&[("team", "a,b=é")]));
        let found = read(&[attributes, ("OTEL_SERVICE_NAME", "lab")]);
        assert_eq!(found.service_name.as_deref(), Some("lab"));
    }

    #[test]
    fn malformed_attributes_are_ignored_as_a_whole() {
        for text in ["team", "a=1,b", "a=%", "a=%2", "a=%zz", "a=%+1", "a=%ff", "=1", "a=%é"] {
            let read = read(&[("OTEL_RESOURCE_ATTRIBUTES", text)]);
            assert_eq!((read.attributes.len(), read.ignored.len()), (0, 1), "{text}");
        }
    }
}
