//! Unit files to the engine: reading them, keeping the last good version of a bad one, plan and apply.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::rc::Rc;

use super::Supervisor;
use super::clock;
use super::generations::Fingerprint;
use super::keep::FILES;
use super::network::machine::by_dhcp;
use super::settings::ReloadMode;
use crate::engine::UnitId;
use crate::engine::changes::Images;
use crate::engine::event::{Cause, Event};
use crate::init::{self, Role};
use crate::unit::load::{self, SearchPath};
use crate::unit::report::{Finding, Severity};
use crate::unit::{TextId, Texts, Unit, UnitName, UnitSet, sources};

/// What the unit directories say, and what of it is in force.
#[derive(Debug)]
pub struct Files {
    /// Where units are looked for, highest first.
    pub path: SearchPath,
    /// All findings of the last read, which status shows until the file is mended.
    pub findings: Vec<Finding>,
    /// Instances that a client asked for by name, and of consoles; the directories alone do not mention them.
    instances: BTreeSet<UnitName>,
    /// Transient units that go when they have ended.
    pub passing: BTreeSet<UnitName>,
    /// Read, and waiting for `svc apply`: with `mode = "manual"`.
    pub pending: Option<Vec<Rc<Unit>>>,
    /// Units have been read once.
    loaded: bool,
    /// A directory that held units and is gone.
    pub vanished: Option<PathBuf>,
    /// What the directories said when they were last read.
    pub disk: Fingerprint,
}

/// Units that a machine's init has without a file, so that a machine whose files are all bad or gone can be mended.
const BUILT_IN: [(&str, &str); 2] = [
    (RESCUE, include_str!("../../units/rescue.toml")),
    ("rescue-shell", include_str!("../../units/rescue-shell.toml")),
];

/// The target that a machine comes up with where its default target cannot be had.
pub const RESCUE: &str = "rescue";

/// The findings that [`crate::unit::check::cycles`] makes.
pub fn is_cycle(finding: &Finding) -> bool {
    finding.message.starts_with("cycle: ")
}

impl Files {
    /// Nothing read yet.
    pub fn new(path: SearchPath) -> Self {
        Self {
            path,
            findings: Vec::new(),
            instances: BTreeSet::new(),
            passing: BTreeSet::new(),
            pending: None,
            loaded: false,
            vanished: None,
            disk: Fingerprint::default(),
        }
    }
}

impl Files {
    /// Whether this is an instance that was asked for by name.
    pub fn is_asked_for(&self, name: &UnitName) -> bool {
        self.instances.contains(name)
    }

    /// Instances that were asked for by name.
    pub fn instances(&self) -> Vec<Box<str>> {
        self.instances.iter().map(|name| name.as_str().into()).collect()
    }

    /// One more.
    pub fn instance(&mut self, name: UnitName) {
        self.instances.insert(name);
    }

    /// They are gone for good.
    pub fn forget_instances(&mut self, names: &[UnitName]) {
        self.instances.retain(|name| !names.contains(name));
    }

    /// Whether this is a transient unit that goes when it has ended.
    pub fn is_passing(&self, name: &UnitName) -> bool {
        self.passing.contains(name)
    }

    /// Transient units that go when they have ended.
    pub fn passing(&self) -> Vec<Box<str>> {
        self.passing.iter().map(|name| name.as_str().into()).collect()
    }

    /// They were asked for in a former life. Units are in force already.
    pub fn restore(&mut self, instances: &[Box<str>], passing: &[Box<str>]) {
        let names = |names: &[Box<str>]| names.iter().filter_map(|name| UnitName::new(name).ok()).collect();
        (self.instances, self.passing) = (names(instances), names(passing));
        self.loaded = true;
    }
}

impl Supervisor {
    /// Reads everything for the first time.
    pub(super) fn load_first(&mut self) {
        if self.role == Role::Machine {
            let gettys = init::console::terminals().into_iter();
            let names = gettys.filter_map(|terminal| UnitName::new(&format!("getty@{terminal}")).ok());
            self.files.instances.extend(names);
            let links = by_dhcp(&self.settings.network, &init::CommandLine::read()).into_iter();
            let names = links.filter_map(|link| UnitName::new(&format!("dhcp@{link}")).ok());
            self.files.instances.extend(names);
        }
        let disk = self.read_units().unwrap_or_default();
        let units = self.units_at_boot(disk);
        let store = self.config.state_dir.join(crate::image::STORE);
        crate::image::pins::retain(&store, |name| units.iter().any(|unit| unit.name.as_str() == name));
        self.queue.push_back(Event::Units {
            units,
            images: Images::default(),
            by: Cause::Boot,
            job: None,
        });
    }

    /// Reads everything again, and takes it over unless that is the operator's to say.
    pub(super) fn reload(&mut self, by: Cause) {
        let Some(units) = self.read_units() else { return };
        if self.settings.reload.mode == ReloadMode::Manual {
            self.files.pending = Some(units);
        } else if !self.stays_instead_of_disk() {
            self.take_over_disk(units, Images::default(), by, None);
        }
    }

