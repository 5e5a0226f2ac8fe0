//! Makes one page of a report: its figures, its conditions, and plots of how it went. The page is a single file that needs
//! nothing else, so that it can be sent to somebody.

use anyhow::Result;
use serde_json::Value;

const HTML: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// The plots are drawn by the same code as those of the server's own page.
const PLOT_STYLE: &str = include_str!("../../../../web/vendor/uplot.css");
const PLOT_SCRIPT: &str = include_str!("../../../../web/vendor/uplot.js");

/// The page of a report of any kind.
pub(crate) fn page(report: &Value) -> Result<String> {
    // no text in a report can end the element that it is in
    let data = serde_json::to_string(report)?.replace('<', "\\u003c");
    // in the order in which they are in the page
    let parts = [
        ("{{plot-style}}", PLOT_STYLE),
        ("{{style}}", STYLE),
        ("{{plot-script}}", PLOT_SCRIPT),
        ("{{report}}", &data),
        ("{{script}}", SCRIPT),
    ];
    let mut page = String::with_capacity(HTML.len() + parts.iter().map(|(_, text)| text.len()).sum::<usize>());
    let mut rest = HTML;
    for (mark, text) in parts {
        if let Some((before, after)) = rest.split_once(mark) {
            page.push_str(before);
            page.push_str(text);
            rest = after;
        }
    }
    page.push_str(rest);
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_whole_and_asks_for_nothing() {
        let page = page(&serde_json::json!({"warnings": ["</script><b>{{script}}"]})).unwrap();
        assert!(page.contains("uPlot=function"));
        assert!(page.contains("\\u003c/script>\\u003cb>"), "what a report says stays text");
        assert!(page.trim_end().ends_with("</html>"));
        assert_eq!(page.matches("</script>").count(), 3, "the report, the plots, and what draws the page");
        for outside in ["src=", "href=", "@import", "fetch("] {
            assert!(!page.contains(outside), "{outside}");
        }
    }
}
