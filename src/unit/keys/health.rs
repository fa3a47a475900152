//! `[health]`: probes that say whether a service is well.

use super::*;

#[rustfmt::skip]
pub static HEALTH: &[Key] = &[
    key("health", "exec", Commands, Live,
        "A command, run in the service's namespaces, as its user: it is well when this ends with 0. Of what it prints, the \
         first 4096 bytes are kept for svc status; more than a pipe holds makes it wait."),
    key("health", "http", Text, Live,
        "An address of the web, with a host in numbers or localhost, such as http://127.0.0.1:80/healthz: the service is well when this answers with \
         a status of 200 to 299. It is asked from within the service's network."),
    key("health", "tcp", Text, Live,
        "ADDRESS:PORT, likewise: it is well when this can be connected to."),
    key("health", "interval", Duration, Live,
        "The time between two probes; until the first good one it is a second at most."),
    key("health", "timeout", Duration, Live,
        "How long a probe may take."),
    key("health", "retries", Whole(1, 1000), Live,
        "How many failures in a row mean that it is unhealthy."),
    key("health", "start-period", Duration, Live,
        "Failures within this time of the start do not count."),
    key("health", "on-unhealthy", Word(&["restart", "stop", "none", "reboot"]), Live,
        "What is done about an unhealthy service: restart it, stop it, nothing, or reboot the machine."),
];
