//! Answers to messages: what came of a call, or why nothing did.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::frame;

/// A message that answers: parameters, and whether more follow.
pub fn reply<T: Serialize + ?Sized>(parameters: &T, continues: bool) -> Vec<u8> {
    #[derive(Serialize)]
    struct Reply<'a, T: ?Sized> {
        parameters: &'a T,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        continues: bool,
    }
    // No view has a map whose keys are no strings, so this cannot fail; were it to, the caller still gets a message.
    frame::encode(&Reply { parameters, continues }).unwrap_or_else(|_| {
        b"{\"error\":\"dev.svc.Supervisor.Failed\",\"parameters\":{\"what\":\"answer\",\"why\":\"no JSON\"}}\0".to_vec()
    })
}

/// Why a call was not answered as asked. Each is an error of one of the two interfaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No unit has this name, or matches this pattern.
    NoSuchUnit {
        /// As the caller wrote it.
        unit: String,
        /// `did you mean …`.
        hint: Option<String>,
    },
    /// It was not tried.
    Refused(Told),
    /// This kernel or parent cannot enforce what the unit says.
    Unenforceable(Told),
    /// It was tried.
    Failed(Told),
    /// The caller may not do this.
    PermissionDenied {
        /// What was asked.
        what: String,
        /// Who may.
        why: String,
    },
    /// The interface part of a method's name is none of ours.
    InterfaceNotFound(String),
    /// The interface has no such method.
    MethodNotFound(String),
    /// The method is there, but not in this way (`upgrade`).
    MethodNotImplemented(String),
    /// A parameter is missing, unknown, or not of its type or range.
    InvalidParameter(String),
    /// The method answers with a stream, and `more` was not set.
    ExpectedMore,
    /// An error that is none of the above; only a client sees it.
    Other(String),
}

/// What failed, why, and what may help: `WHAT: WHY`, `hint: HINT`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// `start web`.
    pub what: String,
    /// `requires db, which is masked`.
    pub why: String,
    /// What may help.
    #[serde(default)]
    pub hint: Option<String>,
}

impl Failure {
    /// The message that says so.
    pub fn reply(&self) -> Vec<u8> {
        let (error, parameters) = self.parts();
        // Strings and objects only: this cannot fail.
        frame::encode(&json!({ "error": error, "parameters": parameters })).unwrap_or_default()
    }

    /// The error's full name and its parameters.
    fn parts(&self) -> (String, Value) {
        let ours = |name: &str| format!("{}.{name}", super::interface::NAME);
        let service = |name: &str| format!("{}.{name}", super::interface::SERVICE_NAME);
        let told = |told: &Told| json!({ "what": told.what, "why": told.why, "hint": told.hint });
        match self {
            Self::NoSuchUnit { unit, hint } => (ours("NoSuchUnit"), json!({ "unit": unit, "hint": hint })),
            Self::Refused(text) => (ours("Refused"), told(text)),
            Self::Unenforceable(text) => (ours("Unenforceable"), told(text)),
            Self::Failed(text) => (ours("Failed"), told(text)),
            Self::PermissionDenied { what, why } => (ours("PermissionDenied"), json!({ "what": what, "why": why })),
            Self::InterfaceNotFound(name) => (service("InterfaceNotFound"), json!({ "interface": name })),
            Self::MethodNotFound(name) => (service("MethodNotFound"), json!({ "method": name })),
            Self::MethodNotImplemented(name) => (service("MethodNotImplemented"), json!({ "method": name })),
            Self::InvalidParameter(name) => (service("InvalidParameter"), json!({ "parameter": name })),
            Self::ExpectedMore => (service("ExpectedMore"), json!({})),
            Self::Other(name) => (name.clone(), json!({})),
        }
    }

    /// What a client makes of an error it was sent. An unknown one, or one whose parameters are not as they should be,
    /// is [`Failure::Other`].
    pub fn from_parts(error: &str, parameters: Value) -> Self {
        let text = |name: &str| parameters.get(name).and_then(Value::as_str).map(str::to_owned);
        let told = || serde_json::from_value::<Told>(parameters.clone()).ok();
        let known = match error.rsplit_once('.') {
            Some((super::interface::NAME, name)) => match name {
                "NoSuchUnit" => text("unit").map(|unit| Self::NoSuchUnit {
                    unit,
                    hint: text("hint"),
                }),
                "Refused" => told().map(Self::Refused),
                "Unenforceable" => told().map(Self::Unenforceable),
                "Failed" => told().map(Self::Failed),
                "PermissionDenied" => text("what")
                    .zip(text("why"))
                    .map(|(what, why)| Self::PermissionDenied { what, why }),
                _ => None,
            },
            Some((super::interface::SERVICE_NAME, name)) => match name {
                "InterfaceNotFound" => text("interface").map(Self::InterfaceNotFound),
                "MethodNotFound" => text("method").map(Self::MethodNotFound),
                "MethodNotImplemented" => text("method").map(Self::MethodNotImplemented),
                "InvalidParameter" => text("parameter").map(Self::InvalidParameter),
                "ExpectedMore" => Some(Self::ExpectedMore),
                _ => None,
            },
            _ => None,
        };
        known.unwrap_or_else(|| Self::Other(error.to_owned()))
    }
}
