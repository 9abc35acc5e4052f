//! Authentication of browsers over HTTP/1, with the token and the certificate of the gRPC port.
//!
//! A browser cannot add a header when it opens a page, so it sends the token once and gets a
//! cookie. The cookie is derived from the token and therefore stays valid after a restart. It
//! differs from the token, because a browser sends a cookie to every port of a host.

use crate::auth::error::AuthError;
use crate::auth::host_header::names_this_machine;
use crate::auth::server::{ServerAuthSettings, bind, is_loopback};
use crate::auth::{certificates, token};
use cookie::{Cookie, SameSite};
use ddpo_settings::Secret;
use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, COOKIE};
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::server::WebPkiClientVerifier;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Name of the cookie.
const COOKIE_NAME: &str = "ddpo-pass";

/// Context of the key derivation (BLAKE3).
const CONTEXT: &str = "ddpo 2026 pass of a browser";

/// A checked port for browsers.
#[derive(Clone)]
pub struct WebAuth {
    setting: &'static str,
    listen: SocketAddr,
    tls: Option<TlsAcceptor>,
    token: Option<Secret>,
    pass: Option<Secret>,
}

impl ServerAuthSettings {
    /// Reads and checks the files that the settings name, for a port for browsers.
    ///
    /// # Errors
    /// As [`ServerAuthSettings::open`].
    pub fn open_web(&self) -> Result<WebAuth, AuthError> {
        let token = self.token()?;
        let tls = self.acceptor()?;
        self.require_token_and_tls(token.is_some(), tls.is_some())?;
        let pass = token.as_ref().map(|token| {
            let key = blake3::derive_key(CONTEXT, token.expose().as_bytes());
            Secret::new(blake3::Hash::from(key).to_hex().as_str())
        });
        let (setting, listen) = (self.setting, self.listen);
        Ok(WebAuth { setting, listen, tls, token, pass })
    }

    fn acceptor(&self) -> Result<Option<TlsAcceptor>, AuthError> {
        let Some(pair) = self.pair()? else { return Ok(None) };
        let refused = |error: rustls::Error| AuthError::Tls(error.to_string());
        let provider = Arc::new(default_provider());
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(refused)?;
        let config = match &self.tls_client_ca {
            None => config.with_no_client_auth(),
            Some(path) => {
                let roots = Arc::new(certificates::roots("tls_client_ca", path)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
                let refused = |error| AuthError::Tls(format!("tls_client_ca: {error}"));
                config.with_client_cert_verifier(verifier.map_err(refused)?)
            }
        };
        let config = config.with_single_cert(pair.chain, pair.key).map_err(refused)?;
        Ok(Some(TlsAcceptor::from(Arc::new(config))))
    }
}

impl WebAuth {
    /// Opens the port before it returns.
    ///
    /// # Errors
    /// [`AuthError::Listen`].
    pub async fn bind(&self) -> Result<TcpListener, AuthError> {
        bind(self.setting, self.listen).await
    }

    /// Returns the TLS acceptor, if a certificate is set.
    pub fn tls(&self) -> Option<&TlsAcceptor> {
        self.tls.as_ref()
    }

    /// Returns whether requests need the token.
    pub fn asks(&self) -> bool {
        self.token.is_some()
    }

    /// Returns whether a request with these headers is allowed: it has the token or the cookie, or
    /// no token is set.
    pub fn admits(&self, headers: &HeaderMap) -> bool {
        let (Some(expected), Some(pass)) = (&self.token, &self.pass) else { return true };
        let header = headers.get(AUTHORIZATION).and_then(|value| token::bearer(value.as_bytes()));
        let shown = header.is_some_and(|shown| token::same(shown, expected));
        shown || passes(headers).any(|shown| token::same(shown.as_bytes(), pass))
    }

    /// Returns the cookie for a browser that sent `token`; `None` if the token is wrong.
    pub fn cookie(&self, token: &str) -> Option<String> {
        let (expected, pass) = (self.token.as_ref()?, self.pass.as_ref()?);
        // Lax, not Strict, so that links on other pages work.
        let cookie = Cookie::build((COOKIE_NAME, pass.expose()))
            .path("/")
            .http_only(true)
            .same_site(SameSite::Lax)
            .secure(self.tls.is_some());
        token::same(token.as_bytes(), expected).then(|| cookie.to_string())
    }

    /// Returns whether the request is for this host: without a token, a loopback port accepts only
    /// addresses and `localhost`.
    pub fn is_meant(&self, headers: &HeaderMap) -> bool {
        if self.asks() || !is_loopback(self.listen) {
            return true;
        }
        names_this_machine(headers)
    }
}

/// Returns the values of this service's cookie among all cookies.
fn passes(headers: &HeaderMap) -> impl Iterator<Item = String> {
    let cookies = headers.get_all(COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let cookies = cookies.flat_map(Cookie::split_parse).filter_map(Result::ok);
    cookies.filter(|cookie| cookie.name() == COOKIE_NAME).map(|cookie| cookie.value().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HOST;

    const TOKEN: &str = "0123456789abcdef-hush";

    fn auth(token: Option<&str>) -> WebAuth {
        let settings = ServerAuthSettings {
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
    fn admits_the_token_and_the_cookie_only() {
        let auth = auth(Some(TOKEN));
        assert!(auth.asks() && !auth.admits(&HeaderMap::new()));
        assert!(auth.admits(&headers(AUTHORIZATION, &format!("Bearer {TOKEN}"))));
        assert!(!auth.admits(&headers(AUTHORIZATION, &format!("Bearer {TOKEN}x"))));
        let cookie = auth.cookie(TOKEN).unwrap();
        assert!(!cookie.contains(TOKEN), "the cookie is not the token");
        let pair = cookie.split(';').next().unwrap();
        assert!(auth.admits(&headers(COOKIE, &format!("other=1; {pair}"))));
        for wrong in [format!("{COOKIE_NAME}={TOKEN}"), format!("{pair}0"), format!("x{pair}")] {
            assert!(!auth.admits(&headers(COOKIE, &wrong)), "{wrong}");
        }
        assert_eq!(auth.cookie("0123456789abcdef-husH"), None);
    }

    #[test]
    fn answers_only_names_of_this_machine_without_a_token() {
        let open = auth(None);
        assert!(open.admits(&HeaderMap::new()) && open.cookie(TOKEN).is_none());
        for host in ["127.0.0.1:9467", "localhost:1", "LOCALHOST", "[::1]:9467", "10.0.0.7"] {
            assert!(open.is_meant(&headers(HOST, host)), "{host}");
        }
        for host in ["rebound.example:9467", "127.0.0.1.example", "localhost.example"] {
            assert!(!open.is_meant(&headers(HOST, host)), "{host}");
            assert!(auth(Some(TOKEN)).is_meant(&headers(HOST, host)));
        }
    }
}
