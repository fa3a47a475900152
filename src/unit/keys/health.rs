//! `[health]`: probes that say whether a service is well.

use super::*;

#[rustfmt::skip]
pub static HEALTH: &[Key] = &[
    key("health", "exec", Commands, NOTHING, Live,
        "A command, run in the service's namespaces: it is well when this ends with 0."),
    key("health", "http", Text, NOTHING, Live,
        "A URL: it is well when this answers with a status of 200 to 299."),
    key("health", "tcp", Text, NOTHING, Live,
        "An address: it is well when this can be connected to."),
    key("health", "interval", Duration, NOTHING, Live,
        "The time between two probes."),
    key("health", "timeout", Duration, NOTHING, Live,
        "How long a probe may take."),
    key("health", "retries", Whole(1, 1000), NOTHING, Live,
        "How many failures in a row mean that it is unhealthy."),
    key("health", "start-period", Duration, NOTHING, Live,
        "Failures within this time of the start do not count."),
    key("health", "on-unhealthy", Word(&["restart", "stop", "none", "reboot"]), NOTHING, Live,
        "What is done about an unhealthy service: restart it, stop it, nothing, or reboot the machine."),
];
