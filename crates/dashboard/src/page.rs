//! The page as one file, and the form for the token. Style sheet, theme and tooltips are the report's.

use askama::Template;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ddpo_report::page::{SCRIPT, style};
use sha2::{Digest, Sha256};

const STYLE: &str = include_str!("../assets/live.css");
const LIVE: &str = include_str!("../assets/live.js");

#[derive(Template)]
#[template(path = "live.html")]
struct LivePage<'a> {
    script: &'a str,
}

#[derive(Template)]
#[template(path = "question.html")]
struct Question<'a> {
    complaint: &'a str,
}

/// The page, rendered once.
#[derive(Clone, Debug)]
pub struct Page {
    html: Bytes,
    policy: String,
}

impl Page {
    /// Renders the page.
    pub fn new() -> Self {
        let script = format!("\n{SCRIPT}\n{LIVE}");
        let hash = STANDARD.encode(Sha256::digest(&script));
        // Plots have colours in their style attributes, which is why styles may stand in the page.
        let policy = format!(
            "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{hash}'; \
             connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        );
        Self { html: LivePage { script: &script }.to_string().into(), policy }
    }

    /// Returns the page.
    pub fn html(&self) -> Bytes {
        self.html.clone()
    }

    /// Returns the Content-Security-Policy: nothing but the page itself and its events.
    pub fn policy(&self) -> &str {
        &self.policy
    }

    /// Returns the form for the token; `complaint` names the mistake in the last answer.
    pub fn question(&self, complaint: &str) -> Bytes {
        Question { complaint }.to_string().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_allows_the_script_and_the_page_links_to_no_other_host() {
        let page = Page::new();
        let html = String::from_utf8(page.html().to_vec()).unwrap();
        let (_, rest) = html.split_once("<script>").unwrap();
        let (script, after) = rest.split_once("</script>").unwrap();
        let hash = STANDARD.encode(Sha256::digest(script));
        assert!(
            page.policy().contains(&format!("script-src 'sha256-{hash}'")),
            "{}",
            page.policy()
        );
        assert!(!after.contains("<script"), "there is one script");
        assert!(!html.contains("http://") && !html.contains("https://"));
        let question = String::from_utf8(page.question("<no>").to_vec()).unwrap();
        assert!(question.contains("&#60;no&#62;") && !question.contains("<script"));
    }
}
