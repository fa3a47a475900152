//! When a unit's timers come next: arithmetic of the two clocks, and no look at either.

#[cfg(test)]
mod tests;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::engine::Now;
use crate::engine::event::{Mono, Wall};
use crate::engine::record::saved;
use crate::log;
use crate::unit::calendar::{Calendar, Zone};
use crate::unit::value::duration_text;
use crate::unit::{Timer, UnitName};

/// The timers of one unit that is armed.
#[derive(Debug)]
pub struct Timers {
    /// Since when.
    begun: Now,
    /// The last start of the unit since then.
    started: Option<Mono>,
    each: Vec<Armed>,
}

/// One of them.
#[derive(Debug)]
struct Armed {
    timer: Timer,
    delay: Duration,
    kept: KeptTimer,
    next_wall: Option<Wall>,
    next_mono: Option<Mono>,
}

/// What is not found out again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptTimer {
    /// Times of the wall clock after this one are still to come.
    after: Wall,
    /// When it came last, on both clocks.
    last: Option<(Mono, Wall)>,
    /// `on-boot` has come.
    boot_is_over: bool,
}
saved!(struct KeptTimer { after, last, boot_is_over });

/// The timers of a unit, as they are saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptTimers {
    begun_mono: Mono,
    begun_wall: Wall,
    started: Option<Mono>,
    each: Vec<KeptTimer>,
}
saved!(struct KeptTimers { begun_mono, begun_wall, started, each });

/// One timer, for people.
#[derive(Debug)]
pub struct Shown {
    pub when: String,
    pub next: Option<Wall>,
    pub last: Option<Wall>,
}

/// Where a unit's delays come from: they are the same as long as the machine is up.
#[derive(Clone, Copy, Debug)]
pub struct Seed<'a> {
    pub boot: &'a str,
    pub unit: &'a UnitName,
}

impl Seed<'_> {
    fn delay(self, nth: usize, most: Duration) -> Duration {
        let mut hasher = DefaultHasher::new();
        (self.boot, self.unit.as_str(), nth).hash(&mut hasher);
        let most = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(hasher.finish() % most.saturating_add(1).max(1))
    }
}

impl Timers {
    /// Begins to wait. `stamp` is when a persistent one came last, `before` what the same unit had until now.
    ///
    /// # Errors
    /// A time zone that the machine does not have, by its name.
    pub fn new(
        timers: &[Timer],
        seed: Seed<'_>,
        now: Now,
        stamp: Option<Wall>,
        before: Option<Self>,
    ) -> Result<Self, Box<str>> {
        let (begun, started, old) = before.map_or((now, None, Vec::new()), |before| {
            (before.begun, before.started, before.each)
        });
        let mut each = Vec::new();
        for (nth, timer) in timers.iter().enumerate() {
            if let Some(Zone::Named(name)) = timer.on_calendar.as_ref().map(|calendar| &calendar.zone)
                && log::zone_named(name).is_none()
            {
                return Err(name.clone());
            }
            let missed = stamp.filter(|at| timer.persistent && at.0 < now.wall.0);
            let same = old.iter().find(|armed| armed.timer == *timer);
            let kept = same.map_or(
                KeptTimer {
                    after: missed.unwrap_or(now.wall),
                    last: None,
                    boot_is_over: old.iter().any(|armed| armed.kept.boot_is_over),
                },
                |armed| armed.kept,
            );
            each.push(Armed {
                delay: seed.delay(nth, timer.randomized_delay),
                timer: timer.clone(),
                kept,
                next_wall: None,
                next_mono: None,
            });
        }
        Ok(Self { begun, started, each })
    }

    /// As they were saved.
    pub fn restore(&mut self, kept: &KeptTimers) {
        self.begun = Now {
            mono: kept.begun_mono,
            wall: kept.begun_wall,
        };
        self.started = kept.started;
        for (armed, kept) in self.each.iter_mut().zip(&kept.each) {
            armed.kept = *kept;
        }
    }

    pub fn keep(&self) -> KeptTimers {
        KeptTimers {
            begun_mono: self.begun.mono,
            begun_wall: self.begun.wall,
            started: self.started,
            each: self.each.iter().map(|armed| armed.kept).collect(),
        }
    }

