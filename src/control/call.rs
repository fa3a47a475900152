//! A message to a [`Request`]: each parameter is taken out by its name and type, and what is left over is refused, so
//! that whoever carries it out meets no stray one.

use std::time::Duration;

use serde_json::{Map, Value};

use super::interface;
use super::reply::Failure;
use super::request::{Exec, Run};
pub use super::request::{Power, Request, Verb, Whom};
use crate::unit::Signal;

/// What a client asks for, and how it wants to be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// What.
    pub request: Request,
    /// It takes replies that continue.
    pub more: bool,
    /// It takes no reply at all, not even an error.
    pub oneway: bool,
}

/// Why a message is no call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoCall {
    /// No JSON object with a method: the connection is of no more use.
    Malformed,
    /// A call that cannot be answered as asked: tell the caller, and go on with the next message.
    Answer(Failure),
    /// The same, of a caller that takes no reply.
    Ignore,
}

impl Call {
    /// Reads a message that [`super::frame::Decoder`] has cut out.
    ///
    /// # Errors
    /// [`NoCall`] says what is to be done about it.
    pub fn parse(frame: &[u8]) -> Result<Self, NoCall> {
        let Ok(Value::Object(mut call)) = serde_json::from_slice(frame) else {
            return Err(NoCall::Malformed);
        };
        let Some(Value::String(method)) = call.remove("method") else {
            return Err(NoCall::Malformed);
        };
        let mut flag = |name: &str| match call.remove(name) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(value)) => Ok(value),
            Some(_) => Err(NoCall::Malformed),
        };
        let (more, oneway, upgrade) = (flag("more")?, flag("oneway")?, flag("upgrade")?);
        let parameters = match call.remove("parameters") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(parameters)) => parameters,
            Some(_) => return Err(NoCall::Malformed),
        };
        let request = match parse_request(&method, Parameters(parameters)) {
            Ok(Request::Watch) if !more => Err(Failure::ExpectedMore),
            Ok(_) if upgrade => Err(Failure::MethodNotImplemented(method)),
            parsed => parsed,
        };
        match request {
            Ok(request) => Ok(Self { request, more, oneway }),
            Err(_) if oneway => Err(NoCall::Ignore),
            Err(failure) => Err(NoCall::Answer(failure)),
        }
    }
}

fn parse_request(method: &str, parameters: Parameters) -> Result<Request, Failure> {
    match method.rsplit_once('.') {
        Some((interface::NAME, name)) => parse_ours(name, parameters),
        Some((interface::SERVICE_NAME, name)) => parse_service(name, parameters),
        Some((other, _)) => Err(Failure::InterfaceNotFound(other.to_owned())),
        None => Err(Failure::MethodNotFound(method.to_owned())),
    }
}

fn parse_service(name: &str, mut given: Parameters) -> Result<Request, Failure> {
    let request = match name {
        "GetInfo" => Request::GetInfo,
        "GetInterfaceDescription" => Request::GetInterfaceDescription {
            interface: given.text("interface")?,
        },
        _ => return Err(not_found(interface::SERVICE_NAME, name)),
    };
    given.end()?;
    Ok(request)
}

fn parse_ours(name: &str, mut given: Parameters) -> Result<Request, Failure> {
    let request = match name {
        "Start" => given.job(Verb::Start)?,
        "Stop" => given.job(Verb::Stop)?,
        "Restart" => given.job(Verb::Restart)?,
        "Reload" => given.job(Verb::Reload)?,
        "Reset" => given.job(Verb::Reset)?,
        "Freeze" => given.job(Verb::Freeze)?,
        "Thaw" => given.job(Verb::Thaw)?,
        "Kill" => given.kill()?,
        "Set" => Request::Set {
            unit: given.text("unit")?,
            settings: given.some_texts("settings")?,
            persist: given.flag("persist", false)?,
        },
        "Stats" => Request::Stats {
            units: given.texts("units")?,
        },
        "Status" => Request::Status {
            units: given.texts("units")?,
        },
        "List" => Request::List {
            all: given.flag("all", false)?,
            failed: given.flag("failed", false)?,
        },
        "Show" => Request::Show {
            unit: given.text("unit")?,
        },
        "Cat" => Request::Cat {
            unit: given.text("unit")?,
        },
        "Dependencies" => Request::Dependencies {
            unit: given.text("unit")?,
            reverse: given.flag("reverse", false)?,
        },
        "Processes" => Request::Processes {
            unit: given.text("unit")?,
        },
        "Plan" => Request::Plan,
        "Apply" => Request::Apply {
            hash: given.optional_text("hash")?,
        },
        "Generations" => Request::Generations,
        "CompareGenerations" => Request::CompareGenerations {
            before: given.number("before")?.ok_or_else(|| invalid("before"))?,
            after: given.number("after")?.ok_or_else(|| invalid("after"))?,
        },
        "Rollback" => Request::Rollback {
            generation: given.number("generation")?,
        },
        "Why" => Request::Why {
            unit: given.text("unit")?,
        },
        "History" => Request::History {
            unit: given.optional_text("unit")?,
        },
        "Timings" => Request::Timings,
        "Version" => Request::Version,
        "Shutdown" => Request::Shutdown { power: given.power()? },
        "Reexec" => Request::Reexec,
        "Watch" => Request::Watch,
        "Run" => given.run()?,
        "Exec" => given.exec()?,
        _ => return Err(not_found(interface::NAME, name)),
    };
    given.end()?;
    Ok(request)
}

