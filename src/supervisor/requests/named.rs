//! What the names and patterns of a request mean.

use crate::control::reply::{Failure, Told};
use crate::engine::UnitId;
use crate::supervisor::{Supervisor, patterns};

impl Supervisor {
    /// The units that names and patterns mean, each once. A pattern means loaded units only; a name can make an
    /// instance of a template, where `make` allows it.
    pub(in crate::supervisor) fn named(&mut self, names: &[String], make: bool) -> Result<Vec<UnitId>, Failure> {
        let mut units = Vec::new();
        for name in names {
            let found: Vec<UnitId> = if name.contains(['*', '?']) {
                let engine = &self.engine;
                let fits = |id: &UnitId| {
                    engine
                        .unit(*id)
                        .is_some_and(|unit| patterns::matches(name, unit.name.as_str()))
                };
                engine.ids().filter(fits).collect()
            } else if make {
                self.find_or_instantiate(name).into_iter().collect()
            } else {
                self.engine.find(name).into_iter().collect()
            };
            if found.is_empty() {
                return Err(self.no_such_unit(name));
            }
            units.extend(found.into_iter().filter(|id| !units.contains(id)).collect::<Vec<_>>());
        }
        Ok(units)
    }

    pub(in crate::supervisor) fn no_such_unit(&self, name: &str) -> Failure {
        // A file that is there and not valid is the likelier trouble than a wrong name.
        if let Some(finding) = self
            .files
            .findings
            .iter()
            .find(|f| f.unit.as_ref().is_some_and(|unit| unit.as_str() == name))
        {
            return Failure::Unenforceable(Told {
                what: name.to_owned(),
                why: format!(
                    "{}:{}:{}: {}",
                    finding.file, finding.line, finding.column, finding.message
                ),
                hint: finding.hint.as_deref().map(str::to_owned),
            });
        }
        let near = self
            .engine
            .ids()
            .filter_map(|id| self.engine.unit(id))
            .map(|unit| {
                (
                    strsim::damerau_levenshtein(name, unit.name.as_str()),
                    unit.name.as_str(),
                )
            })
            .filter(|(distance, candidate)| *distance <= candidate.len().max(3) / 3)
            .min();
        Failure::NoSuchUnit {
            unit: name.to_owned(),
            hint: near.map(|(_, near)| format!("did you mean `{near}`?")),
        }
    }
}
