//! Tables as CSV files (RFC 4180).

use crate::error::ReportError;
use crate::files::read_text;
use csv::{ErrorKind, Reader, WriterBuilder};
use std::path::Path;

/// A table: the names of its columns, and rows of as many fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// Reads a file; skips empty lines.
    ///
    /// # Errors
    /// [`ReportError::Io`], and [`ReportError::File`] for a row of another length than the first.
    pub fn read(path: &Path) -> Result<Self, ReportError> {
        let text = read_text(path)?;
        let mut reader = Reader::from_reader(text.as_bytes());
        let refused = |error| ReportError::file(path, reason(&error));
        let columns = reader.headers().map_err(refused)?.iter().map(str::to_owned).collect();
        let rows = reader.deserialize().collect::<Result<_, _>>().map_err(refused)?;
        Ok(Self { columns, rows })
    }

    /// Returns the position of a column.
    pub fn position(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|name| name == column)
    }

    /// Returns the text of the file.
    pub fn to_csv(&self) -> String {
        let mut writer = WriterBuilder::new().flexible(true).from_writer(Vec::new());
        for record in std::iter::once(&self.columns).chain(&self.rows) {
            writer.write_record(record).expect("a flexible writer to memory accepts every record");
        }
        let bytes = writer.into_inner().expect("flushing to memory does not fail");
        String::from_utf8(bytes).expect("records of strings are UTF-8")
    }
}

fn reason(error: &csv::Error) -> String {
    match error.kind() {
        ErrorKind::UnequalLengths { pos, expected_len, len } => {
            let row = pos.as_ref().map_or(0, |pos| pos.record() + 1);
            format!("row {row}: expected {expected_len} fields, found {len}")
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write_and_read(text: &str) -> Result<Table, ReportError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv");
        std::fs::write(&path, text).unwrap();
        Table::read(&path)
    }

    #[test]
    fn fields_are_quoted_where_needed_and_read_back() {
        let row = |fields: [&str; 2]| fields.map(str::to_owned).to_vec();
        let table = Table {
            columns: row(["sample", "grpc://a:1,b:2"]),
            rows: vec![row(["0", "1.5"]), row(["say \"x\"", "two\nlines"]), row(["", "\r"])],
        };
        let text = table.to_csv();
        let expected =
            "sample,\"grpc://a:1,b:2\"\n0,1.5\n\"say \"\"x\"\"\",\"two\nlines\"\n,\"\r\"\n";
        assert_eq!(text, expected);
        assert_eq!(write_and_read(&text).unwrap(), table);
    }

    #[test]
    fn rejects_rows_of_another_length_by_number() {
        let error = write_and_read("a,b\r\n1,2\r\n\r\n3\r\n").unwrap_err().to_string();
        assert!(error.ends_with("row 3: expected 2 fields, found 1"), "{error}");
    }
}
