//! What is worth another attempt, and when. Every write of the tools is an upsert or finds out what exists, so a
//! request whose effect is unknown may be sent again.

use std::time::Duration;

use super::error::ClientError;

/// Longest pause that a server may ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(60);

/// How patient a client is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RetryPolicy {
    /// Attempts in total.
    pub(crate) attempts: u32,
    /// Longest pause before the second attempt; doubles from attempt to attempt.
    pub(crate) first: Duration,
    /// Longest pause at all.
    pub(crate) longest: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 21,
            first: Duration::from_millis(100),
            longest: Duration::from_secs(10),
        }
    }
}

/// What to do after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    After(Duration),
    Never,
}

impl RetryPolicy {
    /// Judges the failure of attempt `attempt` (the first is 1). Half of the pause is `random`, so that clients that
    /// failed together do not come back together; a pause that the server asked for is kept at least.
    pub(crate) fn judge(&self, error: &ClientError, attempt: u32, random: u128) -> Retry {
        let asked = match error {
            ClientError::Unreachable { .. } => None,
            ClientError::Refused { refusal, .. } if matches!(refusal.status, 408 | 429 | 500..=599) => {
                refusal.retry_after
            }
            _ => return Retry::Never,
        };
        if attempt >= self.attempts {
            return Retry::Never;
        }
        let doubled = self.first.saturating_mul(1 << (attempt - 1).min(20));
        let full = doubled.min(self.longest);
        let jitter = full.mul_f64((random % 1024) as f64 / 2048.0);
        Retry::After((full / 2 + jitter).max(asked.unwrap_or_default().min(LONGEST_ASKED)))
    }
}

#[cfg(test)]
mod tests {
    use model::Operation;

    use super::*;
    use crate::client::error::Refusal;

    fn refusal(status: u16, retry_after: Option<&str>) -> ClientError {
        let refusal = Refusal::read(status, None, retry_after, b"{}");
        ClientError::Refused {
            operation: Operation::PutVectors,
            refusal: Box::new(refusal),
        }
    }

    fn pause(error: &ClientError, attempt: u32, random: u128) -> Option<u128> {
        match RetryPolicy::default().judge(error, attempt, random) {
            Retry::After(pause) => Some(pause.as_millis()),
            Retry::Never => None,
        }
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let busy = refusal(503, None);
        let pauses: Vec<_> = (1..=21).map(|attempt| pause(&busy, attempt, 0)).collect();
        let expected = [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000].map(Some);
        assert_eq!(pauses.get(..10).unwrap(), expected);
        assert_eq!(pauses.get(19..).unwrap(), [Some(5000), None]);
        assert_eq!(pause(&busy, 1, 1023), Some(99));
    }

    #[test]
    fn the_server_may_ask_for_a_longer_pause() {
        assert_eq!(pause(&refusal(503, Some("3")), 1, 0), Some(3000));
        assert_eq!(pause(&refusal(429, Some("86400")), 1, 0), Some(60_000));
        assert_eq!(pause(&refusal(429, Some("soon")), 1, 0), Some(50));
    }

    #[test]
    fn what_is_wrong_stays_wrong() {
        for status in [400, 402, 403, 404, 409] {
            assert_eq!(pause(&refusal(status, Some("1")), 1, 0), None, "{status}");
        }
        for status in [408, 429, 500, 502, 503, 504] {
            assert!(pause(&refusal(status, None), 1, 0).is_some(), "{status}");
        }
        assert_eq!(pause(&ClientError::HalfKey, 1, 0), None);
    }
}
