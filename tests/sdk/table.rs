//! Results as Markdown: a row for each client and version, a column for each way.

use std::fmt;

/// Rows, columns and cells, in the order they came.
#[derive(Default)]
pub struct Table {
    rows: Vec<String>,
    columns: Vec<String>,
    cells: Vec<(String, String, String)>,
}

impl Table {
    pub fn put(&mut self, row: &str, column: &str, cell: String) {
        for (names, name) in [(&mut self.rows, row), (&mut self.columns, column)] {
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
        self.cells.push((row.to_owned(), column.to_owned(), cell));
    }

    fn cell(&self, row: &str, column: &str) -> &str {
        let mut cells = self.cells.iter();
        let found = cells.find(|(of, at, _)| of == row && at == column);
        found.map_or("", |(_, _, cell)| cell)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| Client | {} |", self.columns.join(" | "))?;
        writeln!(f, "|{}", "---|".repeat(self.columns.len() + 1))?;
        for row in &self.rows {
            let cells: Vec<&str> = self
                .columns
                .iter()
                .map(|column| self.cell(row, column))
                .collect();
            writeln!(f, "| {row} | {} |", cells.join(" | "))?;
        }
        Ok(())
    }
}
