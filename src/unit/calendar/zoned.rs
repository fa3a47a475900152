//! The next time of a calendar in a time zone, where clocks are put forward and back.

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use super::Calendar;

impl Calendar {
    /// The first of its times after this one, on the clocks of `zone`. None: there is none any more.
    ///
    /// A time that clocks are put forward over comes as much later as they are put forward, and once. A time that
    /// clocks show twice comes the first time, unless it is one of every hour.
    pub fn next_in(&self, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
        /// Zones change their offset a few times a year, and a calendar may have years to go.
        const CHANGES_MAX: usize = 2000;
        let mut from = after;
        let mut offset = zone.to_offset(after);
        let mut changes = zone.following(after);
        // Until this time the clocks of now show what they have shown before.
        let last = zone.preceding(just_after(after)).next();
        let mut shown_before = last.and_then(|last| {
            let before = zone.to_offset(just_before(last.timestamp()));
            shown_until(last.timestamp(), before, offset)
        });
        for _ in 0..CHANGES_MAX {
            let mut found = self.next(offset.to_datetime(from))?;
            if let Some(until) = shown_before.filter(|until| found < *until && !self.hour.is_empty()) {
                found = self.next(until.checked_sub(STEP).ok()?)?;
            }
            let at = offset.to_timestamp(found).ok()?;
            let Some(change) = changes.next() else { return Some(at) };
            let change_at = change.timestamp();
            // What is put forward over is late by as much.
            let skipped = SignedDuration::from_secs(i64::from(change.offset().seconds() - offset.seconds()).max(0));
            if at < change_at.checked_add(skipped).unwrap_or(change_at) {
                return Some(at);
            }
            from = just_before(change_at);
            shown_before = shown_until(change_at, offset, change.offset());
            offset = change.offset();
        }
        None
    }
}

/// Calendars have microseconds.
const STEP: SignedDuration = SignedDuration::from_micros(1);

fn just_before(time: Timestamp) -> Timestamp {
    time.checked_sub(STEP).unwrap_or(time)
}

fn just_after(time: Timestamp) -> Timestamp {
    time.checked_add(STEP).unwrap_or(time)
}

/// Where clocks are put back: what they have shown already, up to this.
fn shown_until(at: Timestamp, before: Offset, after: Offset) -> Option<DateTime> {
    (after.seconds() < before.seconds()).then(|| before.to_datetime(at))
}
