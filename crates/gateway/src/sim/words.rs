//! Plausible short text, drawn from the words of a prompt and marked as simulated.

use super::random::Random;

/// What every text starts with.
const MARK: &str = "simulated";
/// Words of a prompt that are looked at: enough to choose from, and a long prompt costs no more.
const USED: usize = 64;
/// Where a prompt has no usable word.
const SPARE: [&str; 4] = ["text", "without", "a", "prompt"];

/// The words of a prompt.
#[derive(Debug)]
pub(super) struct Words<'a>(Vec<&'a str>);

impl<'a> Words<'a> {
    pub(super) fn of(prompt: &'a str) -> Self {
        let trimmed =
            prompt.split_whitespace().map(|word| word.trim_matches(|letter: char| !letter.is_alphanumeric()));
        Self(trimmed.filter(|word| (3..=20).contains(&word.len())).take(USED).collect())
    }

    /// `mark`, and a few words behind it.
    pub(super) fn text(&self, mark: &str, random: &mut Random) -> String {
        let mut text = mark.to_owned();
        for _ in 0..3 + random.up_to(5) {
            text.push(' ');
            text.push_str(self.word(random));
        }
        text
    }

    /// The same within bounds, in characters. A bound too small for the mark cuts it.
    pub(super) fn bounded(&self, least: usize, most: Option<usize>, random: &mut Random) -> String {
        let mut text = self.text(MARK, random);
        let mut chars = text.chars().count();
        while chars < least {
            let word = self.word(random);
            text.push(' ');
            text.push_str(word);
            chars += 1 + word.chars().count();
        }
        match most {
            Some(most) if chars > most => text.chars().take(most.max(least)).collect(),
            _ => text,
        }
    }

    fn word(&self, random: &mut Random) -> &str {
        random.pick(&self.0).or_else(|| random.pick(&SPARE)).copied().unwrap_or(MARK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_kept_in_characters() {
        let words = Words::of("größer als früher");
        for (least, most) in [(0, Some(3)), (0, None), (200, Some(210)), (12, Some(12)), (0, Some(0))] {
            let text = words.bounded(least, most, &mut Random::of(1, &[]));
            let chars = text.chars().count();
            assert!(chars >= least && most.is_none_or(|most| chars <= most), "{least} {most:?}: {text}");
        }
    }
}
