//! Plain tables: the first column left, the others right, two blanks between.

use std::fmt;

const GAP: &str = "  ";

/// A table under construction.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column heads.
    pub fn new<S: Into<String>>(heads: impl IntoIterator<Item = S>) -> Table {
        Table { rows: vec![heads.into_iter().map(Into::into).collect()] }
    }

    /// Adds a row; one shorter than the heads is filled up with empty cells.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        let mut cells: Vec<String> = cells.into_iter().map(Into::into).collect();
        assert!(cells.len() <= self.rows[0].len(), "more cells than heads");
        cells.resize(self.rows[0].len(), String::new());
        self.rows.push(cells);
    }

    fn widths(&self) -> Vec<usize> {
        let column = |at: usize| self.rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
        (0..self.rows[0].len()).map(column).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        for (number, row) in self.rows.iter().enumerate() {
            let mut line = String::new();
            for (at, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                if at == 0 {
                    line.push_str(&format!("{cell:<width$}"));
                } else {
                    line.push_str(&format!("{GAP}{cell:>width$}"));
                }
            }
            writeln!(f, "  {}", line.trim_end())?;
            if number == 0 {
                let rule = widths.iter().sum::<usize>() + GAP.len() * (widths.len() - 1);
                writeln!(f, "  {}", "─".repeat(rule))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(["server", "µs", "rate"]);
        table.row(["pinion", "5.70", "170,000"]);
        table.row(["x", "12.00"]);
        let expected =
            "  server     µs     rate\n  ──────────────────────\n  pinion   5.70  170,000\n  x       12.00\n";
        assert_eq!(table.to_string(), expected);
    }
}
