//! Lines of a result file: byte slices in bounded memory, whatever the file holds.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _};

/// A line, its end taken off.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// Its bytes.
    Text {
        /// Its number in the file, from 1.
        number: u64,
        /// Without the line end.
        bytes: &'a [u8],
    },
    /// Longer than any answer; its bytes were passed over.
    TooLong {
        /// Its number in the file, from 1.
        number: u64,
        /// How long it is.
        length: usize,
    },
}

/// Reads lines one at a time. Blank ones are passed over, and so is a byte order mark.
#[derive(Debug)]
pub struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
    number: u64,
    longest: usize,
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    /// Lines of `reader`; one longer than `longest` bytes is told and passed over.
    pub fn new(reader: R, longest: usize) -> Self {
        Self { reader, buffer: Vec::new(), number: 0, longest }
    }

    /// The next line that isn't blank.
    ///
    /// # Errors
    /// A file that can't be read.
    pub async fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        let length = loop {
            let Some(length) = self.fill().await? else { return Ok(None) };
            self.number += 1;
            if self.number == 1 && self.buffer.starts_with(b"\xef\xbb\xbf") {
                self.buffer.drain(..3);
            }
            if length > self.longest || !self.buffer.trim_ascii().is_empty() {
                break length;
            }
        };
        let number = self.number;
        Ok(Some(if length > self.longest {
            Line::TooLong { number, length }
        } else {
            Line::Text { number, bytes: self.buffer.trim_ascii_end() }
        }))
    }

    /// Reads up to the next line end; keeps no more than the longest line. None at the end of the file.
    async fn fill(&mut self) -> io::Result<Option<usize>> {
        self.buffer.clear();
        let mut length = 0;
        loop {
            let chunk = self.reader.fill_buf().await?;
            if chunk.is_empty() {
                return Ok((length > 0).then_some(length));
            }
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let text = &chunk[..end.unwrap_or(chunk.len())];
            let used = text.len() + usize::from(end.is_some());
            length += text.len();
            if length <= self.longest {
                self.buffer.extend_from_slice(text);
            }
            self.reader.consume(used);
            if end.is_some() {
                return Ok(Some(length));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::BufReader;

    use super::*;

    async fn read(text: &[u8], buffer: usize) -> Vec<(u64, String)> {
        let mut lines = Lines::new(BufReader::with_capacity(buffer, text), 40);
        let mut found = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            found.push(match line {
                Line::Text { number, bytes } => (number, String::from_utf8(bytes.to_vec()).unwrap()),
                Line::TooLong { number, length } => (number, format!("too long: {length}")),
            });
        }
        found
    }

    #[tokio::test]
    async fn a_line_is_whole_wherever_the_chunks_end() {
        let long = "x".repeat(41);
        let text = format!("\u{feff}{{\"a\":\"ä😀\"}}\r\n\n  \n{long}\nlast");
        for buffer in 1..64 {
            let found = read(text.as_bytes(), buffer).await;
            let expected =
                [(1, "{\"a\":\"ä😀\"}".to_owned()), (4, "too long: 41".to_owned()), (5, "last".to_owned())];
            assert_eq!(found, expected, "chunks of {buffer}");
        }
    }
}
