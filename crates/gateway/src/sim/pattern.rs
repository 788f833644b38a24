//! A text that matches a simple regular expression: literals, classes, groups, alternatives and counts. What
//! is beyond that (look-around, references) is given up, and the caller writes ordinary text.

use std::iter::Peekable;
use std::str::Chars;

/// A shortest text that matches `pattern`, if the pattern is simple.
pub(super) fn matching(pattern: &str) -> Option<String> {
    let mut reader = Reader { rest: pattern.chars().peekable() };
    let text = reader.alternatives()?;
    reader.rest.next().is_none().then_some(text)
}

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
}

impl Reader<'_> {
    /// The first alternative; the others are read over.
    fn alternatives(&mut self) -> Option<String> {
        let first = self.sequence()?;
        while self.rest.next_if_eq(&'|').is_some() {
            self.sequence()?;
        }
        Some(first)
    }

    fn sequence(&mut self) -> Option<String> {
        let mut text = String::new();
        while let Some(next) = self.rest.next_if(|next| !matches!(next, '|' | ')')) {
            let atom = match next {
                '^' | '$' => continue,
                '(' => self.group()?,
                '[' => self.class()?.to_string(),
                '\\' => self.escape()?.to_string(),
                '.' => "s".to_owned(),
                '*' | '+' | '?' | '{' => return None,
                literal => literal.to_string(),
            };
            text.push_str(&atom.repeat(self.count()?));
        }
        Some(text)
    }

    fn group(&mut self) -> Option<String> {
        if self.rest.next_if_eq(&'?').is_some() {
            self.rest.next_if_eq(&':')?;
        }
        let text = self.alternatives()?;
        self.rest.next_if_eq(&')')?;
        Some(text)
    }

    /// A member of a class: its first one, or a guess at what a negated one lets through.
    fn class(&mut self) -> Option<char> {
        let negated = self.rest.next_if_eq(&'^').is_some();
        let (mut first, mut members) = (None, String::new());
        loop {
            let member = match self.rest.next()? {
                ']' => break,
                '\\' => self.escape()?,
                member => member,
            };
            first = first.or(Some(member));
            members.push(member);
        }
        if !negated {
            return first;
        }
        ['s', 'X', '0', '_', ' ']
            .into_iter()
            .find(|guess| !members.contains(*guess) && !members.contains('-'))
    }

    fn escape(&mut self) -> Option<char> {
        match self.rest.next()? {
            'd' => Some('1'),
            'w' => Some('s'),
            's' => Some(' '),
            'D' | 'S' => Some('s'),
            'W' => Some(' '),
            't' => Some('\t'),
            'n' => Some('\n'),
            literal if !literal.is_alphanumeric() => Some(literal),
            _ => None,
        }
    }

    /// The least count that the quantifier behind an atom allows, but one where none is allowed too.
    fn count(&mut self) -> Option<usize> {
        match self.rest.peek() {
            Some('*' | '+' | '?') => {
                self.rest.next();
                self.rest.next_if_eq(&'?');
                Some(1)
            }
            Some('{') => {
                self.rest.next();
                let bounds: String = std::iter::from_fn(|| self.rest.next_if(|next| *next != '}')).collect();
                self.rest.next()?;
                let least = bounds.split(',').next()?.trim().parse().ok()?;
                (least <= 1000).then_some(least)
            }
            _ => Some(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simple_patterns_are_met() {
        for (pattern, text) in [
            ("^[A-Z]{3}-\\d{4}$", "AAA-1111"),
            ("^(low|high)$", "low"),
            ("a+b*c?", "abc"),
            ("^#[0-9a-f]{6}$", "#000000"),
            ("^(?:x\\.y){2,}$", "x.yx.y"),
        ] {
            assert_eq!(matching(pattern).as_deref(), Some(text), "{pattern}");
        }
        assert_eq!(matching("(?=x)y"), None);
        assert_eq!(matching("[^a-z]"), None);
        assert_eq!(matching("(unclosed"), None);
    }
}
