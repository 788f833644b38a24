//! What a command prints: data to standard output, everything else to standard error.

use std::io::{self, IsTerminal as _, Write as _};

use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};

use crate::cli::{Format, Global};
use crate::exit::Trouble;

/// Where a command's words go.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    format: Format,
    quiet: bool,
}

impl Output {
    pub(crate) fn new(global: &Global) -> Self {
        let format = if global.json { Format::Json } else { global.output };
        Self { format, quiet: global.quiet }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Whether a bar may be drawn.
    pub(crate) fn has_bar(&self) -> bool {
        !self.quiet && !self.is_json() && io::stderr().is_terminal()
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// The command's result: one document for programs, or `text` for people.
    pub(crate) fn result(&self, document: &Value, text: impl FnOnce() -> String) {
        if self.is_json() {
            self.line(&document.to_string());
        } else {
            self.line(text().trim_end());
        }
    }

    /// A line of data.
    pub(crate) fn line(&self, line: &str) {
        self.raw(format!("{line}\n").as_bytes());
    }

    /// Data as it is. A reader that has gone away (`| head`) wants no more of it, which is no failure; a
    /// full disk is one.
    pub(crate) fn raw(&self, data: &[u8]) {
        let mut out = io::stdout().lock();
        let Err(error) = out.write_all(data).and_then(|()| out.flush()) else { return };
        if error.kind() == io::ErrorKind::BrokenPipe {
            std::process::exit(0);
        }
        let trouble = Trouble::other("can't write to standard output").why(error.to_string());
        self.trouble(&trouble);
        std::process::exit(i32::from(trouble.exit as u8));
    }

    /// A remark for people.
    pub(crate) fn note(&self, note: &str) {
        if !self.quiet {
            let _ = writeln!(io::stderr(), "{note}");
        }
    }

    /// What went wrong: three lines for people, a problem document for programs.
    pub(crate) fn trouble(&self, trouble: &Trouble) {
        let mut text = String::new();
        if self.is_json() {
            let problem = json!({
                "type": "about:blank",
                "title": trouble.what,
                "detail": trouble.why.join("\n"),
                "hint": trouble.fix,
                "exit_code": trouble.exit as u8,
            });
            text = problem.to_string();
        } else {
            text.push_str(&format!("error: {}", trouble.what));
            for why in &trouble.why {
                text.push_str(&format!("\n  why   {why}"));
            }
            if let Some(fix) = &trouble.fix {
                text.push_str(&format!("\n  fix   {fix}"));
            }
        }
        let _ = writeln!(io::stderr(), "{text}");
    }
}

/// A plain table; columns whose title ends in `>` are aligned to the right.
pub(crate) fn table(titles: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(titles.iter().map(|title| title.trim_end_matches('>')));
    for row in rows {
        table.add_row(row);
    }
    for (index, title) in titles.iter().enumerate() {
        if let Some(column) = table.column_mut(index) {
            column.set_padding((0, 2));
            if title.ends_with('>') {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// A count with thousands apart.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of things, in words that fit it.
pub(crate) fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// How many there are.
pub(crate) fn len<T>(things: &[T]) -> u64 {
    u64::try_from(things.len()).unwrap_or(u64::MAX)
}

/// Bytes in a unit that a person reads at a glance.
pub(crate) fn bytes(number: u64) -> String {
    indicatif::DecimalBytes(number).to_string()
}

/// Money, or the word for a price that nobody knows.
pub(crate) fn money(money: Option<domain::Money>) -> String {
    money.map_or_else(|| "unknown".to_owned(), |money| money.to_string())
}

/// An instant where the person is, and in UTC.
pub(crate) fn when(time: domain::Time, zone: chrono_tz::Tz) -> String {
    let local = time.with_timezone(&zone);
    format!("{} {zone} ({})", local.format("%a %Y-%m-%d %H:%M"), time.format("%H:%MZ"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_apart() {
        assert_eq!([7, 999, 1_000, 1_234_567].map(count), ["7", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn one_is_not_many() {
        let batches = [0, 1, 1_000].map(|number| counted(number, "batch", "batches"));
        assert_eq!(batches, ["0 batches", "1 batch", "1,000 batches"]);
    }

    #[test]
    fn an_instant_is_shown_where_the_person_is() {
        let time = "2026-11-24T01:00:00Z".parse().unwrap();
        assert_eq!(when(time, chrono_tz::Europe::Berlin), "Tue 2026-11-24 02:00 Europe/Berlin (01:00Z)");
    }

    #[test]
    fn numbers_stand_at_the_right() {
        let text = table(
            &["A", "N>"],
            [vec!["x".to_owned(), "5".to_owned()], vec!["y".to_owned(), "500".to_owned()]],
        );
        assert_eq!(text, "A    N\nx    5\ny  500");
    }
}
