//! One live line at the foot of the terminal; log lines scroll above it.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write};
use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::fmt::MakeWriter;

/// Clears the line the cursor is on.
const CLEAR_LINE: &str = "\r\x1b[K";

/// What the line shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Records the enricher has settled since the start.
    pub records: u64,
    /// Products in the catalog.
    pub products: u64,
    /// Open opportunities.
    pub opportunities: u64,
    /// Keepa's tokens, where known.
    pub tokens_left: Option<i64>,
}

impl Progress {
    /// `1,234 records in · 300 products · 41 opportunities · 5,678 tokens left`
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = format!(
            "{} records in · {} products · {} opportunities",
            grouped(self.records),
            grouped(self.products),
            grouped(self.opportunities)
        );
        if let Some(tokens) = self.tokens_left {
            let sign = if tokens < 0 { "-" } else { "" };
            let _ = write!(line, " · {sign}{} tokens left", grouped(tokens.unsigned_abs()));
        }
        line
    }
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Standard error with a line at its foot. Cloning shares it; it is the log's writer too.
#[derive(Debug, Clone)]
pub struct Foot {
    line: Arc<Mutex<String>>,
    is_terminal: bool,
}

impl Foot {
    /// On a terminal the line is drawn, otherwise nothing is.
    #[must_use]
    pub fn on_stderr() -> Self {
        Foot {
            line: Arc::default(),
            is_terminal: io::stderr().is_terminal(),
        }
    }

    /// Whether somebody watches.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Draws the line anew; an empty text takes it away.
    pub fn show(&self, text: &str) {
        if !self.is_terminal {
            return;
        }
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        text.clone_into(&mut line);
        // A terminal that is gone must not stop the service.
        let _ = write!(io::stderr().lock(), "{CLEAR_LINE}{line}");
    }
}

impl<'a> MakeWriter<'a> for Foot {
    type Writer = FootWriter;

    fn make_writer(&'a self) -> FootWriter {
        FootWriter { foot: self.clone() }
    }
}

/// Writes one log event above the foot line.
#[derive(Debug)]
pub struct FootWriter {
    foot: Foot,
}

impl Write for FootWriter {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let mut stderr = io::stderr().lock();
        if !self.foot.is_terminal {
            return stderr.write(event);
        }
        let line = self.foot.line.lock().unwrap_or_else(PoisonError::into_inner);
        stderr.write_all(CLEAR_LINE.as_bytes())?;
        stderr.write_all(event)?;
        stderr.write_all(line.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (number, expected) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), expected);
        }
    }

    #[test]
    fn a_negative_balance_shows_as_such_and_an_unknown_one_not_at_all() {
        let progress = Progress {
            records: 1_500,
            products: 300,
            opportunities: 41,
            tokens_left: Some(-12),
        };
        assert_eq!(progress.line(), "1,500 records in · 300 products · 41 opportunities · -12 tokens left");
        assert_eq!(Progress::default().line(), "0 records in · 0 products · 0 opportunities");
    }
}
