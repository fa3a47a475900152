//! Edges between units, and the cycles that their order can form.

use std::rc::Rc;

use super::slot::Wait;
use super::{Engine, UnitId};
use crate::unit::{LinkKind, Need};

impl Engine {
    /// Draws all edges anew from the definitions in force.
    pub(super) fn connect(&mut self) {
        let mut edges = Vec::new();
        let mut place = 0;
        // Interning a name may add slots, which have no definition and so no edges.
        while place < self.slots.len() {
            let slot = self
                .at(place)
                .and_then(|slot| Some((slot.id, Rc::clone(slot.unit.as_ref()?))));
            if let Some((from, unit)) = slot {
                let links = unit.links.iter();
                edges.extend(links.map(|link| (from, self.intern(&link.to), link.kind)));
            }
            place += 1;
        }
        let mut restarted = Vec::new();
        for slot in self.slots.iter_mut().flatten() {
            slot.outgoing.clear();
            slot.incoming.clear();
            slot.conflicts.clear();
            slot.waits.clear();
            slot.feeds.clear();
            slot.cycle = None;
            restarted.extend((slot.scan != 0).then_some(slot.id));
        }
        for id in restarted {
            if let Some(slot) = self.slot_mut(id) {
                slot.scan = 0;
            }
        }
        for (from, to, kind) in edges {
            if let Some(slot) = self.slot_unrecorded(from) {
                slot.outgoing.push((to, kind));
                slot.conflicts.extend((kind == LinkKind::Conflicts).then_some(to));
            }
            if let Some(slot) = self.slot_unrecorded(to) {
                slot.incoming.push((from, kind));
                slot.conflicts.extend((kind == LinkKind::Conflicts).then_some(from));
            }
            self.connect_order(from, to, kind);
        }
        self.mark_cycles();
    }

    /// What an edge means for the order of starts.
    fn connect_order(&mut self, from: UnitId, to: UnitId, kind: LinkKind) {
        let to_is_target = self.slot(to).is_some_and(super::Slot::is_target);
        let (waits, for_whom, wait) = match kind {
            LinkKind::Requires(need) => (from, to, Wait::Needs(need)),
            LinkKind::BindsTo => (from, to, Wait::Needs(Need::Ready)),
            LinkKind::Wants | LinkKind::After => (from, to, Wait::Order),
            LinkKind::Before => (to, from, Wait::Order),
            // A target is reached when what it wants has settled.
            LinkKind::WantedBy if to_is_target => (to, from, Wait::Order),
            LinkKind::WantedBy | LinkKind::PartOf | LinkKind::Conflicts | LinkKind::OnFailure | LinkKind::OnSuccess => {
                return;
            }
        };
        if let Some(slot) = self.slot_unrecorded(waits) {
            slot.waits.push((for_whom, wait));
        }
        if let Some(slot) = self.slot_unrecorded(for_whom) {
            slot.feeds.push(waits);
        }
    }

    /// Marks every unit that waits, over however many others, for itself. Tarjan's components (SIAM J. Comput. 1972),
    /// with a stack of our own: a chain may be as long as there are units.
    fn mark_cycles(&mut self) {
        let mut search = Components::new(self.slots.len());
        for root in 0..self.slots.len() {
            search.visit(root, |place, nth| {
                let (next, _) = self.at(place)?.waits.get(nth)?;
                Some(next.place())
            });
        }
        let selfish = (0..self.slots.len()).filter(|place| {
            self.at(*place)
                .is_some_and(|slot| slot.waits.iter().any(|(next, _)| next.place() == *place))
        });
        let mut cycles = search.found;
        cycles.extend(selfish.map(|place| vec![place]));
        for members in cycles {
            let text = self.describe_cycle(&members);
            for place in members {
                if let Some(Some(slot)) = self.slots.get_mut(place) {
                    slot.cycle = Some(text.clone());
                }
            }
        }
    }

