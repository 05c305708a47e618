//! Tables that can be read in a terminal and pasted into a document.

/// On which side the short cells of a column get their blanks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// Rows of cells under titles, printed as an aligned Markdown table.
#[derive(Clone, Debug)]
pub struct Table {
    titles: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Makes an empty table.
    pub fn new(titles: impl IntoIterator<Item = (String, Align)>) -> Self {
        Self {
            titles: titles.into_iter().collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; missing cells are empty.
    pub fn push(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut cells: Vec<String> = cells.into_iter().collect();
        cells.resize(self.titles.len(), String::new());
        self.rows.push(cells);
    }

    /// Returns the table as text, a line each row, without an empty line at the end.
    pub fn render(&self) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].chars().count());
            let title = self.titles[column].0.chars().count();
            cells.chain([title, 3]).max().unwrap_or(title)
        };
        let widths: Vec<usize> = (0..self.titles.len()).map(width).collect();
        let titles: Vec<String> = self.titles.iter().map(|(title, _)| title.clone()).collect();
        let mut lines = vec![self.line(&titles, &widths), self.rule(&widths)];
        lines.extend(self.rows.iter().map(|row| self.line(row, &widths)));
        lines.join("\n")
    }

    /// Returns the table without blanks that align it: for documents that are shown, not read.
    pub fn render_compact(&self) -> String {
        let line = |cells: &[String]| format!("| {} |", cells.join(" | "));
        let titles: Vec<String> = self.titles.iter().map(|(title, _)| title.clone()).collect();
        let rule = self.titles.iter().map(|(_, align)| match align {
            Align::Left => "---",
            Align::Right => "---:",
        });
        let rule = format!("|{}|", rule.collect::<Vec<_>>().join("|"));
        let mut lines = vec![line(&titles), rule];
        lines.extend(self.rows.iter().map(|row| line(row)));
        lines.join("\n")
    }

    fn line(&self, cells: &[String], widths: &[usize]) -> String {
        let padded = cells.iter().zip(widths).zip(&self.titles);
        let padded = padded.map(|((cell, width), (_, align))| match align {
            Align::Left => format!("{cell:<width$}"),
            Align::Right => format!("{cell:>width$}"),
        });
        format!("| {} |", padded.collect::<Vec<_>>().join(" | "))
    }

    fn rule(&self, widths: &[usize]) -> String {
        let dashes = self.titles.iter().zip(widths);
        let dashes = dashes.map(|((_, align), width)| match align {
            Align::Left => "-".repeat(*width),
            Align::Right => format!("{}:", "-".repeat(width.saturating_sub(1))),
        });
        format!("| {} |", dashes.collect::<Vec<_>>().join(" | "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_are_equally_long() {
        let mut table = Table::new([
            ("candidate".to_owned(), Align::Left),
            ("GiB/s".to_owned(), Align::Right),
        ]);
        table.push(["raw".to_owned(), "6.10".to_owned()]);
        table.push(["outcore, two".to_owned(), "12.34567".to_owned()]);
        table.push(["alone".to_owned()]);
        let expected = "\
| candidate    |    GiB/s |
| ------------ | -------: |
| raw          |     6.10 |
| outcore, two | 12.34567 |
| alone        |          |";
        assert_eq!(table.render(), expected);
        let compact = table.render_compact();
        assert!(compact.starts_with("| candidate | GiB/s |\n|---|---:|\n| raw | 6.10 |\n"));
    }
}
