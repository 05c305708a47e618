//! Pictures, as SVG: a white sheet, and what is drawn on it one after the other.

use std::fmt::Write as _;

/// For a text that ends at its place.
pub(crate) const AT_END: &str = r#" text-anchor="end""#;

/// A picture at work.
#[derive(Debug, Default)]
pub(crate) struct Picture {
    body: String,
}

impl Picture {
    /// Adds an element as it is.
    pub(crate) fn put(&mut self, element: &str) {
        // Writing to a string cannot fail.
        writeln!(self.body, "{element}").ok();
    }

    /// Adds a text that begins at a place, unless the attributes say otherwise.
    pub(crate) fn text(&mut self, x: f64, y: f64, attributes: &str, text: &str) {
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        let (x, y) = (place(x), place(y));
        self.put(&format!(
            r#"<text x="{x}" y="{y}"{attributes}>{text}</text>"#
        ));
    }

    /// Adds a filled rectangle.
    pub(crate) fn rect(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), color: &str) {
        let [x, y, width, height] = [x, y, width, height].map(place);
        self.put(&format!(
            r#"<rect x="{x}" y="{y}" width="{width}" height="{height}" fill="{color}"/>"#
        ));
    }

    /// Ends it, as large as that.
    pub(crate) fn finish(self, width: f64, height: f64) -> String {
        format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">
<rect width="100%" height="100%" fill="white"/>
{}</svg>
"#,
            self.body
        )
    }
}

/// Returns a place in a picture, to a tenth.
pub(crate) fn place(at: f64) -> f64 {
    (at * 10.0).round() / 10.0
}
