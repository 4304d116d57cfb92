//! A page of the columns: a change copies one page, a look at all nodes runs through arrays.

use proto::ids::NodeId;

use super::{Need, Score};
use crate::core::state::Class;

/// Seats of a page: one bit each in a word.
pub const SEATS: usize = 64;

/// What is known of one node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// Which node.
    pub node: NodeId,
    /// Whether it takes new work.
    pub open: bool,
    /// Allocations that it may still be given.
    pub places: u32,
    /// What it has in all, and what of it is free.
    pub cpu_millis: Share,
    /// See `cpu_millis`.
    pub memory_bytes: Share,
    /// Ports that the server may still pick.
    pub dynamic_ports: u32,
}

/// How much there is of something, and how much of it is free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// In all.
    pub all: u64,
    /// Of that, free: nothing where more is taken than there is.
    pub free: u64,
}

impl Share {
    /// Returns how much is in use once `more` is taken, in thousandths; all of nothing is in use.
    #[must_use]
    pub fn used_permille(self, more: u64) -> u32 {
        // Exact enough for a comparison, and a division of integers costs as much as all else that is done for a node.
        let used = (self.all - self.free.min(self.all)).saturating_add(more);
        if self.all == 0 { 1000 } else { (used as f64 / self.all as f64 * 1000.0).min(1000.0) as u32 }
    }
}

impl Row {
    /// Returns whether the node takes new work and has room for one allocation.
    #[must_use]
    pub const fn fits(&self, need: Need) -> bool {
        self.open
            && self.places > 0
            && self.cpu_millis.free >= need.cpu_millis
            && self.memory_bytes.free >= need.memory_bytes
            && self.dynamic_ports >= need.dynamic_ports
    }

    /// Takes room for one allocation; what is lacking stops at nothing.
    pub fn take(&mut self, need: Need) {
        self.places = self.places.saturating_sub(1);
        self.cpu_millis.free = self.cpu_millis.free.saturating_sub(need.cpu_millis);
        self.memory_bytes.free = self.memory_bytes.free.saturating_sub(need.memory_bytes);
        self.dynamic_ports = self.dynamic_ports.saturating_sub(need.dynamic_ports);
    }
}

/// How full a node is, and how much fuller one unit more makes it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Parts {
    pub(super) cpu_used: f32,
    pub(super) cpu_unit: f32,
    pub(super) memory_used: f32,
    pub(super) memory_unit: f32,
}

impl Parts {
    /// Returns the parts of cpu and memory that are in use once room is taken.
    pub(super) fn with(&self, need: Need) -> (f32, f32) {
        let (cpu, memory) = (need.cpu_millis as f32, need.memory_bytes as f32);
        (self.cpu_used + cpu * self.cpu_unit, self.memory_used + memory * self.memory_unit)
    }

    /// Takes one of two for each.
    pub(super) fn each(self, other: Self, one: impl Fn(f32, f32) -> f32) -> Self {
        Self {
            cpu_used: one(self.cpu_used, other.cpu_used),
            cpu_unit: one(self.cpu_unit, other.cpu_unit),
            memory_used: one(self.memory_used, other.memory_used),
            memory_unit: one(self.memory_unit, other.memory_unit),
        }
    }
}

/// The columns of some nodes.
#[derive(Clone, Debug)]
pub struct Page {
    node: [NodeId; SEATS],
    /// A bit for each seat that has a node.
    seated: u64,
    /// A bit for each seat whose node takes new work.
    open: u64,
    places: [u32; SEATS],
    dynamic_ports: [u32; SEATS],
    class: [Class; SEATS],
    cpu: Column,
    memory: Column,
}

#[derive(Clone, Debug)]
struct Column {
    all: [u64; SEATS],
    free: [u64; SEATS],
    /// The part of all that is in use, and what one unit is of all: a comparison of nodes needs no division then, and no more
    /// precision.
    used: [f32; SEATS],
    unit: [f32; SEATS],
}

