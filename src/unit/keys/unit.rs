//! `[unit]`: what a unit is called, and what it asks of others.

use super::*;

#[rustfmt::skip]
pub static UNIT: &[Key] = &[
    key("unit", "description", Text, Live,
        "One line for people; svc status and svc list show it."),
    key("unit", "documentation", Texts, Live,
        "Where to read more, such as man:nginx(8) or a URL."),
    key("unit", "wanted-by", Names, Live,
        "Starts with each of these targets; `default` is the one that boots, and needs no file."),
    key("unit", "requires", Requires, Live,
        "Starts these and waits until each is ready, or until it is what the table says: `started`, `ready`, \
         `healthy`, `exited` or `succeeded`. The unit is blocked, not failed, while one is not there, and starts by \
         itself as soon as it is. Stopping one by hand stops this unit too; a crash does not."),
    key("unit", "wants", Names, Live,
        "Starts these and comes after them, but goes on without those that fail."),
    key("unit", "binds-to", Names, Live,
        "As requires; besides, the unit stops whenever one of these is not ready, and comes back with it."),
    key("unit", "part-of", Names, Live,
        "Stops and restarts whenever one of these does."),
    key("unit", "after", Names, Live,
        "Order only: where both start, this one starts after these; where both stop, before them."),
    key("unit", "before", Names, Live,
        "Order only: where both start, this one starts before these; where both stop, after them."),
    key("unit", "conflicts", Names, Live,
        "Starting this unit stops these, and starting one of these stops this unit."),
    key("unit", "on-failure", Names, Live,
        "Started when this unit has failed for good."),
    key("unit", "on-success", Names, Live,
        "Started when this unit has ended with success."),
    key("unit", "condition", Conditions, Live,
        "All of these must hold when the unit is about to start, or it is skipped; systemd.unit(5)."),
    key("unit", "assert", Conditions, Live,
        "As condition, but a unit whose assert does not hold has failed; systemd.unit(5)."),
];
