//! The wire held together: calls both ways, each shape against literal text, the interface text against the views.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use serde::Serialize;
use serde_json::{Value, json};

use grammar::Grammar;

use super::call::NoCall;
use super::reply::{Told, reply};
use super::view::*;
use super::*;
use crate::unit::Signal;

mod commands;
mod deploy;
mod grammar;
mod resources;

fn parse(text: &str) -> Result<Call, NoCall> {
    Call::parse(text.as_bytes())
}

fn ours(method: &str, parameters: &str) -> Result<Request, NoCall> {
    parse(&format!(
        r#"{{"method":"dev.svc.Supervisor.{method}","parameters":{parameters},"more":true}}"#
    ))
    .map(|call| call.request)
}

fn job(verb: Verb) -> Request {
    Request::Job {
        verb,
        units: vec!["web".into(), "db@*".into()],
        wait: true,
        timeout: None,
    }
}

#[test]
fn every_call_is_what_its_text_says() {
    let web = || "web".to_owned();
    for (method, parameters, request) in [
        ("Start", r#"{"units":["web","db@*"],"wait":true}"#, job(Verb::Start)),
        ("Stop", r#"{"units":["web","db@*"]}"#, job(Verb::Stop)),
        ("Restart", r#"{"units":["web","db@*"],"wait":null}"#, job(Verb::Restart)),
        ("Reload", r#"{"units":["web","db@*"]}"#, job(Verb::Reload)),
        ("Reset", r#"{"units":["web","db@*"]}"#, job(Verb::Reset)),
        (
            "Start",
            r#"{"units":["web"],"wait":false,"timeout_ms":1500}"#,
            Request::Job {
                verb: Verb::Start,
                units: vec![web()],
                wait: false,
                timeout: Some(Duration::from_millis(1500)),
            },
        ),
        (
            "Kill",
            r#"{"units":["web"],"signal":"9","whom":"main"}"#,
            Request::Kill {
                units: vec![web()],
                signal: Signal::KILL,
                whom: Whom::Main,
            },
        ),
        (
            "Kill",
            r#"{"units":["web"],"signal":"SIGTERM","whom":"all"}"#,
            Request::Kill {
                units: vec![web()],
                signal: Signal::TERM,
                whom: Whom::All,
            },
        ),
        ("Status", r#"{"units":[]}"#, Request::Status { units: vec![] }),
        (
            "List",
            r#"{"all":true,"failed":false}"#,
            Request::List {
                all: true,
                failed: false,
            },
        ),
        ("Show", r#"{"unit":"web"}"#, Request::Show { unit: web() }),
        ("Cat", r#"{"unit":"web"}"#, Request::Cat { unit: web() }),
        (
            "Dependencies",
            r#"{"unit":"web","reverse":true}"#,
            Request::Dependencies {
                unit: web(),
                reverse: true,
            },
        ),
        ("Processes", r#"{"unit":"web"}"#, Request::Processes { unit: web() }),
        ("Plan", "{}", Request::Plan),
        ("Apply", r#"{"hash":"web"}"#, Request::Apply { hash: Some(web()) }),
        ("Why", r#"{"unit":"web"}"#, Request::Why { unit: web() }),
        ("History", "{}", Request::History { unit: None }),
        ("Timings", "{}", Request::Timings),
        ("Version", "null", Request::Version),
        ("Shutdown", "{}", Request::Shutdown { power: None }),
        ("Reexec", "{}", Request::Reexec),
        ("Watch", "{}", Request::Watch),
    ] {
        assert_eq!(ours(method, parameters), Ok(request), "{method} {parameters}");
    }
}

#[test]
fn an_end_may_be_that_of_the_machine() {
    for power in Power::ALL {
        let parameters = json!({ "power": power.word() }).to_string();
        let request = Request::Shutdown { power: Some(power) };
        assert_eq!(ours("Shutdown", &parameters), Ok(request));
    }
}

#[test]
fn a_call_that_cannot_be_answered_says_why() {
    let invalid = |name: &str| Failure::InvalidParameter(name.into());
    for (method, parameters, failure) in [
        ("Start", "{}", invalid("units")),
        ("Start", r#"{"units":[]}"#, invalid("units")),
        ("Start", r#"{"units":"web"}"#, invalid("units")),
        ("Start", r#"{"units":["web",1]}"#, invalid("units")),
        ("Start", r#"{"units":["web",null]}"#, invalid("units")),
        ("Start", r#"{"units":["web"],"wait":1}"#, invalid("wait")),
        ("Start", r#"{"units":["web"],"timeout_ms":-1}"#, invalid("timeout_ms")),
        ("Start", r#"{"units":["web"],"timeout_ms":1.5}"#, invalid("timeout_ms")),
        ("Start", r#"{"units":["web"],"now":true}"#, invalid("now")),
        ("Kill", r#"{"units":["web"],"signal":"SIGNOT"}"#, invalid("signal")),
        ("Kill", r#"{"units":["web"],"signal":"0"}"#, invalid("signal")),
        ("Kill", r#"{"units":["web"],"signal":"65"}"#, invalid("signal")),
        ("Kill", r#"{"units":["web"],"whom":"it"}"#, invalid("whom")),
        ("Show", "{}", invalid("unit")),
        ("Shutdown", r#"{"power":"on"}"#, invalid("power")),
        ("Version", r#"{"x":0}"#, invalid("x")),
        ("Fly", "{}", Failure::MethodNotFound("dev.svc.Supervisor.Fly".into())),
    ] {
        assert_eq!(
            ours(method, parameters),
            Err(NoCall::Answer(failure)),
            "{method} {parameters}"
        );
    }
    for (text, failure) in [
        (r#"{"method":"dev.svc.Supervisor.Watch"}"#, Failure::ExpectedMore),
        (
            r#"{"method":"dev.svc.Supervisor.Plan","upgrade":true}"#,
            Failure::MethodNotImplemented("dev.svc.Supervisor.Plan".into()),
        ),
        (r#"{"method":"a.b.C"}"#, Failure::InterfaceNotFound("a.b".into())),
        (r#"{"method":"Start"}"#, Failure::MethodNotFound("Start".into())),
    ] {
        assert_eq!(parse(text), Err(NoCall::Answer(failure)), "{text}");
        let oneway = text.replacen('{', r#"{"oneway":true,"#, 1);
        assert_eq!(parse(&oneway), Err(NoCall::Ignore), "{oneway}");
    }
}

#[test]
fn what_is_no_call_is_malformed() {
    let deep = "[".repeat(30_000);
    for text in [
        "",
        "{",
        "[]",
        "null",
        "{}",
        r#"{"method":1}"#,
        r#"{"method":"a.B","parameters":[]}"#,
        r#"{"method":"a.B","more":"yes"}"#,
        &deep,
    ] {
        assert_eq!(parse(text), Err(NoCall::Malformed), "{text:.40}");
    }
}

#[test]
fn only_reading_is_for_everyone() {
    for method in ["Start", "Stop", "Restart", "Reload", "Reset", "Kill"] {
        assert!(!ours(method, r#"{"units":["web"]}"#).unwrap().only_reads(), "{method}");
    }
    assert!(!Request::Shutdown { power: None }.only_reads() && !Request::Reexec.only_reads());
    assert!(!Request::Apply { hash: None }.only_reads());
    for request in [
        Request::Plan,
        Request::Watch,
        Request::Version,
        Request::Status { units: vec![] },
    ] {
        assert!(request.only_reads(), "{request:?}");
    }
}

#[test]
fn failures_travel_unchanged() {
    let told = || Told {
        what: "start web".into(),
        why: "masked".into(),
        hint: Some("svc unmask web".into()),
    };
    for failure in [
        Failure::NoSuchUnit {
            unit: "wbe".into(),
            hint: Some("did you mean `web`?".into()),
        },
        Failure::Refused(told()),
        Failure::Unenforceable(told()),
        Failure::Failed(told()),
        Failure::PermissionDenied {
            what: "start".into(),
            why: "only root may".into(),
        },
        Failure::InterfaceNotFound("a.b".into()),
        Failure::MethodNotFound("a.b.C".into()),
        Failure::MethodNotImplemented("a.b.C".into()),
        Failure::InvalidParameter("units".into()),
        Failure::ExpectedMore,
        Failure::Other("a.b.Strange".into()),
    ] {
        let bytes = failure.reply();
        let (nul, text) = bytes.split_last().unwrap();
        assert_eq!(*nul, 0);
        let message: Value = serde_json::from_slice(text).unwrap();
        let back = Failure::from_parts(message["error"].as_str().unwrap(), message["parameters"].clone());
        assert_eq!(back, failure);
    }
    let odd = Failure::from_parts("dev.svc.Supervisor.Refused", json!({ "what": 1 }));
    assert_eq!(odd, Failure::Other("dev.svc.Supervisor.Refused".into()));
}

#[test]
fn replies_are_frames() {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let ending = returns::Ending { progress: None };
    assert_eq!(text(reply(&ending, false)), "{\"parameters\":{\"progress\":null}}\0");
    assert_eq!(
        text(reply(&ending, true)),
        "{\"parameters\":{\"progress\":null},\"continues\":true}\0"
    );
    assert_eq!(
        text(Failure::InvalidParameter("units".into()).reply()),
        "{\"error\":\"org.varlink.service.InvalidParameter\",\"parameters\":{\"parameter\":\"units\"}}\0"
    );
}

/// INTERFACE section 3 has this text.
#[test]
fn status_prints_the_contract() {
    let mut status = UnitStatus::new("web", "service");
    status.state = State::Running;
    status.since = Some(timestamp(1_795_428_000_123_456));
    status.main_pid = Some(MainPid {
        host: 4711,
        inside: Some(2),
    });
    status.cgroup = Some("svc/web".into());
    status.limits.insert(
        "memory-max".into(),
        Limit {
            limit: Some(67_108_864.into()),
            current: Some(1_212_416.into()),
            peak: Some(2_031_616.into()),
        },
    );
    status.isolation.insert("pid".into(), "enforced".into());
    status.isolation.insert("landlock".into(), "skipped: ENOSYS".into());
    let contract: Value = serde_json::from_str(
        r#"{ "v": 1, "unit": "web", "state": "running", "since": "2026-11-23T10:00:00.123Z",
  "result": null, "exit-code": null, "signal": null, "failed-step": null, "errno": null,
  "main-pid": { "host": 4711, "inside": 2 }, "restarts": 0, "next-try": null, "waiting-for": [], "blocked-by": [],
  "cgroup": "svc/web", "limits": { "memory-max": { "limit": 67108864, "current": 1212416, "peak": 2031616 } },
  "isolation": { "pid": "enforced", "landlock": "skipped: ENOSYS" }, "status-text": "", "log-tail": [] }"#,
    )
    .unwrap();
    let mut printed = kebab(serde_json::to_value(&status).unwrap());
    let new = "description kind frozen reason result-text step-exit-code usage findings root triggers health stored-descriptors network";
    for added in new.split_whitespace() {
        assert!(printed.as_object_mut().unwrap().remove(added).is_some(), "{added}");
    }
    assert_eq!(printed, contract);
}

#[test]
fn amounts_are_whole_where_they_can_be() {
    for (amount, text) in [
        (Amount::from(0u64), "0"),
        (Amount::from(67_108_864u64), "67108864"),
        (Amount::from(20.0), "20"),
        (Amount::from(19.75), "19.75"),
        (Amount::from(-1.0), "-1"),
        (Amount::from(1e300), "1e+300"),
        (Amount::from(f64::NAN), "null"),
    ] {
        assert_eq!(serde_json::to_string(&amount).unwrap(), text);
    }
}

#[test]
fn words_of_states_are_those_on_the_wire() {
    for state in [
        State::Inactive,
        State::Waiting,
        State::Starting,
        State::Running,
        State::Stopping,
        State::Failed,
        State::Backoff,
        State::Blocked,
        State::Skipped,
        State::Masked,
    ] {
        assert_eq!(serde_json::to_value(state).unwrap(), state.word());
    }
}

#[test]
fn times_are_utc_milliseconds() {
    for (time, text) in [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_795_428_000_123_999, "2026-11-23T10:00:00.123Z"),
        (i64::MAX, "1970-01-01T00:00:00.000Z"),
    ] {
        assert_eq!(timestamp(time), text);
    }
}

/// A value of each type in the interface text, with every field there, so that its fields can be read off.
fn samples() -> BTreeMap<&'static str, Value> {
    fn of<T: Serialize>(value: T) -> Value {
        serde_json::to_value(value).unwrap()
    }
    BTreeMap::from([
        ("MainPid", of(MainPid::default())),
        ("Limit", of(Limit::default())),
        ("Finding", of(Finding::default())),
        ("UnitStatus", of(UnitStatus::default())),
        ("UnitLine", of(UnitLine::default())),
        ("Outcome", of(Outcome::default())),
        ("Progress", of(Progress::default())),
        ("Change", of(Change::default())),
        ("ShownValue", of(ShownValue::default())),
        ("UnitFile", of(UnitFile::default())),
        ("Dependency", of(Dependency::default())),
        ("Process", of(Process::default())),
        ("Cause", of(Cause::default())),
        ("Entry", of(Entry::default())),
        ("UnitTiming", of(UnitTiming::default())),
        ("Start", of(returns::Outcomes::default())),
        ("Kill", of(returns::Outcomes::default())),
        ("Status", of(returns::Statuses::default())),
        ("List", of(returns::Lines::default())),
        ("Show", of(returns::Values::default())),
        ("Cat", of(returns::Files::default())),
        ("Dependencies", of(returns::Tree::default())),
        ("Processes", of(returns::Processes::default())),
        ("Why", of(returns::Chain::default())),
        ("History", of(returns::Entries::default())),
        ("Timings", of(returns::Timings::default())),
        ("Version", of(Version::default())),
        ("Reexec", of(returns::Reexecuted::default())),
        ("Watch", of(returns::Changes::default())),
        ("GetInfo", of(interface::info())),
        ("GetInterfaceDescription", of(interface::description(interface::NAME))),
    ])
}

#[test]
fn interface_texts_are_varlink_and_know_their_types() {
    for (name, text) in [
        (interface::NAME, interface::SUPERVISOR),
        (interface::SERVICE_NAME, interface::SERVICE),
    ] {
        let (said, members) = Grammar::interface(text);
        assert_eq!(said, name);
        let types: Vec<&str> = members
            .iter()
            .filter(|m| m.keyword == "type")
            .map(|m| m.name.as_str())
            .collect();
        for member in &members {
            for (field, r#type) in member.fields.iter().chain(&member.returns) {
                let base = r#type
                    .trim_start_matches('?')
                    .trim_start_matches("[]")
                    .trim_start_matches("[string]");
                let known = ["bool", "int", "float", "string", "object"].contains(&base) || types.contains(&base);
                assert!(known, "{} {field}: {type}", member.name);
            }
        }
        let mut names: Vec<&str> = members.iter().map(|m| m.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), members.len(), "a name twice in {name}");
    }
}

#[test]
fn the_interface_text_has_the_fields_of_the_views() {
    let mut samples = samples();
    samples.extend(resources::samples().into_iter().chain(commands::samples()));
    samples.extend(deploy::samples());
    let mut seen = 0;
    for text in [interface::SUPERVISOR, interface::SERVICE] {
        for member in Grammar::interface(text).1 {
            let said = if member.keyword == "type" {
                &member.fields
            } else {
                &member.returns
            };
            let Some(sample) = samples.get(member.name.as_str()) else {
                assert!(
                    ["Stop", "Restart", "Reload", "Reset", "Freeze", "Thaw", "Plan", "Apply"]
                        .contains(&member.name.as_str())
                        || member.keyword == "error",
                    "no sample of {}",
                    member.name
                );
                continue;
            };
            seen += 1;
            let mut said: Vec<&str> = said.iter().map(|(name, _)| name.as_str()).collect();
            let mut real: Vec<&str> = sample.as_object().unwrap().keys().map(String::as_str).collect();
            if ["Kill", "Set"].contains(&member.name.as_str()) {
                real.retain(|name| *name != "progress");
            }
            said.sort_unstable();
            real.sort_unstable();
            assert_eq!(said, real, "{}", member.name);
        }
    }
    assert_eq!(seen, samples.len(), "a sample that no interface has");
}

#[test]
fn each_method_of_the_text_is_a_call_with_its_parameters() {
    let value = |r#type: &str| match r#type {
        "string" | "?string" => json!("main"),
        "bool" => json!(true),
        "int" | "?int" => json!(1),
        "[]string" => json!(["web"]),
        "?WindowSize" => json!({ "rows": 24, "columns": 80 }),
        other => panic!("{other}"),
    };
    for (interface, text) in [
        (interface::NAME, interface::SUPERVISOR),
        (interface::SERVICE_NAME, interface::SERVICE),
    ] {
        for member in Grammar::interface(text).1.iter().filter(|m| m.keyword == "method") {
            let mut parameters: serde_json::Map<String, Value> = member
                .fields
                .iter()
                .map(|(name, r#type)| (name.clone(), value(r#type)))
                .collect();
            for (name, word) in [("signal", "15"), ("power", "halt")] {
                if let Some(value) = parameters.get_mut(name) {
                    *value = json!(word);
                }
            }
            let method = format!("{interface}.{}", member.name);
            let call = json!({ "method": method, "parameters": parameters, "more": true }).to_string();
            let request = parse(&call).unwrap().request;
            assert_eq!(
                (request.method(), request.parameters()),
                (method, Value::Object(parameters))
            );
        }
    }
}

#[test]
fn each_error_of_the_text_is_a_failure() {
    for (interface, text) in [
        (interface::NAME, interface::SUPERVISOR),
        (interface::SERVICE_NAME, interface::SERVICE),
    ] {
        for member in Grammar::interface(text).1.iter().filter(|m| m.keyword == "error") {
            let parameters: Value = member
                .fields
                .iter()
                .map(|(name, _)| (name.clone(), json!("x")))
                .collect();
            let name = format!("{interface}.{}", member.name);
            let failure = Failure::from_parts(&name, parameters);
            // varlink's own PermissionDenied says nothing; ours says what and why, and is the one that we send.
            let foreign = name == "org.varlink.service.PermissionDenied";
            assert_eq!(matches!(failure, Failure::Other(_)), foreign, "{name}");
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Call::parse(&bytes);
    }

    #[test]
    fn no_json_makes_it_panic(method in "(dev\\.svc\\.Supervisor|org\\.varlink\\.service)\\.[A-Z][a-z]{2,6}|.*", list in ".*") {
        let _ = parse(&json!({ "method": method, "parameters": { "units": [list] } }).to_string());
    }

    #[test]
    fn requests_travel_unchanged(units in prop::collection::vec("\\PC{1,20}", 1..4), wait: bool, ms in prop::option::of(any::<u32>()), signal in 1u8..=64) {
        let timeout = ms.map(|ms| Duration::from_millis(ms.into()));
        for request in [
            Request::Job { verb: Verb::Restart, units: units.clone(), wait, timeout },
            Request::Kill { units: units.clone(), signal: Signal(signal), whom: Whom::Main },
            Request::History { unit: units.first().cloned() },
        ] {
            let call = json!({ "method": request.method(), "parameters": request.parameters() }).to_string();
            prop_assert_eq!(parse(&call).map(|c| c.request), Ok(request));
        }
    }
}
