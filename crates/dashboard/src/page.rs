//! The page as one file, and the form for the token. Style sheet, theme and tooltips are the report's.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ddpo_report::page::html::{escape, quiet, section};
use ddpo_report::page::{SCRIPT, style};
use sha2::{Digest, Sha256};

const STYLE: &str = include_str!("../assets/live.css");
const LIVE: &str = include_str!("../assets/live.js");

/// The page, rendered once.
#[derive(Clone, Debug)]
pub struct Page {
    html: Bytes,
    policy: String,
}

impl Page {
    /// Renders the page.
    #[must_use]
    pub fn new() -> Self {
        let script = format!("\n{SCRIPT}\n{LIVE}");
        let hash = STANDARD.encode(Sha256::digest(&script));
        // Plots have colours in their style attributes, which is why styles may stand in the page.
        let policy = format!(
            "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{hash}'; \
             connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        );
        let html = whole(&body(), &format!("<script>{script}</script>"));
        Self { html: Bytes::from(html), policy }
    }

    /// Returns the page.
    #[must_use]
    pub fn html(&self) -> Bytes {
        self.html.clone()
    }

    /// Returns the Content-Security-Policy: nothing but the page itself and its events.
    #[must_use]
    pub fn policy(&self) -> &str {
        &self.policy
    }

    /// Returns the form for the token; `complaint` names the mistake in the last answer.
    #[must_use]
    pub fn question(&self, complaint: &str) -> Bytes {
        let complaint = match complaint {
            "" => String::new(),
            text => format!("<p class=\"bad\">{}</p>", escape(text)),
        };
        let form = format!(
            "<main class=\"question\"><h1>A run of ddpo</h1>{}{complaint}\
             <form method=\"post\" action=\"/\"><label for=\"token\">Token</label>\
             <input id=\"token\" name=\"token\" type=\"password\" autocomplete=\"current-password\" \
             required autofocus><button>Show the run</button></form></main>",
            quiet(
                "This page asks for the token of the run's services (DDPO_SERVICE_TOKEN, or token_file)."
            )
        );
        Bytes::from(whole(&form, ""))
    }
}

fn whole(body: &str, script: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <link rel=\"icon\" href=\"data:,\">\n<title>ddpo</title>\n<style>\n{}{STYLE}</style>\n</head>\n\
         <body>\n{body}\n{script}\n</body>\n</html>\n",
        style()
    )
}

fn body() -> String {
    let now = "<div class=\"now\"><div><span id=\"stage\">waiting for the run</span> \
               <span id=\"count\"></span></div><progress id=\"progress\" max=\"1\" value=\"0\" \
               aria-label=\"how much of the stage is done\"></progress></div>";
    let films = "<div class=\"films\" id=\"films\"></div>";
    let fleet = "<div class=\"wide-table\"><table class=\"fleet\"><thead><tr><th>Service</th><th>Name</th>\
                 <th>Doing</th><th>Policy</th><th>Lag</th><th>Holds</th></tr></thead>\
                 <tbody id=\"members\"></tbody></table></div>";
    let samples = "<p class=\"quiet\" id=\"samples-note\">None has been scored since this page was \
                   opened.</p><div class=\"samples\" id=\"samples\"></div>";
    format!(
        "<header class=\"top\"><div><h1 id=\"title\">A run of ddpo</h1>\
         <p class=\"sub\" id=\"sub\">Nothing of the run is known yet.</p></div>\
         <span id=\"link\" role=\"status\" class=\"link\">connecting</span>\
         <button id=\"theme\" type=\"button\" aria-label=\"change between light and dark\">Dark</button>\
         </header>\n<main>\n{now}\n<div id=\"head\"></div>\n{}{}{}\
         <div id=\"images\"></div>\n<div id=\"training\"></div>\n\
         <footer>Served by ddpo {} while the run goes on. The page asks for nothing but its own events, and \
         can change nothing.</footer>\n</main>\n<div id=\"tip\" role=\"tooltip\"></div>",
        section("live", "Trajectories, as they are denoised", films),
        section("last", "The last samples", samples),
        section("fleet", "Who works on it", fleet),
        env!("CARGO_PKG_VERSION")
    )
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
        assert!(question.contains("&lt;no&gt;") && !question.contains("<script"));
    }
}
