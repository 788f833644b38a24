//! Chance that isn't: numbers that follow from what they are asked about.

use sha2::{Digest, Sha256};

/// A sequence of numbers.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    /// The sequence that belongs to `parts`.
    pub(super) fn of(seed: u64, parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        hash.update(seed.to_le_bytes());
        for part in parts {
            // With lengths, so that "ab","c" isn't "a","bc".
            hash.update(u64::try_from(part.len()).unwrap_or_default().to_le_bytes());
            hash.update(part);
        }
        let digest: [u8; 32] = hash.finalize().into();
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        Self(u64::from_le_bytes(first))
    }

    /// SplitMix64.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to just below 1.
    pub(super) fn unit(&mut self) -> f64 {
        let high = u32::try_from(self.next() >> 32).unwrap_or_default();
        f64::from(high) / 4_294_967_296.0
    }

    /// From 0 to `most`, `most` included.
    pub(super) fn up_to(&mut self, most: u64) -> u64 {
        let drawn = self.next();
        most.checked_add(1).map_or(drawn, |count| drawn % count)
    }

    /// One of `items`.
    pub(super) fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        let last = u64::try_from(items.len().checked_sub(1)?).unwrap_or_default();
        items.get(usize::try_from(self.up_to(last)).unwrap_or_default())
    }
}
