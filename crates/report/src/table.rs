//! Tables as CSV (RFC 4180), read and written.

use crate::error::ReportError;
use crate::files::read_text;
use ddpo_rollout::csv;
use std::path::Path;

/// A table: names of columns, and rows of as many fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ReportError::Io`], and [`ReportError::File`] for a row of another length than the first.
    pub fn read(path: &Path) -> Result<Self, ReportError> {
        let mut records = records(&read_text(path)?).into_iter();
        let columns = records.next().unwrap_or_default();
        let rows: Vec<Vec<String>> = records.collect();
        if let Some(at) = rows.iter().position(|row| row.len() != columns.len()) {
            let (expected, found) = (columns.len(), rows[at].len());
            let reason = format!("row {}: expected {expected} fields, found {found}", at + 2);
            return Err(ReportError::file(path, reason));
        }
        Ok(Self { columns, rows })
    }

    /// Position of a column.
    #[must_use]
    pub fn position(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|name| name == column)
    }

    /// The table as text.
    #[must_use]
    pub fn to_csv(&self) -> String {
        let lines = std::iter::once(&self.columns).chain(&self.rows);
        lines.map(|line| csv::line(line.iter().map(String::as_str))).collect()
    }
}

/// The records of a text; empty lines are passed over.
fn records(text: &str) -> Vec<Vec<String>> {
    let (mut records, mut record, mut field) = (Vec::new(), Vec::new(), String::new());
    let (mut quoted, mut characters) = (false, text.chars().peekable());
    while let Some(character) = characters.next() {
        match (character, quoted) {
            ('"', true) if characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            ('"', _) => quoted = !quoted,
            (',', false) => record.push(std::mem::take(&mut field)),
            ('\r', false) => {}
            ('\n', false) => {
                record.push(std::mem::take(&mut field));
                records.push(std::mem::take(&mut record));
            }
            (other, _) => field.push(other),
        }
    }
    if !field.is_empty() || !record.is_empty() {
        record.push(field);
        records.push(record);
    }
    records.retain(|record| record.len() > 1 || record.iter().any(|field| !field.is_empty()));
    records
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv");
        let row = |fields: [&str; 2]| fields.map(str::to_owned).to_vec();
        let table = Table {
            columns: row(["sample", "grpc://a:1,b:2"]),
            rows: vec![row(["0", "1.5"]), row(["say \"x\"", "two\nlines"])],
        };
        crate::files::write(&path, table.to_csv().as_bytes()).unwrap();
        assert_eq!(Table::read(&path).unwrap(), table);
        std::fs::write(&path, "a,b\r\n1,2\r\n\r\n3\r\n").unwrap();
        let error = Table::read(&path).unwrap_err().to_string();
        assert!(error.ends_with("row 3: expected 2 fields, found 1"), "{error}");
    }
}
