//! The lines of a file, one in memory at a time. Blank lines are counted, but never returned.

use tokio::io::{self, AsyncBufReadExt, AsyncRead, BufReader};

/// Large enough that a thread hop per read doesn't matter.
const BUFFER_BYTES: usize = 256 * 1024;

/// Reads a file line by line.
pub(crate) struct Lines<R> {
    reader: BufReader<R>,
    number: u64,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(crate) fn new(file: R) -> Self {
        Self { reader: BufReader::with_capacity(BUFFER_BYTES, file), number: 0 }
    }

    /// The next line that isn't blank into `line`, without its end; answers its number, from 1.
    pub(crate) async fn next(&mut self, line: &mut Vec<u8>) -> io::Result<Option<u64>> {
        loop {
            line.clear();
            if self.reader.read_until(b'\n', line).await? == 0 {
                return Ok(None);
            }
            self.number += 1;
            while line.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
                line.pop();
            }
            if !line.iter().all(u8::is_ascii_whitespace) {
                return Ok(Some(self.number));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_needs_no_end_and_a_blank_one_keeps_its_number() {
        let mut lines = Lines::new(&b"one\r\n\n  \ntwo\nthree"[..]);
        let mut line = Vec::new();
        let mut seen = Vec::new();
        while let Some(number) = lines.next(&mut line).await.unwrap() {
            seen.push((number, String::from_utf8(line.clone()).unwrap()));
        }
        assert_eq!(seen, [(1, "one".to_owned()), (4, "two".to_owned()), (5, "three".to_owned())]);
    }
}
