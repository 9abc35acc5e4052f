//! The page as one file, and the token form. Style sheet, theme and tooltips come from the report.

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
        // Inline styles are allowed because plots have colours in style attributes.
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

    /// Returns the Content-Security-Policy, which allows only the page itself and its events.
    pub fn policy(&self) -> &str {
        &self.policy
    }

    /// Returns the token form; `complaint` names the error in the last answer.
    pub fn question(&self, complaint: &str) -> Bytes {
        Question { complaint }.to_string().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policy_allows_the_script_and_the_page_has_no_external_links() {
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
