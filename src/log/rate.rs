//! `rate-limit`: so many lines in each stretch of time.

use std::time::Duration;

/// A unit's allowance.
#[derive(Debug, Default)]
pub struct Rate {
    limit: Option<(u64, Duration)>,
    /// When the present stretch began, since boot.
    since: Duration,
    used: u64,
    dropped: u64,
}

impl Rate {
    /// A new limit, for a new stretch. What an old one dropped is still to be said.
    pub fn set(&mut self, limit: Option<(u64, Duration)>) {
        self.limit = limit;
        (self.since, self.used) = (Duration::ZERO, 0);
    }

    /// Lines that may go now.
    pub fn left(&mut self, now: Duration) -> u64 {
        let Some((lines, per)) = self.limit else {
            return u64::MAX;
        };
        // A stretch in which lines were dropped ends by `told`, so that they are told of first.
        if self.dropped == 0 && now >= self.since.saturating_add(per) {
            (self.since, self.used) = (now, 0);
        }
        lines.saturating_sub(self.used)
    }

    /// What has gone, and what has not.
    pub fn count(&mut self, lines: u64, dropped: u64) {
        self.used = self.used.saturating_add(lines);
        self.dropped += dropped;
    }

    /// When dropped lines are to be told of: at the end of their stretch.
    pub fn due(&self) -> Option<Duration> {
        let (_, per) = self.limit.unwrap_or_default();
        (self.dropped > 0).then(|| self.since.saturating_add(per))
    }

    /// What to tell, when that is due.
    pub fn notice(&self, now: Duration) -> Option<String> {
        if self.due()? > now {
            return None;
        }
        let limit = match self.limit {
            Some((lines, per)) => format!("{lines} lines in {per:?}"),
            None => "a limit that is gone now".to_owned(),
        };
        Some(format!(
            "svc: {} lines dropped: over the rate limit of {limit}",
            self.dropped
        ))
    }

    /// It has been told, if it was due; the next stretch begins.
    pub fn told(&mut self, now: Duration) {
        if self.due().is_some_and(|due| due <= now) {
            (self.since, self.used, self.dropped) = (now, 0, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_ends_and_says_what_it_dropped() {
        let second = Duration::from_secs;
        let mut rate = Rate::default();
        assert_eq!(rate.left(second(1)), u64::MAX);
        rate.set(Some((10, second(1))));
        assert_eq!(rate.left(second(5)), 10);
        rate.count(10, 0);
        assert_eq!((rate.left(second(5)), rate.due()), (0, None));
        assert_eq!(rate.left(second(6)), 10);
        rate.count(10, 7);
        assert_eq!((rate.due(), rate.notice(second(6))), (Some(second(7)), None));
        assert_eq!(
            rate.notice(second(7)).unwrap(),
            "svc: 7 lines dropped: over the rate limit of 10 lines in 1s"
        );
        rate.told(second(7));
        assert_eq!((rate.left(second(7)), rate.due()), (10, None));
    }
}
