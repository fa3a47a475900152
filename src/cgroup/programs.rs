//! Programs that stand in on v2 for the controllers that it does not have: loaded once for all groups that want the same,
//! and found again on a group by their names, so that another life of svcd can replace them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::rc::Rc;

use super::dir::Dir;
use super::limits::Failure;
use crate::sys::bpf::{self, Kind, Loaded, NAME_BYTES};

/// What a program is for, and what it is called in the kernel.
pub type Name = (Kind, [u8; NAME_BYTES]);

/// A program that is not loaded yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    pub name: Name,
    pub instructions: Vec<u64>,
}

/// Programs that are loaded. Units share a few lists of devices: the profile's, and some of their own.
#[derive(Debug, Default)]
pub struct Programs(RefCell<HashMap<Vec<u64>, Rc<Loaded>>>);

/// More than this many different ones are not kept.
const KEPT_MAX: usize = 64;

impl Programs {
    /// Attaches a program to a group, in place of ours of the same name.
    pub fn replace(&self, dir: &Dir, program: &Program) -> Result<(), Failure> {
        let (kind, name) = program.name;
        let replace = || {
            let new = self.load(program)?;
            let (same, others): (Vec<Loaded>, Vec<Loaded>) =
                bpf::attached(kind, dir)?.into_iter().partition(|old| old.id == new.id);
            if same.is_empty() {
                bpf::attach(kind, dir, &new.program)?;
            }
            detach(dir, (kind, name), others)
        };
        replace().map_err(|error| Failure::of("BPF program", &error))
    }

    /// Whether the group has one of ours of this name.
    pub fn are_on(&self, dir: &Dir, name: Name) -> Result<bool, Failure> {
        let attached = bpf::attached(name.0, dir).map_err(|error| Failure::of("BPF program", &error))?;
        Ok(attached.iter().any(|program| program.name == name.1))
    }

    /// Detaches ours of this name.
    pub fn remove(&self, dir: &Dir, name: Name) -> Result<(), Failure> {
        let removed = bpf::attached(name.0, dir).and_then(|all| detach(dir, name, all));
        removed.map_err(|error| Failure::of("BPF program", &error))
    }

    /// Whether the kernel lets us load one at all: the shortest there is.
    pub fn possible() -> io::Result<()> {
        let mut shortest = super::assembler::Assembler::default();
        shortest.answer(1);
        bpf::load(Kind::Device, super::devices::PROGRAM.1, &shortest.finish()).map(drop)
    }

    fn load(&self, program: &Program) -> io::Result<Rc<Loaded>> {
        let mut kept = self.0.borrow_mut();
        if let Some(loaded) = kept.get(&program.instructions) {
            return Ok(Rc::clone(loaded));
        }
        let (kind, name) = program.name;
        let loaded = Rc::new(bpf::load(kind, name, &program.instructions)?);
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(program.instructions.clone(), Rc::clone(&loaded));
        Ok(loaded)
    }
}

fn detach(dir: &Dir, (kind, name): Name, all: Vec<Loaded>) -> io::Result<()> {
    let mut ours = all.into_iter().filter(|old| old.name == name);
    ours.try_for_each(|old| bpf::detach(kind, dir, old.program))
}