    /// A run has begun.
    pub fn note_start(&mut self, at: Mono) {
        self.started = Some(at);
    }

    /// The wall clock was set: what has come by a clock that was ahead may come again.
    pub fn clock_was_set(&mut self, now: Now) {
        for armed in &mut self.each {
            armed.kept.after = armed.kept.after.min(now.wall);
            if let Some((_, wall)) = &mut armed.kept.last {
                *wall = (*wall).min(now.wall);
            }
        }
    }

    /// Works out when each comes next. `since` is when svcd began.
    pub fn reckon(&mut self, since: Mono) {
        let (begun, started) = (self.begun.mono, self.started);
        for armed in &mut self.each {
            let wall = armed
                .timer
                .on_calendar
                .as_ref()
                .and_then(|calendar| next_after(calendar, armed.kept.after));
            armed.next_wall = wall.map(|at| put_off(at, armed.delay));
            let last = armed.kept.last.map(|(mono, _)| mono);
            let from = started.max(last).unwrap_or(begun);
            let every = armed.timer.every.and_then(|every| from.0.checked_add(every));
            let on_boot = armed.timer.on_boot.filter(|_| !armed.kept.boot_is_over);
            let on_boot = on_boot.and_then(|after| since.0.checked_add(after));
            let mono = [every, on_boot].into_iter().flatten().min();
            armed.next_mono = mono.and_then(|at| at.checked_add(armed.delay)).map(Mono);
        }
    }

    /// Those that have come by now, which is noted: what they are, for people, and whether one of them is persistent.
    pub fn take_due(&mut self, now: Now, since: Mono) -> Option<(Box<str>, bool)> {
        let mut what = None;
        let mut persistent = false;
        for armed in &mut self.each {
            let by_wall = armed.next_wall.is_some_and(|at| at <= now.wall);
            let by_mono = armed.next_mono.is_some_and(|at| at <= now.mono);
            if !by_wall && !by_mono {
                continue;
            }
            if by_wall {
                armed.kept.after = now.wall;
                persistent |= armed.timer.persistent;
            }
            let boot_came = armed
                .timer
                .on_boot
                .is_some_and(|after| since.0 + after + armed.delay <= now.mono.0);
            armed.kept.boot_is_over |= by_mono && boot_came;
            armed.kept.last = Some((now.mono, now.wall));
            what.get_or_insert_with(|| text(&armed.timer).into());
        }
        what.map(|what| (what, persistent))
    }

    pub fn next_wall(&self) -> Option<Wall> {
        self.each.iter().filter_map(|armed| armed.next_wall).min()
    }

    pub fn next_mono(&self) -> Option<Mono> {
        self.each.iter().filter_map(|armed| armed.next_mono).min()
    }

    pub fn shown(&self, now: Now) -> Vec<Shown> {
        let shown = |armed: &Armed| {
            let by_mono = armed
                .next_mono
                .map(|at| put_off(now.wall, at.0.saturating_sub(now.mono.0)));
            Shown {
                when: text(&armed.timer),
                next: [armed.next_wall, by_mono].into_iter().flatten().min(),
                last: armed.kept.last.map(|(_, wall)| wall),
            }
        };
        self.each.iter().map(shown).collect()
    }
}

/// Its keys and their values.
fn text(timer: &Timer) -> String {
    let calendar = timer
        .on_calendar
        .as_ref()
        .map(|calendar| format!("on-calendar {calendar}"));
    let every = timer.every.map(|every| format!("every {}", duration_text(every)));
    let on_boot = timer.on_boot.map(|after| format!("on-boot {}", duration_text(after)));
    [calendar, every, on_boot]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(", ")
}

fn put_off(at: Wall, by: Duration) -> Wall {
    Wall(at.0.saturating_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
}

fn next_after(calendar: &Calendar, after: Wall) -> Option<Wall> {
    let zone = match &calendar.zone {
        Zone::Utc => TimeZone::UTC,
        Zone::Local => log::zone_now(),
        // One that went away since is the machine's own, and never a reason to run at no time at all.
        Zone::Named(name) => log::zone_named(name).unwrap_or_else(log::zone_now),
    };
    let next = calendar.next_in(&zone, Timestamp::from_microsecond(after.0).ok()?)?;
    Some(Wall(next.as_microsecond()))
}
