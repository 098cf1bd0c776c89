//! How far it is, for people: a bar on a terminal, plain lines elsewhere.

use std::fmt::{self, Display};
use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use model::{Clock as _, SystemClock};

/// Between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// What a position in a file is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Counted from 0, as arrays and data frames count.
    Row,
    /// Counted from 1, as editors count.
    Line,
}

impl Unit {
    pub(crate) fn place(self, row: u64) -> String {
        match self {
            Self::Row => format!("row {row} (counted from 0)"),
            Self::Line => format!("line {}", row.saturating_add(1)),
        }
    }
}

/// How much there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    Rows(u64),
    /// Where rows cannot be counted without reading everything.
    Bytes(u64),
    Unknown,
}

/// Counts what is done.
#[derive(Debug)]
pub(crate) struct Meter {
    what: &'static str,
    size: Size,
    clock: SystemClock,
    bar: Option<ProgressBar>,
    next_line: Duration,
    /// In this run.
    rows: u64,
    position: u64,
    began_at: Option<u64>,
}

impl Meter {
    /// Begins to count; `resumed` rows were done by earlier runs.
    pub(crate) fn start(what: &'static str, size: Size, resumed: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| bar(size)).flatten();
        if resumed > 0 {
            eprintln!("going on after {resumed} rows of an earlier run");
        }
        let began_at = if let Size::Rows(_) = size { Some(resumed) } else { None };
        Self {
            what,
            size,
            clock: SystemClock::new(),
            bar,
            next_line: LINE_EVERY,
            rows: 0,
            position: 0,
            began_at,
        }
    }

    /// `rows` more are done; the position is now `position`, in the unit of the size.
    pub(crate) fn advance(&mut self, rows: u64, position: u64) {
        self.rows += rows;
        self.position = self.position.max(position);
        // Bytes that were skipped are no work of this run.
        self.began_at.get_or_insert(position);
        if let Some(bar) = &self.bar {
            bar.set_position(self.position);
            bar.set_message(format!(
                "{} {}, {:.0}/s{}",
                self.rows,
                self.what,
                self.rate(),
                self.left()
            ));
        } else if self.clock.monotonic() >= self.next_line {
            self.next_line = self.clock.monotonic() + LINE_EVERY;
            eprintln!(
                "{}{} {}, {:.0}/s{}",
                self.share(),
                self.rows,
                self.what,
                self.rate(),
                self.left()
            );
        }
    }

    /// Takes the bar away and says what was done.
    pub(crate) fn finish(&self) -> Summary {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        Summary {
            rows: self.rows,
            what: self.what,
            seconds: self.seconds(),
        }
    }

    fn seconds(&self) -> f64 {
        self.clock.monotonic().as_secs_f64()
    }

    fn rate(&self) -> f64 {
        self.rows as f64 / self.seconds().max(1e-3)
    }

    fn total(&self) -> Option<u64> {
        match self.size {
            Size::Rows(total) | Size::Bytes(total) => Some(total).filter(|total| *total > 0),
            Size::Unknown => None,
        }
    }

    fn share(&self) -> String {
        self.total()
            .map(|total| format!("{:.1} %, ", self.position as f64 * 100.0 / total as f64))
            .unwrap_or_default()
    }

    /// By the speed of this run.
    fn left(&self) -> String {
        let began_at = self.began_at.unwrap_or(0);
        let Some(total) = self.total().filter(|_| self.position > began_at) else {
            return String::new();
        };
        let speed = (self.position - began_at) as f64 / self.seconds().max(1e-3);
        let seconds = total.saturating_sub(self.position) as f64 / speed;
        format!(", {} left", Clockwork(seconds))
    }
}

fn bar(size: Size) -> Option<ProgressBar> {
    let (total, template) = match size {
        Size::Rows(total) => (total, "{wide_bar} {percent:>3} % {msg}"),
        Size::Bytes(total) => (total, "{wide_bar} {percent:>3} % {msg}"),
        Size::Unknown => return None,
    };
    let style = ProgressStyle::with_template(template).ok()?;
    Some(ProgressBar::new(total).with_style(style))
}

/// What was done, in a line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Summary {
    pub(crate) rows: u64,
    what: &'static str,
    seconds: f64,
}

impl Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = self.rows as f64 / self.seconds.max(1e-3);
        write!(f, "{} {} in {:.1} s ({rate:.0}/s)", self.rows, self.what, self.seconds)
    }
}

/// Seconds as `42 s`, `3 min 20 s` or `2 h 05 min`.
struct Clockwork(f64);

impl Display for Clockwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.ceil() as u64; // saturates
        match seconds {
            0..60 => write!(f, "{seconds} s"),
            60..3600 => write!(f, "{} min {:02} s", seconds / 60, seconds % 60),
            _ => write!(f, "{} h {:02} min", seconds / 3600, seconds / 60 % 60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let text = |seconds: f64| Clockwork(seconds).to_string();
        assert_eq!(
            [text(0.2), text(59.0), text(200.0), text(7500.0)],
            ["1 s", "59 s", "3 min 20 s", "2 h 05 min"]
        );
        assert!(!text(f64::INFINITY).is_empty());
    }

    #[test]
    fn places() {
        assert_eq!(Unit::Row.place(0), "row 0 (counted from 0)");
        assert_eq!(Unit::Line.place(0), "line 1");
    }

    #[test]
    fn counts() {
        let mut meter = Meter::start("vectors", Size::Rows(100), 20);
        meter.advance(10, 30);
        meter.advance(10, 25);
        assert_eq!((meter.rows, meter.position), (20, 30));
        assert_eq!(meter.share(), "30.0 %, ");
        assert!(meter.left().ends_with(" left"));
        assert_eq!(meter.finish().rows, 20);
        let mut unknown = Meter::start("vectors", Size::Unknown, 0);
        unknown.advance(1, 1);
        assert_eq!((unknown.share(), unknown.left()), (String::new(), String::new()));
    }
}