    /// `svc plan`, `svc apply`: what the disk says now; what is in force where a directory has vanished.
    pub(super) fn units_on_disk(&mut self) -> Vec<Rc<Unit>> {
        // Whoever only looks takes nothing over: that is still to be done.
        let due = self.watch.due();
        let units = self.read_units();
        self.watch.set_due(due);
        units.unwrap_or_else(|| self.units_in_force())
    }

    pub(super) fn units_in_force(&self) -> Vec<Rc<Unit>> {
        self.engine
            .ids()
            .filter_map(|id| self.engine.unit(id))
            .cloned()
            .collect()
    }

    /// None: a directory has vanished, or cannot be read, and so has no word.
    fn read_units(&mut self) -> Option<Vec<Rc<Unit>>> {
        if let Err(dir) = self.watch.begin_read(self.files.path.directories(), clock::mono()) {
            self.go_on_without(dir, "gone");
            return None;
        }
        let mut set = load::load(&self.files.path);
        if let Some((dir, why)) = set.unreadable.take() {
            self.watch.read_again(clock::mono());
            self.go_on_without(dir, &why);
            // At first there is nothing that could go on: what is known of the others is more than nothing.
            if self.files.loaded {
                return None;
            }
        } else {
            self.files.vanished = None;
        }
        self.add_instances(&mut set);
        if self.role == Role::Machine {
            add_built_in(&mut set);
        }
        self.keep.take_texts(std::mem::take(&mut set.texts));
        self.keep.touch(FILES);
        for finding in set
            .findings
            .iter()
            .filter(|finding| !self.files.findings.contains(finding))
        {
            tracing::warn!(
                "{}:{}:{}: {}",
                finding.file,
                finding.line,
                finding.column,
                finding.message
            );
        }
        self.files.findings = std::mem::take(&mut set.findings);
        let has_cycle = self.files.findings.iter().any(is_cycle);
        if has_cycle && self.files.loaded {
            // An order that cannot be kept refuses the whole set, before anything changes.
            return None;
        }
        self.files.loaded = true;
        let bad: BTreeSet<&UnitName> = self
            .files
            .findings
            .iter()
            .filter(|finding| finding.severity == Severity::Error)
            .filter_map(|finding| finding.unit.as_ref())
            .collect();
        let mut units: Vec<Rc<Unit>> = set.units.values().cloned().collect();
        // A bad file changes nothing: what is in force stays so.
        units.extend(
            self.units_in_force()
                .into_iter()
                .filter(|unit| bad.contains(&unit.name) && !set.units.contains_key(&unit.name)),
        );
        self.files.disk = self.fingerprint(&units);
        Some(units)
    }

    fn go_on_without(&mut self, dir: PathBuf, why: &str) {
        if self.files.vanished.as_ref() != Some(&dir) {
            tracing::warn!("{}: {why}; its units go on as they are until it is back", dir.display());
        }
        self.files.vanished = Some(dir);
    }

    fn add_instances(&mut self, set: &mut UnitSet) {
        for name in &self.files.instances {
            if set.units.contains_key(name) {
                continue;
            }
            match load::instantiate(&self.files.path, name, &mut set.texts) {
                Ok(unit) => drop(set.units.insert(name.clone(), unit)),
                Err(findings) => set.findings.extend(findings),
            }
        }
    }

    /// The unit of that name; an instance of a template is made when it is first asked for.
    pub(super) fn find_or_instantiate(&mut self, name: &str) -> Option<UnitId> {
        if let Some(id) = self.engine.find(name) {
            return Some(id);
        }
        let name = UnitName::new(name).ok()?;
        let (_, instance) = name
            .as_str()
            .split_once('@')
            .filter(|(_, instance)| !instance.is_empty())?;
        debug_assert!(!instance.is_empty());
        load::instantiate(&self.files.path, &name, &mut Texts::new()).ok()?;
        self.files.instances.insert(name.clone());
        self.keep.touch(FILES);
        // What else has been edited is taken over in its own time; the instance brings those that it names.
        let mut units = self.units_in_force();
        let disk = self.units_on_disk().into_iter();
        let is_new =
            |unit: &Rc<Unit>| unit.name.as_str().contains('@') && self.engine.find(unit.name.as_str()).is_none();
        units.extend(disk.filter(is_new).collect::<Vec<_>>());
        self.handle(Event::Units {
            units,
            images: Images::default(),
            by: Cause::Files,
            job: None,
        });
        self.engine.find(name.as_str())
    }
}

/// A file of the same name that is good goes before.
fn add_built_in(set: &mut UnitSet) {
    for (name, text) in BUILT_IN {
        let Ok(name) = UnitName::new(name) else { continue };
        if !set.units.contains_key(&name) {
            let text: Rc<str> = text.into();
            let (unit, _) = sources::parse(
                &name,
                &[(format!("svcd's own {name}.toml").into(), text.clone())],
                Vec::new(),
            );
            set.texts.insert(TextId::of(&text), text);
            set.units.insert(name, Rc::new(unit));
        }
    }
}
