//! What a checked tree says of when a service is ready, and whether it is well.

use super::decode::get;
use super::node::Table;
use super::read::*;
use super::*;

/// Who has to say something is heard.
pub fn readiness(tree: &Table) -> (ServiceType, Duration, NotifyAccess, u8) {
    let word = |key| get(tree, "service", key, text);
    let kind = one_of(&ServiceType::WORDS, word("type")).unwrap_or(ServiceType::Exec);
    let watchdog = get(tree, "service", "watchdog", limit).flatten().unwrap_or_default();
    let store = get(tree, "service", "file-descriptor-store-max", |node| whole(node, 0, 128));
    let store = store.and_then(|most| u8::try_from(most).ok()).unwrap_or_default();
    let access = match kind.says_ready() || !watchdog.is_zero() || store > 0 {
        true => NotifyAccess::Main,
        false => NotifyAccess::None,
    };
    let access = one_of(&NotifyAccess::WORDS, word("notify-access")).unwrap_or(access);
    (kind, watchdog, access, store)
}

fn one_of<T: Copy>(words: &[(&str, T)], word: Option<String>) -> Option<T> {
    let word = word?;
    words.iter().find(|(its, _)| *its == word).map(|(_, value)| *value)
}

pub fn health(tree: &Table) -> Health {
    let base = Health::default();
    let time = |key, default| get(tree, "health", key, duration).unwrap_or(default);
    let word = |key| get(tree, "health", key, text);
    let retries = get(tree, "health", "retries", |node| whole(node, 1, 1000));
    Health {
        exec: get(tree, "health", "exec", commands).unwrap_or_default(),
        http: word("http").map(String::into_boxed_str),
        tcp: word("tcp").map(String::into_boxed_str),
        interval: time("interval", base.interval),
        timeout: time("timeout", base.timeout),
        retries: retries
            .and_then(|retries| u32::try_from(retries).ok())
            .unwrap_or(base.retries),
        start_period: time("start-period", base.start_period),
        on_unhealthy: one_of(&OnUnhealthy::WORDS, word("on-unhealthy")).unwrap_or(base.on_unhealthy),
    }
}
