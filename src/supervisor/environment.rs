//! What svcd tells a command of the run that it is part of.

use super::Supervisor;
use super::poll::Who;
use crate::engine::UnitId;
use crate::engine::event::Role;
use crate::unit::Kind;

impl Supervisor {
    /// What svcd tells a command in its environment; systemd.exec(5), "Environment variables in spawned processes".
    pub(super) fn environment_of(&self, unit: UnitId, who: Who) -> Vec<(String, String)> {
        let Some(life) = self.lives.get(&unit) else {
            return Vec::new();
        };
        let mut variables = vec![("INVOCATION_ID".to_owned(), life.invocation.to_string())];
        let Who::Command(role) = who else { return variables };
        if let Some(path) = self.notify_path(life, who) {
            variables.push(("NOTIFY_SOCKET".to_owned(), path.display().to_string()));
        }
        if let (Role::Main(_), Kind::Service(service)) = (role, &life.unit.kind)
            && !service.watchdog.is_zero()
        {
            let limit = service.watchdog.as_micros();
            variables.push(("WATCHDOG_USEC".to_owned(), limit.to_string()));
        }
        if let (Role::Main(_), Kind::Service(service)) = (role, &life.unit.kind)
            && service.file_descriptor_store_max > 0
        {
            let most = service.file_descriptor_store_max;
            variables.push(("FDSTORE".to_owned(), most.to_string()));
        }
        if let (Role::Post(_) | Role::Reload(_) | Role::Stop(_), Some(main)) = (role, life.main()) {
            let number = super::processes::inside_pid(main.pid).unwrap_or(main.pid.unsigned_abs());
            variables.push(("MAINPID".to_owned(), number.to_string()));
        }
        if let (Role::Stop(_) | Role::StopPost(_), Some(view)) = (role, self.engine.view(unit)) {
            let (code, status) = match (view.exit_code, view.signal) {
                (Some(code), _) => ("exited", code.to_string()),
                (None, Some(signal)) => ("killed", signal.name().trim_start_matches("SIG").to_owned()),
                (None, None) => ("", String::new()),
            };
            let result = view
                .result
                .map_or_else(|| "success".to_owned(), |result| result.word().to_owned());
            variables.push(("SERVICE_RESULT".to_owned(), result));
            variables.push(("EXIT_CODE".to_owned(), code.to_owned()));
            variables.push(("EXIT_STATUS".to_owned(), status));
        }
        variables
    }
}
