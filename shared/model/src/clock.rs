//! Time as a port: production reads the system's clocks, tests turn the hands themselves.

use std::fmt::Debug;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where everything in the workspace gets its time from.
pub trait Clock: Send + Sync + Debug {
    /// Milliseconds since the Unix epoch. May jump either way; nothing's safety depends on it.
    fn now_ms(&self) -> u64;

    /// Time since the clock was made; never goes back. For deadlines and latencies.
    fn monotonic(&self) -> Duration;
}

/// The machine's clocks.
#[derive(Debug, Clone)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// A clock whose [`Clock::monotonic`] starts at zero now.
    #[allow(clippy::disallowed_methods)] // the one place that may
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods)] // the one place that may
    fn now_ms(&self) -> u64 {
        // A clock set before 1970 reads as 0: ids then follow the floor alone, which stays correct.
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

/// A clock that moves only when told to.
#[derive(Debug, Default)]
pub struct ManualClock {
    hands: Mutex<Hands>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Hands {
    unix_ms: u64,
    monotonic: Duration,
}

impl ManualClock {
    /// A clock showing `unix_ms`, its monotonic time at zero.
    pub fn new(unix_ms: u64) -> Self {
        Self {
            hands: Mutex::new(Hands {
                unix_ms,
                monotonic: Duration::ZERO,
            }),
        }
    }

    /// Sets the wall clock, forwards or back; monotonic time is untouched.
    pub fn set(&self, unix_ms: u64) {
        self.hands.lock().unwrap_or_else(PoisonError::into_inner).unix_ms = unix_ms;
    }

    /// Lets `duration` pass on both clocks.
    pub fn advance(&self, duration: Duration) {
        let mut hands = self.hands.lock().unwrap_or_else(PoisonError::into_inner);
        let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        hands.unix_ms = hands.unix_ms.saturating_add(milliseconds);
        hands.monotonic = hands.monotonic.saturating_add(duration);
    }

    fn read(&self) -> Hands {
        *self.hands.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> u64 {
        self.read().unix_ms
    }

    fn monotonic(&self) -> Duration {
        self.read().monotonic
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manual_clock_moves_only_when_told() {
        let clock = ManualClock::new(1_000);
        assert_eq!((clock.now_ms(), clock.monotonic()), (1_000, Duration::ZERO));
        clock.advance(Duration::from_millis(250));
        assert_eq!((clock.now_ms(), clock.monotonic()), (1_250, Duration::from_millis(250)));
        clock.set(5);
        assert_eq!((clock.now_ms(), clock.monotonic()), (5, Duration::from_millis(250)));
    }

    #[test]
    fn system_clock_is_after_2026() {
        let clock = SystemClock::new();
        assert!(clock.now_ms() > 1_767_225_600_000);
        assert!(clock.monotonic() <= clock.monotonic());
    }
}