impl Column {
    const EMPTY: Self = Self { all: [0; SEATS], free: [0; SEATS], used: [0.0; SEATS], unit: [0.0; SEATS] };

    fn get(&self, place: usize) -> Share {
        Share { all: self.all[place], free: self.free[place] }
    }

    fn set(&mut self, place: usize, share: Share) {
        (self.all[place], self.free[place]) = (share.all, share.free);
        let unit = if share.all == 0 { 0.0 } else { 1.0 / share.all as f32 };
        let used = share.all - share.free.min(share.all);
        (self.used[place], self.unit[place]) = (used as f32 * unit, unit);
    }
}

impl Default for Page {
    fn default() -> Self {
        let (cpu, memory) = (Column::EMPTY, Column::EMPTY);
        Self {
            node: [NodeId(0); SEATS],
            seated: 0,
            open: 0,
            places: [0; SEATS],
            dynamic_ports: [0; SEATS],
            class: [Class::default(); SEATS],
            cpu,
            memory,
        }
    }
}

impl Page {
    /// Returns a bit for each seat whose node takes new work and has room for one allocation.
    pub(super) fn fitting(&self, need: Need) -> u64 {
        let mut fits = 0;
        for place in 0..SEATS {
            let room = self.cpu.free[place] >= need.cpu_millis
                && self.memory.free[place] >= need.memory_bytes
                && self.places[place] > 0
                && self.dynamic_ports[place] >= need.dynamic_ports;
            fits |= u64::from(room) << place;
        }
        fits & self.open
    }

    /// Returns what `score` makes of each node once room is taken: of the parts of its cpu and memory that are in use then.
    pub(super) fn scores(&self, need: Need, score: &impl Score) -> [u32; SEATS] {
        std::array::from_fn(|place| self.score(place, need, score))
    }

    /// Returns the same of one node.
    pub(super) fn score(&self, place: usize, need: Need, score: &impl Score) -> u32 {
        let (cpu, memory) = self.parts(place).with(need);
        score.of(cpu, memory)
    }

    /// Returns a bit for each seat whose node takes new work.
    pub(super) const fn open(&self) -> u64 {
        self.open
    }

    /// Returns the parts of cpu and memory that are in use on a seat, and what one unit is of each.
    pub(super) const fn parts(&self, place: usize) -> Parts {
        Parts {
            cpu_used: self.cpu.used[place],
            cpu_unit: self.cpu.unit[place],
            memory_used: self.memory.used[place],
            memory_unit: self.memory.unit[place],
        }
    }

    /// Returns what kind of node sits there, or did last.
    pub(super) const fn class(&self, place: usize) -> Class {
        self.class[place]
    }

    pub(super) const fn set_class(&mut self, place: usize, class: Class) {
        self.class[place] = class;
    }

    /// Returns who sits there, or did last.
    pub(super) const fn node(&self, place: usize) -> NodeId {
        self.node[place]
    }

    /// Returns a bit for each seat that has a node.
    pub(super) const fn seated(&self) -> u64 {
        self.seated
    }

    /// Returns what is known of the node on a seat, or was of the last that sat there.
    pub(super) fn row(&self, place: usize) -> Row {
        Row {
            node: self.node[place],
            open: self.open & (1 << place) != 0,
            places: self.places[place],
            dynamic_ports: self.dynamic_ports[place],
            cpu_millis: self.cpu.get(place),
            memory_bytes: self.memory.get(place),
        }
    }

    pub(super) fn set(&mut self, place: usize, row: &Row) {
        self.node[place] = row.node;
        self.seated |= 1 << place;
        self.open = self.open & !(1 << place) | u64::from(row.open) << place;
        self.places[place] = row.places;
        self.dynamic_ports[place] = row.dynamic_ports;
        self.cpu.set(place, row.cpu_millis);
        self.memory.set(place, row.memory_bytes);
    }

    /// Says that nobody sits there any more.
    pub(super) fn vacate(&mut self, place: usize) {
        self.seated &= !(1 << place);
        self.open &= !(1 << place);
    }
}