    /// One way around, with the place of each edge: `cycle: a (a.toml:3) → b (b.toml:2) → a`.
    fn describe_cycle(&self, members: &[usize]) -> Box<str> {
        let inside = |place: usize| members.contains(&place);
        let mut path = Vec::new();
        let mut next = members.first().copied();
        while let Some(place) = next {
            let start = path.iter().position(|before| *before == place);
            path.push(place);
            if let Some(start) = start {
                path.drain(..start);
                break;
            }
            let waits = self.at(place).map(|slot| slot.waits.as_slice()).unwrap_or_default();
            next = waits.iter().map(|(next, _)| next.place()).find(|next| inside(*next));
        }
        let mut text = String::from("cycle: ");
        for (nth, place) in path.iter().enumerate() {
            let Some(slot) = self.at(*place) else { continue };
            text.push_str(slot.name.as_str());
            if let Some(after) = path.get(nth + 1) {
                if let Some(at) = self.place_of_edge(*place, *after) {
                    text.push_str(&format!(" ({at})"));
                }
                text.push_str(" → ");
            }
        }
        text.into()
    }

    /// The file and line that make `from` wait for `to`: a link of either of the two.
    fn place_of_edge(&self, from: usize, to: usize) -> Option<String> {
        let (from, to) = (self.at(from)?, self.at(to)?);
        let place = |slot: &super::Slot, other: &super::Slot| {
            let link = slot.unit.as_ref()?.links.iter().find(|link| {
                link.to == other.name
                    && !matches!(
                        link.kind,
                        LinkKind::PartOf | LinkKind::Conflicts | LinkKind::OnFailure | LinkKind::OnSuccess
                    )
            })?;
            Some(format!("{}:{}", link.place.file, link.place.line))
        };
        place(from, to).or_else(|| place(to, from))
    }
}

struct Components {
    index: Vec<u32>,
    low: Vec<u32>,
    on_stack: Vec<bool>,
    stack: Vec<usize>,
    next: u32,
    found: Vec<Vec<usize>>,
}

const UNSEEN: u32 = u32::MAX;

impl Components {
    fn new(count: usize) -> Self {
        Self {
            index: vec![UNSEEN; count],
            low: vec![UNSEEN; count],
            on_stack: vec![false; count],
            stack: Vec::new(),
            next: 0,
            found: Vec::new(),
        }
    }

    fn visit(&mut self, root: usize, edge: impl Fn(usize, usize) -> Option<usize>) {
        if self.index.get(root).is_none_or(|index| *index != UNSEEN) {
            return;
        }
        let mut path: Vec<(usize, usize)> = vec![(root, 0)];
        self.enter(root);
        while let Some((place, nth)) = path.last_mut() {
            let place = *place;
            match edge(place, *nth) {
                Some(next) => {
                    *nth += 1;
                    match self.index.get(next).copied() {
                        Some(UNSEEN) => {
                            self.enter(next);
                            path.push((next, 0));
                        }
                        Some(seen) if self.on_stack.get(next).copied().unwrap_or(false) => self.lower(place, seen),
                        _ => {}
                    }
                }
                None => {
                    path.pop();
                    self.leave(place);
                    if let (Some((parent, _)), Some(low)) = (path.last(), self.low.get(place).copied()) {
                        self.lower(*parent, low);
                    }
                }
            }
        }
    }

    fn enter(&mut self, place: usize) {
        if let (Some(index), Some(low), Some(on_stack)) = (
            self.index.get_mut(place),
            self.low.get_mut(place),
            self.on_stack.get_mut(place),
        ) {
            (*index, *low, *on_stack) = (self.next, self.next, true);
        }
        self.next += 1;
        self.stack.push(place);
    }

    fn lower(&mut self, place: usize, to: u32) {
        if let Some(low) = self.low.get_mut(place) {
            *low = (*low).min(to);
        }
    }

    fn leave(&mut self, place: usize) {
        if self.index.get(place) != self.low.get(place) {
            return;
        }
        let mut component = Vec::new();
        while let Some(member) = self.stack.pop() {
            if let Some(on_stack) = self.on_stack.get_mut(member) {
                *on_stack = false;
            }
            component.push(member);
            if member == place {
                break;
            }
        }
        if component.len() > 1 {
            component.reverse();
            self.found.push(component);
        }
    }
}
