//! Whether a value is what its key takes, by the kind that the key's row names.

use super::decode::{Issue, nearest};
use super::keys::Kind as K;
use super::node::{Data, Node};
use super::read::*;
use super::read_isolation::*;

/// Checks a value by what its key takes, and tells all that is wrong with it.
pub fn check(kind: K, node: &Node, issues: &mut Vec<Issue>) {
    let wrong = match kind {
        K::Text => text(node).err(),
        K::Base64 => base64(node).err(),
        K::Texts => texts(node).err(),
        K::Bool => boolean(node).err(),
        K::Whole(min, max) => whole(node, min, max).err(),
        K::Duration => duration(node).err(),
        K::Calendar => calendar(node).err(),
        K::Address => address(node).err(),
        K::Limit => limit(node).err(),
        K::Size => size(node).err(),
        K::Percent => percent(node).err(),
        K::Signal => signal(node).err(),
        K::Exits => exits(node).err(),
        K::Mode => mode(node).err(),
        K::Path => path(node).err(),
        K::Paths => paths(node).err(),
        K::Commands => commands(node).err(),
        K::Account => account(node).err(),
        K::Accounts => list(node, account).err(),
        K::Word(words) => return check_word(node, words, false, issues),
        K::BoolOr(words) => return check_word(node, words, true, issues),
        K::Map => map(node).err(),
        K::Requires => requires(node).err(),
        K::Name => name(node).err(),
        K::Names => list(node, name).err(),
        K::Conditions => conditions(node).err(),
        K::Rlimits => rlimits(node).err(),
        K::GiveUp => give_up(node).err(),
        K::RateLimit => rate_limit(node).err(),
        K::Output => output(node).err(),
        K::Forward => list(node, forward).err(),
        K::Capabilities => capabilities(node).err(),
        K::OfNetwork(which) => return super::read_network::check(which, node, issues),
        K::Ambient => ambient(node).err(),
        K::Seccomp => seccomp(node).err(),
        K::Landlock => landlock(node).err(),
        K::NamespaceKinds => namespace_kinds(node).err(),
        K::SocketFamilies => socket_families(node).err(),
        K::Architectures => architectures(node).err(),
        K::Resource(which) => super::read_resources::check(which, node).err(),
        K::TimeOffsets => time_offsets(node).err(),
        K::Namespace => namespace(node).err(),
        K::UserNamespace => user_namespace(node).err(),
    };
    issues.extend(wrong.map(|(at, message)| Issue::error(at, message)));
}

fn check_word(node: &Node, words: &[&str], or_bool: bool, issues: &mut Vec<Issue>) {
    let shown = match &node.data {
        Data::Bool(_) if or_bool => return,
        Data::Text(text) if words.contains(&text.as_str()) => return,
        Data::Text(text) => text.as_str(),
        Data::Bool(_) | Data::Whole(_) | Data::List(_) | Data::Table(_) | Data::Other => "",
    };
    let listed = words
        .iter()
        .map(|word| format!("\"{word}\""))
        .collect::<Vec<_>>()
        .join(", ");
    let also = if or_bool { "true, false, " } else { "" };
    let hint = nearest(shown, words.iter().copied()).map(|near| format!("did you mean `{near}`?"));
    issues.push(Issue::error(node.at.clone(), format!("expected {also}{listed}")).hint(hint));
}
