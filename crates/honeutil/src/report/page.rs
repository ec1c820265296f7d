//! The page: one file that loads nothing, and runs nothing but its own script.

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use base64::write::EncoderWriter;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};

/// The style sheet, with that of the charts.
const STYLE: &str = concat!(include_str!("page/uplot/uPlot.min.css"), "\n", include_str!("page/style.css"));

/// The script, in one scope of its own.
const SCRIPT: &str = concat!(
    "\"use strict\";\n/*!\n",
    include_str!("page/uplot/LICENSE"),
    "*/\n",
    include_str!("page/uplot/uPlot.iife.min.js"),
    "\n(() => {\n",
    include_str!("page/words.js"),
    include_str!("page/data.js"),
    include_str!("page/grid.js"),
    include_str!("page/model.js"),
    include_str!("page/filters.js"),
    include_str!("page/timeline.js"),
    include_str!("page/flows.js"),
    include_str!("page/overview.js"),
    include_str!("page/tables.js"),
    include_str!("page/patterns.js"),
    include_str!("page/side.js"),
    include_str!("page/main.js"),
    "})();\n"
);

/// The elements.
const BODY: &str = include_str!("page/page.html");

/// Writes the page. `data` writes the data that the script reads.
///
/// # Errors
/// Those of `out`.
pub(super) fn write<W: Write>(
    out: &mut W,
    data: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\" data-theme=\"light\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n<title>Hone report</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n{BODY}\
         <script type=\"application/octet-stream\" id=\"data\">",
        policy()
    )?;
    let mut encoder = GzEncoder::new(EncoderWriter::new(&mut *out, &STANDARD), Compression::default());
    data(&mut encoder)?;
    encoder.finish()?.finish()?;
    write!(out, "</script>\n<script>{SCRIPT}</script>\n</body>\n</html>\n")
}

/// What the browser may do: run this script, apply this style sheet, and nothing else.
fn policy() -> String {
    format!(
        "default-src 'none'; script-src '{}'; style-src '{}'; base-uri 'none'; form-action 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'",
        hash(SCRIPT),
        hash(STYLE)
    )
}

/// The hash of an element's text, as a policy names it.
fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_no_other_place_and_closes_no_element_early() {
        let mut page = Vec::new();
        write(&mut page, |data| data.write_all(&[7; 100])).unwrap();
        let page = String::from_utf8(page).unwrap();
        for attribute in ["src=", "href=", "@import", "url(", "fetch(", "innerHTML", "eval("] {
            assert!(!page.contains(attribute), "{attribute}");
        }
        assert_eq!((page.matches("</script").count(), page.matches("</style").count()), (2, 1));
        assert!(!SCRIPT.contains('\r') && !STYLE.contains('\r'), "browsers change these before they hash");
    }
}
