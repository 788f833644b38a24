//! Mutations: small steps away from inputs that are known to be interesting. The same seed makes the same ones.

/// What parsers stumble over.
const WORDS: [&[u8]; 24] = [
    b"\"",
    b"\"\"",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"null",
    b"true",
    b"-1",
    b"0",
    b"1e999",
    b"18446744073709551616",
    b"\\u0000",
    b"\\ud800",
    b"\xef\xbb\xbf",
    b"\xff",
    b"\0",
    b"\n",
    b"\r\n",
    b"=",
    b"'''",
    b"{{",
];

/// Steps between an input and its mutation, at most.
const STEPS: u64 = 6;

pub(crate) struct Mutator {
    state: u64,
}

impl Mutator {
    pub(crate) fn new(seed: u64) -> Self {
        // Never zero, where xorshift would stay.
        Self { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 }
    }

    pub(crate) fn mutate(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let mut input = self.one(corpus).clone();
        for _ in 0..=self.below(STEPS) {
            let other = self.one(corpus);
            self.step(&mut input, other);
        }
        input
    }

    fn step(&mut self, input: &mut Vec<u8>, other: &[u8]) {
        let (at, end) = self.range(input.len());
        match self.below(8) {
            0 => input.truncate(at),
            1 => drop(input.drain(at..end)),
            2 => {
                let copy = input[at..end].to_vec();
                let to = self.place(input.len());
                input.splice(to..to, copy);
            }
            3 => {
                let (from, until) = self.range(other.len());
                input.splice(at..end, other[from..until].iter().copied());
            }
            4 if at < input.len() => input[at] ^= 1 << self.below(8),
            5 if at < input.len() => input[at] = self.next().to_le_bytes()[0],
            6 => {
                let word = WORDS[self.place(WORDS.len() - 1)];
                input.splice(at..end.min(at + 1), word.iter().copied());
            }
            _ => {
                let word = WORDS[self.place(WORDS.len() - 1)];
                input.splice(at..at, word.iter().copied());
            }
        }
    }

    fn one<'a>(&mut self, corpus: &'a [Vec<u8>]) -> &'a Vec<u8> {
        &corpus[self.place(corpus.len() - 1)]
    }

    /// Two places from 0 to `length`, in order.
    fn range(&mut self, length: usize) -> (usize, usize) {
        let (a, b) = (self.place(length), self.place(length));
        (a.min(b), a.max(b))
    }

    /// From 0 to `most`.
    fn place(&mut self, most: usize) -> usize {
        let most = u64::try_from(most).unwrap_or(u64::MAX - 1);
        usize::try_from(self.below(most + 1)).unwrap_or_default()
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }
}
