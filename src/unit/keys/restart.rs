//! `[restart]`: when a service that ended is started again.

use super::*;

#[rustfmt::skip]
pub static RESTART: &[Key] = &[
    key("restart", "policy", Word(&["no", "on-success", "on-failure", "on-abnormal", "on-watchdog", "always"]), Live,
        "After which ends the service is started again: none, a clean one, any failure, a signal or timeout, a missed \
         watchdog, or all; the table of systemd.service(5), Restart=. A stop by hand is never followed by a restart."),
    key("restart", "delay", Duration, Live,
        "The delay before the first restart; it doubles with each further one, with a random part."),
    key("restart", "max-delay", Duration, Live,
        "The longest delay between restarts."),
    key("restart", "stable-after", Duration, Live,
        "Once the service has been up for this long, the delay starts again from `delay`."),
    key("restart", "give-up", GiveUp, Live,
        "So many starts within this time, such as { starts = 5, within = \"1m\" }, and the unit has failed with \
         `start-limit`. Absent, it never gives up."),
    key("restart", "prevent-exit-status", Exits, Live,
        "Exit codes and signals that no restart follows, whatever the policy says."),
    key("restart", "force-exit-status", Exits, Live,
        "Exit codes and signals that a restart always follows, whatever the policy says."),
];
