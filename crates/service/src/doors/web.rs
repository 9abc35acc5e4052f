//! A door for browsers: the token and the certificate of the gRPC door, over HTTP/1.
//!
//! A browser cannot add a header to a page that it opens, so it shows the token once and gets a pass for
//! it, as a cookie. The pass is made of the token, so that it outlives the process, and is not the token: a
//! cookie goes to every port of a host.

use crate::doors::error::DoorError;
use crate::doors::server::{DoorSettings, bind, is_loopback};
use crate::doors::{pem, token};
use ddpo_settings::Secret;
use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, COOKIE, HOST};
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::server::WebPkiClientVerifier;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Name of the cookie.
const PASS: &str = "ddpo-pass";

/// What the pass is derived for (BLAKE3's key derivation).
const CONTEXT: &str = "ddpo 2026 pass of a browser";

/// A checked door.
#[derive(Clone)]
pub struct WebDoor {
    setting: &'static str,
    listen: SocketAddr,
    tls: Option<TlsAcceptor>,
    token: Option<Secret>,
    pass: Option<Secret>,
}

impl DoorSettings {
    /// Reads and checks everything that the settings name, for a door that browsers come to.
    ///
    /// # Errors
    /// As [`DoorSettings::open`].
    pub fn open_web(&self) -> Result<WebDoor, DoorError> {
        let token = self.token()?;
        let tls = self.acceptor()?;
        self.refuse_an_open_door(token.is_some(), tls.is_some())?;
        let pass = token.as_ref().map(|token| {
            let key = blake3::derive_key(CONTEXT, token.expose().as_bytes());
            Secret::new(blake3::Hash::from(key).to_hex().as_str())
        });
        let (setting, listen) = (self.setting, self.listen);
        Ok(WebDoor { setting, listen, tls, token, pass })
    }

    fn acceptor(&self) -> Result<Option<TlsAcceptor>, DoorError> {
        let Some(pair) = self.pair()? else { return Ok(None) };
        let refused = |error: rustls::Error| DoorError::Tls(error.to_string());
        let provider = Arc::new(default_provider());
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(refused)?;
        let config = match &self.tls_client_ca {
            None => config.with_no_client_auth(),
            Some(path) => {
                let roots = Arc::new(pem::roots("tls_client_ca", path)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
                let refused = |error| DoorError::Tls(format!("tls_client_ca: {error}"));
                config.with_client_cert_verifier(verifier.map_err(refused)?)
            }
        };
        let config = config.with_single_cert(pair.chain, pair.key).map_err(refused)?;
        Ok(Some(TlsAcceptor::from(Arc::new(config))))
    }
}

impl WebDoor {
    /// Listens; the port is taken when this returns.
    ///
    /// # Errors
    /// [`DoorError::Listen`].
    pub async fn bind(&self) -> Result<TcpListener, DoorError> {
        bind(self.setting, self.listen).await
    }

    /// What makes TLS of a connection, if there is a certificate.
    #[must_use]
    pub fn tls(&self) -> Option<&TlsAcceptor> {
        self.tls.as_ref()
    }

    /// Whether a token is asked for.
    #[must_use]
    pub fn asks(&self) -> bool {
        self.token.is_some()
    }

    /// Whether a request with these headers may come in: it shows the token or the pass, or there is
    /// no token.
    #[must_use]
    pub fn admits(&self, headers: &HeaderMap) -> bool {
        let (Some(expected), Some(pass)) = (&self.token, &self.pass) else { return true };
        let header = headers.get(AUTHORIZATION).and_then(|value| token::bearer(value.as_bytes()));
        let shown = header.is_some_and(|shown| token::same(shown, expected));
        shown || passes(headers).any(|shown| token::same(shown.as_bytes(), pass))
    }

    /// The cookie for a browser that has shown `token`; none if that is not the token.
    #[must_use]
    pub fn cookie(&self, token: &str) -> Option<String> {
        let (expected, pass) = (self.token.as_ref()?, self.pass.as_ref()?);
        let secure = if self.tls.is_some() { "; Secure" } else { "" };
        // Lax, not Strict: a link to the page that stands elsewhere may be followed.
        token::same(token.as_bytes(), expected)
            .then(|| format!("{PASS}={}; Path=/; HttpOnly; SameSite=Lax{secure}", pass.expose()))
    }

    /// Whether the request is for this host. A door on loopback without a token is open to every page
    /// that the machine's browser shows, if its name comes to mean this address; so only addresses and
    /// `localhost` are answered there.
    #[must_use]
    pub fn is_meant(&self, headers: &HeaderMap) -> bool {
        if self.asks() || !is_loopback(self.listen) {
            return true;
        }
        let Some(Ok(host)) = headers.get(HOST).map(|value| value.to_str()) else { return true };
        let is_port = |port: &str| port.chars().all(|digit| digit.is_ascii_digit());
        let name = match host.rsplit_once(':') {
            Some((name, port)) if is_port(port) => name,
            _ => host,
        };
        let name = name.trim_start_matches('[').trim_end_matches(']');
        name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
    }
}

/// The passes among the cookies.
fn passes(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let cookies = headers.get_all(COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let pairs = cookies.flat_map(|cookies| cookies.split(';')).map(str::trim);
    pairs.filter_map(|pair| pair.strip_prefix(PASS)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef-hush";

    fn door(token: Option<&str>) -> WebDoor {
        let settings = DoorSettings {
            setting: "dashboard_listen",
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            token: token.map(Secret::new),
            token_file: None,
            tls_cert: None,
            tls_key: None,
            tls_client_ca: None,
            insecure: false,
        };
        settings.open_web().unwrap()
    }

    fn headers(name: hyper::header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn the_token_the_pass_and_nothing_else_come_in() {
        let door = door(Some(TOKEN));
        assert!(door.asks() && !door.admits(&HeaderMap::new()));
        assert!(door.admits(&headers(AUTHORIZATION, &format!("Bearer {TOKEN}"))));
        assert!(!door.admits(&headers(AUTHORIZATION, &format!("Bearer {TOKEN}x"))));
        let cookie = door.cookie(TOKEN).unwrap();
        assert!(!cookie.contains(TOKEN), "the pass is not the token");
        let pair = cookie.split(';').next().unwrap();
        assert!(door.admits(&headers(COOKIE, &format!("other=1; {pair}"))));
        for wrong in [format!("{PASS}={TOKEN}"), format!("{pair}0"), format!("x{pair}")] {
            assert!(!door.admits(&headers(COOKIE, &wrong)), "{wrong}");
        }
        assert_eq!(door.cookie("0123456789abcdef-husH"), None);
    }

    #[test]
    fn without_a_token_only_names_of_this_machine_are_answered() {
        let open = door(None);
        assert!(open.admits(&HeaderMap::new()) && open.cookie(TOKEN).is_none());
        for host in ["127.0.0.1:9467", "localhost:1", "LOCALHOST", "[::1]:9467", "10.0.0.7"] {
            assert!(open.is_meant(&headers(HOST, host)), "{host}");
        }
        for host in ["rebound.example:9467", "127.0.0.1.example", "localhost.example"] {
            assert!(!open.is_meant(&headers(HOST, host)), "{host}");
            assert!(door(Some(TOKEN)).is_meant(&headers(HOST, host)));
        }
    }
}
