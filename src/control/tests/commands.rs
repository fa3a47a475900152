//! Calls of commands, Run and Exec, and further samples.

use super::*;

/// As in the tests above.
pub fn samples() -> [(&'static str, Value); 4] {
    fn of<T: Serialize>(value: T) -> Value {
        serde_json::to_value(value).unwrap()
    }
    [
        ("WindowSize", of(WindowSize { rows: 24, columns: 80 })),
        ("Shutdown", of(returns::Ending::default())),
        ("Run", of(returns::Ran::default())),
        ("Exec", of(returns::Executed::default())),
    ]
}

#[test]
fn calls_of_commands_are_what_their_text_says() {
    let run = Run {
        unit: "web".into(),
        text: "[service]".into(),
        remove: true,
        size: Some(WindowSize { rows: 24, columns: 80 }),
    };
    let parameters = r#"{"unit":"web","text":"[service]","remove":true,"size":{"rows":24,"columns":80}}"#;
    assert_eq!(ours("Run", parameters), Ok(Request::Run(run)));
    let exec = Exec {
        unit: "web".into(),
        command: vec!["ls".into()],
        environment: vec!["A=b".into()],
        user: Some("web".into()),
        working_directory: None,
        size: None,
    };
    let parameters = r#"{"unit":"web","command":["ls"],"environment":["A=b"],"user":"web"}"#;
    assert_eq!(ours("Exec", parameters), Ok(Request::Exec(exec)));
    for (method, parameters) in [
        ("Run", r#"{"unit":"web"}"#),
        ("Run", r#"{"unit":"web","text":"","size":{"rows":-1,"columns":80}}"#),
        ("Run", r#"{"unit":"web","text":"","size":24}"#),
        ("Exec", r#"{"unit":"web","command":[]}"#),
    ] {
        assert!(ours(method, parameters).is_err(), "{method} {parameters}");
    }
}