fn not_found(interface: &str, name: &str) -> Failure {
    Failure::MethodNotFound(format!("{interface}.{name}"))
}

/// What a call brings, taken out by name and type; what is left over at the end is an error too.
struct Parameters(Map<String, Value>);

impl Parameters {
    fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
    }

    fn text(&mut self, name: &str) -> Result<String, Failure> {
        self.optional_text(name)?.ok_or_else(|| invalid(name))
    }

    fn optional_text(&mut self, name: &str) -> Result<Option<String>, Failure> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(invalid(name)),
        }
    }

    /// A list of strings; absent: an empty one.
    fn texts(&mut self, name: &str) -> Result<Vec<String>, Failure> {
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(list) => serde_json::from_value(list).map_err(|_| invalid(name)),
        }
    }

    fn some_texts(&mut self, name: &str) -> Result<Vec<String>, Failure> {
        let texts = self.texts(name)?;
        if texts.is_empty() {
            Err(invalid(name))
        } else {
            Ok(texts)
        }
    }

    fn flag(&mut self, name: &str, absent: bool) -> Result<bool, Failure> {
        match self.take(name) {
            None => Ok(absent),
            Some(Value::Bool(value)) => Ok(value),
            Some(_) => Err(invalid(name)),
        }
    }

    fn number(&mut self, name: &str) -> Result<Option<u64>, Failure> {
        let number = self.take(name).map(|value| value.as_u64().ok_or_else(|| invalid(name)));
        number.transpose()
    }

    fn milliseconds(&mut self, name: &str) -> Result<Option<Duration>, Failure> {
        Ok(self.number(name)?.map(Duration::from_millis))
    }

    fn size(&mut self) -> Result<Option<super::WindowSize>, Failure> {
        let size = self.take("size").map(serde_json::from_value);
        size.transpose().map_err(|_| invalid("size"))
    }

    fn run(&mut self) -> Result<Request, Failure> {
        Ok(Request::Run(Run {
            unit: self.text("unit")?,
            text: self.text("text")?,
            remove: self.flag("remove", false)?,
            size: self.size()?,
        }))
    }

    fn exec(&mut self) -> Result<Request, Failure> {
        Ok(Request::Exec(Exec {
            unit: self.text("unit")?,
            command: self.some_texts("command")?,
            environment: self.texts("environment")?,
            user: self.optional_text("user")?,
            working_directory: self.optional_text("working_directory")?,
            size: self.size()?,
        }))
    }

    fn job(&mut self, verb: Verb) -> Result<Request, Failure> {
        Ok(Request::Job {
            verb,
            units: self.some_texts("units")?,
            wait: self.flag("wait", true)?,
            timeout: self.milliseconds("timeout_ms")?,
        })
    }

    fn kill(&mut self) -> Result<Request, Failure> {
        Ok(Request::Kill {
            units: self.some_texts("units")?,
            signal: match self.optional_text("signal")? {
                None => Signal::TERM,
                Some(text) => parse_signal(&text).ok_or_else(|| invalid("signal"))?,
            },
            whom: match self.optional_text("whom")?.as_deref() {
                None | Some("all") => Whom::All,
                Some("main") => Whom::Main,
                Some(_) => return Err(invalid("whom")),
            },
        })
    }

    fn power(&mut self) -> Result<Option<Power>, Failure> {
        let Some(word) = self.optional_text("power")? else {
            return Ok(None);
        };
        let power = Power::ALL.into_iter().find(|power| power.word() == word);
        power.map(Some).ok_or_else(|| invalid("power"))
    }

    fn end(self) -> Result<(), Failure> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(unknown) => Err(invalid(unknown)),
        }
    }
}

fn invalid(parameter: &str) -> Failure {
    Failure::InvalidParameter(parameter.to_owned())
}

/// A signal by its name, with or without `SIG`, or by its number, 1 to 64.
pub fn parse_signal(text: &str) -> Option<Signal> {
    if let Ok(name) = format!("SIG{}", text.trim_start_matches("SIG")).parse::<nix::sys::signal::Signal>() {
        return u8::try_from(name as i32).ok().map(Signal);
    }
    let number: u8 = text.parse().ok()?;
    (1..=64).contains(&number).then_some(Signal(number))
}
