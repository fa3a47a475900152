//! Calls and views of limits that change and of what units use.

use super::*;
use crate::control::stats::{CpuStats, IoStats, MemoryStats, PidsStats, Pressure, Stall, UnitStats};

/// As in the tests above.
pub fn samples() -> [(&'static str, Value); 16] {
    fn of<T: Serialize>(value: T) -> Value {
        serde_json::to_value(value).unwrap()
    }
    [
        ("Trigger", of(Trigger::default())),
        ("Network", of(crate::control::network::Network::default())),
        ("NetworkStats", of(crate::control::network::NetworkStats::default())),
        ("Root", of(crate::control::root::Root::default())),
        ("Health", of(crate::control::health::Health::default())),
        ("Probe", of(crate::control::health::Probe::default())),
        ("Usage", of(crate::control::stats::Usage::default())),
        ("UnitStats", of(UnitStats::default())),
        ("CpuStats", of(CpuStats::default())),
        ("MemoryStats", of(MemoryStats::default())),
        ("IoStats", of(IoStats::default())),
        ("PidsStats", of(PidsStats::default())),
        ("Pressure", of(Pressure::default())),
        ("Stall", of(Stall::default())),
        ("Set", of(returns::Outcomes::default())),
        ("Stats", of(returns::Stats::default())),
    ]
}

#[test]
fn calls_are_what_their_text_says() {
    let web = || "web".to_owned();
    for (method, parameters, request) in [
        ("Freeze", r#"{"units":["web","db@*"]}"#, job(Verb::Freeze)),
        ("Thaw", r#"{"units":["web","db@*"]}"#, job(Verb::Thaw)),
        ("Stats", r#"{"units":[]}"#, Request::Stats { units: vec![] }),
        (
            "Set",
            r#"{"unit":"web","settings":["pids-max=5"],"persist":true}"#,
            Request::Set {
                unit: web(),
                settings: vec!["pids-max=5".to_owned()],
                persist: true,
            },
        ),
    ] {
        assert_eq!(parsed(method, parameters), Ok(request), "{method} {parameters}");
    }
    for parameters in [
        r#"{"unit":"web"}"#,
        r#"{"unit":"web","settings":[]}"#,
        r#"{"settings":["a=1"]}"#,
    ] {
        assert!(parsed("Set", parameters).is_err(), "{parameters}");
    }
}

fn parsed(method: &str, parameters: &str) -> Result<Request, NoCall> {
    let text = format!(
        r#"{{"method":"{}.{method}","parameters":{parameters}}}"#,
        interface::NAME
    );
    let request = Call::parse(text.as_bytes())?.request;
    // And back: what a client sends is what is read.
    let again = json!({ "method": request.method(), "parameters": request.parameters() });
    assert_eq!(
        Call::parse(again.to_string().as_bytes()).map(|call| call.request),
        Ok(request.clone())
    );
    Ok(request)
}
