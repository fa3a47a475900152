//! The next time of a calendar on the clock of a wall: arithmetic of dates, and nothing of zones.

use jiff::civil::{Date, DateTime, Time};

use super::{Calendar, Component, MICROS_A_SECOND, Part};

/// The years that are looked through, as systemd has them.
pub const YEAR_MIN: u32 = 1970;
pub const YEAR_MAX: u32 = 2199;

impl Calendar {
    /// The first of its times after this one. None: there is none any more.
    pub fn next(&self, after: DateTime) -> Option<DateTime> {
        // Times have microseconds here.
        let micros = i64::from(after.subsec_nanosecond() / 1000) + 1;
        let mut at = after.with().subsec_nanosecond(0).build().ok()?;
        at = at.checked_add(jiff::SignedDuration::from_micros(micros)).ok()?;
        loop {
            let date = self.date_from(at.date())?;
            if date != at.date() {
                at = date.to_datetime(Time::midnight());
            }
            match self.time_from(at.time()) {
                Some(time) => return Some(date.to_datetime(time)),
                None => at = date.tomorrow().ok()?.to_datetime(Time::midnight()),
            }
        }
    }

    /// The first day of it from this one on.
    fn date_from(&self, mut date: Date) -> Option<Date> {
        loop {
            let year = from(
                &self.year,
                u32::try_from(date.year()).unwrap_or(0).max(YEAR_MIN),
                YEAR_MAX,
            )?;
            let year = i16::try_from(year).ok()?;
            if year != date.year() {
                date = Date::new(year, 1, 1).ok()?;
            }
            let Some(month) = from(&self.month, small(date.month()), 12) else {
                date = Date::new(year.checked_add(1)?, 1, 1).ok()?;
                continue;
            };
            let month = i8::try_from(month).ok()?;
            if month != date.month() {
                date = Date::new(year, month, 1).ok()?;
            }
            let found = self
                .days_of(date)
                .and_then(|days| from(&days, small(date.day()), small(date.days_in_month())));
            let Some(day) = found else {
                date = date.last_of_month().tomorrow().ok()?;
                continue;
            };
            date = Date::new(year, month, i8::try_from(day).ok()?).ok()?;
            if self.weekdays & (1 << date.weekday().to_monday_zero_offset()) != 0 {
                return Some(date);
            }
            date = date.tomorrow().ok()?;
        }
    }

    /// The days of the month as they are counted from its beginning. None: it has none of them.
    fn days_of(&self, month: Date) -> Option<Component> {
        if !self.from_end || self.day.is_empty() {
            return Some(self.day.clone());
        }
        let from_end = |day: u32| (small(month.days_in_month()) + 1).checked_sub(day);
        let turned = self.day.iter().filter_map(|part| {
            Some(Part {
                first: from_end(part.first)?,
                last: part.last.and_then(from_end),
                step: part.step,
            })
        });
        let days: Component = turned.collect();
        // Without any it would be all of them.
        (!days.is_empty()).then_some(days)
    }

    /// The first time of a day from this one on.
    fn time_from(&self, time: Time) -> Option<Time> {
        let micros = |second: i8, nanoseconds: i32| small(second) * MICROS_A_SECOND + nanoseconds.unsigned_abs() / 1000;
        let (mut minute, mut second) = (small(time.minute()), micros(time.second(), time.subsec_nanosecond()));
        let mut least = small(time.hour());
        loop {
            let hour = from(&self.hour, least, 23)?;
            if hour != least {
                (minute, second) = (0, 0);
            }
            let mut first = minute;
            while let Some(found) = from(&self.minute, first, 59) {
                let begin = if found == minute { second } else { 0 };
                if let Some(micros) = from(&self.second, begin, 60 * MICROS_A_SECOND - 1) {
                    return at(hour, found, micros);
                }
                first = found + 1;
            }
            (least, minute, second) = (hour + 1, 0, 0);
        }
    }
}

/// Days, hours and such are never negative.
fn small(number: i8) -> u32 {
    u32::from(number.unsigned_abs())
}

fn at(hour: u32, minute: u32, micros: u32) -> Option<Time> {
    let nanoseconds = micros % MICROS_A_SECOND * 1000;
    Time::new(
        i8::try_from(hour).ok()?,
        i8::try_from(minute).ok()?,
        i8::try_from(micros / MICROS_A_SECOND).ok()?,
        i32::try_from(nanoseconds).ok()?,
    )
    .ok()
}

/// The first value from `least` on.
fn from(component: &Component, least: u32, max: u32) -> Option<u32> {
    if component.is_empty() {
        return (least <= max).then_some(least);
    }
    let of_part = |part: &Part| {
        if least <= part.first {
            return Some(part.first);
        }
        let step = part.step.or(part.last.map(|_| 1))?;
        let next = part
            .first
            .checked_add((least - part.first).div_ceil(step).checked_mul(step)?)?;
        (next <= part.last.unwrap_or(max)).then_some(next)
    };
    component.iter().filter_map(of_part).filter(|found| *found <= max).min()
}
