//! An svcd within an svcd, which takes system calls, capabilities or files from it.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use serde_json::Value;

use super::harness::{Done, Plan, Svcd, binary, svc_at};
use super::machine::eventually;

/// The inner one, to be asked; the outer one ends it.
pub struct Inner {
    /// Its directories: run, state, log, units.
    pub place: PathBuf,
    socket: PathBuf,
    pub outer: Svcd,
}

impl Inner {
    /// With these units: name and text. `taken` is keys of `[isolation]` between it and the machine, `before` commands of a
    /// shell that becomes it.
    pub fn start(taken: &str, before: &str, units: &[(String, String)]) -> Self {
        let plan = Plan::new();
        let name = plan.dir().file_name().unwrap().to_str().unwrap().to_owned();
        let place = plan.dir().join("inner");
        std::fs::create_dir_all(place.join("units")).unwrap();
        for (name, text) in units {
            std::fs::write(place.join(format!("units/{name}.toml")), text).unwrap();
        }
        let flag = |flag: &str, folder: &str| format!("\"--{flag}\", \"{}\"", place.join(folder).display());
        let shell = format!(
            "\"/bin/sh\", \"-c\", '''{}exec \"$$0\" \"$$@\"'''",
            before.replace('$', "$$")
        );
        let words = [
            shell,
            format!("\"{}\"", binary("svcd").display()),
            flag("units", "units"),
            flag("runtime-dir", "run"),
            flag("state-dir", "state"),
            flag("log-dir", "log"),
            format!("\"--cgroup\", \"{name}-inner\""),
        ];
        let unit = format!(
            "[service]\nexec-start = [{}]\nkill-mode = \"mixed\"\n[isolation]\nprofile = \"none\"\n{taken}\n",
            words.join(", ")
        );
        let outer = plan.unit("inner", &unit).start();
        outer.ok(&["start", "inner"]);
        let socket = place.join("run/control.sock");
        eventually("the inner svcd answers", || UnixStream::connect(&socket).is_ok());
        Self { place, socket, outer }
    }

    pub fn svc(&self, arguments: &[&str]) -> Done {
        svc_at(&self.socket, arguments)
    }

    pub fn status(&self, unit: &str) -> Value {
        let done = self.svc(&["--json", "status", unit]);
        serde_json::from_str(&done.out).unwrap_or_else(|error| panic!("{error}: {}{}", done.out, done.err))
    }
}
