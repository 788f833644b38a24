//! Packing request lines into batches: by count and by bytes, never reordering.

/// What one batch may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Request lines.
    pub max_requests: u32,
    /// Bytes of the input file, newlines included.
    pub max_bytes: u64,
}

/// A batch being filled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Packer {
    /// Lines so far.
    pub requests: u32,
    /// Bytes so far.
    pub bytes: u64,
}

/// Where a line goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Into the batch being filled.
    Here,
    /// Into a new one; the one being filled is full.
    Next,
}

/// A line that fits no batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request is {bytes} bytes; a batch may hold {max_bytes}")]
pub struct PackError {
    /// Size of the line with its newline.
    pub bytes: u64,
    /// The limit.
    pub max_bytes: u64,
}

impl Packer {
    /// Places a line of `bytes` (its newline included).
    ///
    /// # Errors
    /// A line that is larger than a whole batch.
    pub fn place(&mut self, bytes: u64, limits: Limits) -> Result<Place, PackError> {
        if bytes > limits.max_bytes {
            return Err(PackError { bytes, max_bytes: limits.max_bytes });
        }
        let full = self.requests >= limits.max_requests || self.bytes + bytes > limits.max_bytes;
        if full && self.requests > 0 {
            *self = Self { requests: 1, bytes };
            return Ok(Place::Next);
        }
        self.requests += 1;
        self.bytes += bytes;
        Ok(Place::Here)
    }

    /// Whether no further line can be sure of a place.
    #[must_use]
    pub fn is_full(&self, limits: Limits) -> bool {
        self.requests >= limits.max_requests || self.bytes >= limits.max_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(lines: &[u64], limits: Limits) -> Vec<(u32, u64)> {
        let (mut packer, mut done) = (Packer::default(), Vec::new());
        for bytes in lines {
            let before = packer;
            if packer.place(*bytes, limits).unwrap() == Place::Next {
                done.push((before.requests, before.bytes));
            }
        }
        done.push((packer.requests, packer.bytes));
        done
    }

    #[test]
    fn a_batch_ends_at_its_count_or_its_bytes() {
        let limits = Limits { max_requests: 3, max_bytes: 100 };
        assert_eq!(sizes(&[10, 10, 10, 10], limits), [(3, 30), (1, 10)]);
        assert_eq!(sizes(&[60, 40, 1], limits), [(2, 100), (1, 1)]);
        assert_eq!(sizes(&[60, 41], limits), [(1, 60), (1, 41)]);
        assert_eq!(sizes(&[100], limits), [(1, 100)]);
    }

    #[test]
    fn a_line_larger_than_a_batch_is_refused() {
        let limits = Limits { max_requests: 3, max_bytes: 100 };
        let error = Packer::default().place(101, limits).unwrap_err();
        assert_eq!(error.to_string(), "the request is 101 bytes; a batch may hold 100");
    }

    #[test]
    fn any_job_is_packed_whole_and_within_the_limits() {
        // A small generator is enough: sizes 1 to 100 in a fixed scramble.
        let lines: Vec<u64> = (0..5_000_u64).map(|n| n * 7_919 % 100 + 1).collect();
        for limits in
            [Limits { max_requests: 7, max_bytes: 250 }, Limits { max_requests: 1_000, max_bytes: 100 }]
        {
            let packed = sizes(&lines, limits);
            assert_eq!(packed.iter().map(|batch| u64::from(batch.0)).sum::<u64>(), 5_000);
            assert_eq!(packed.iter().map(|batch| batch.1).sum::<u64>(), lines.iter().sum::<u64>());
            assert!(packed.iter().all(|batch| batch.0 <= limits.max_requests && batch.1 <= limits.max_bytes));
        }
    }
}
