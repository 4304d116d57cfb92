//! What holds of every node of a page that takes new work: by it a page is passed over unseen.
//!
//! Bounds may be wider than they need to be, never narrower: they change no decision, only how many pages it looks into.

use proto::ids::NodeId;

use super::page::{Page, Parts, Row};
use super::{Need, Rival, Score, bits};

/// Changes after which bounds are drawn anew: until then each only widens them.
const STALE: u32 = 16;

/// The bounds of a page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// How many take new work.
    open: u32,
    changes: u32,
    least: Free,
    most: Free,
    /// How full the emptiest is, and how full the fullest, in each.
    emptiest: Parts,
    fullest: Parts,
    /// The lowest id.
    first: NodeId,
}

impl Default for Bounds {
    /// Those of a page without nodes.
    fn default() -> Self {
        Self {
            open: 0,
            changes: 0,
            least: Free::default(),
            most: Free::default(),
            emptiest: Parts::default(),
            fullest: Parts::default(),
            first: NodeId(u64::MAX),
        }
    }
}

/// What is free.
#[derive(Clone, Copy, Debug, Default)]
struct Free {
    cpu_millis: u64,
    memory_bytes: u64,
    dynamic_ports: u32,
    places: u32,
}

/// How many of a page fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fitting {
    None,
    /// Some may: the page knows.
    Some,
    /// All that take new work.
    All(usize),
}

impl Free {
    fn of(row: &Row) -> Self {
        Self {
            cpu_millis: row.cpu_millis.free,
            memory_bytes: row.memory_bytes.free,
            dynamic_ports: row.dynamic_ports,
            places: row.places,
        }
    }

    /// Takes one of two for each.
    fn with(self, other: Self, one: impl Fn(u64, u64) -> u64) -> Self {
        let small = |a: u32, b: u32| one(u64::from(a), u64::from(b)) as u32;
        Self {
            cpu_millis: one(self.cpu_millis, other.cpu_millis),
            memory_bytes: one(self.memory_bytes, other.memory_bytes),
            dynamic_ports: small(self.dynamic_ports, other.dynamic_ports),
            places: small(self.places, other.places),
        }
    }

    const fn is_enough(&self, need: Need) -> bool {
        self.places > 0
            && self.cpu_millis >= need.cpu_millis
            && self.memory_bytes >= need.memory_bytes
            && self.dynamic_ports >= need.dynamic_ports
    }
}

impl Bounds {
    /// Draws the bounds of a page.
    pub(super) fn of(page: &Page) -> Self {
        let mut bounds = Self::default();
        bits(page.open()).for_each(|place| bounds.widen(page, place));
        bounds.open = page.open().count_ones();
        bounds
    }

    /// Takes in that a node of the page has changed.
    pub(super) fn include(&mut self, page: &Page, place: usize) {
        self.changes += 1;
        if self.changes >= STALE || self.open != page.open().count_ones() {
            *self = Self::of(page);
        } else if page.open() & (1 << place) != 0 {
            self.widen(page, place);
        }
    }

    fn widen(&mut self, page: &Page, place: usize) {
        let (row, parts) = (page.row(place), page.parts(place));
        let free = Free::of(&row);
        if self.open == 0 {
            (self.least, self.most, self.first) = (free, free, row.node);
            (self.emptiest, self.fullest) = (parts, parts);
            self.open = 1;
            return;
        }
        self.least = self.least.with(free, u64::min);
        self.most = self.most.with(free, u64::max);
        self.first = self.first.min(row.node);
        self.emptiest = self.emptiest.each(parts, f32::min);
        self.fullest = self.fullest.each(parts, f32::max);
    }

    /// Returns how many nodes fit, as far as the bounds say it.
    pub(super) const fn fitting(&self, need: Need) -> Fitting {
        if self.open == 0 || !self.most.is_enough(need) {
            Fitting::None
        } else if self.least.is_enough(need) {
            Fitting::All(self.open as usize)
        } else {
            Fitting::Some
        }
    }

    /// Returns what no node of the page is better than. Every step from what a node has to the parts that are in use keeps the order of
    /// floats, so that this holds to the last bit.
    pub(super) fn best(&self, need: Need, score: &impl Score) -> Rival {
        let (least, most) = (self.emptiest.with(need), self.fullest.with(need));
        (score.least((least.0, most.0), (least.1, most.1)), self.first)
    }
}
