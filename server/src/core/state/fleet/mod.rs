//! The room of all nodes in columns: what a decision compares for every node lies side by side, a page of nodes at a time.
//!
//! Derived from the records of nodes and kept in step by [`super::Nodes`]. A clone shares its pages: a decision takes one for
//! itself and takes room from it as it goes. Where a node sits says nothing: a restored state may seat it elsewhere.
//!
//! Beside each page stand its bounds. A search for the best node looks into a page only where they leave it a chance.

mod bounds;
mod load;
mod page;
mod score;

use std::sync::Arc;

use bounds::{Bounds, Fitting};

use proto::ids::NodeId;

use super::Class;
pub use load::Load;
use page::{Page, SEATS};
pub use page::{Row, Share};
pub use score::Score;

/// Where a node stands in the columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seat(u32);

impl Seat {
    /// Returns its number: seats are numbered from 0, and those that are given back are given out again first.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    const fn of(page: usize, place: usize) -> Self {
        Self((page * SEATS + place) as u32)
    }

    const fn page(self) -> usize {
        self.0 as usize / SEATS
    }

    const fn place(self) -> usize {
        self.0 as usize % SEATS
    }
}

/// What one allocation takes of a node's room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// Thousandths of a core.
    pub cpu_millis: u64,
    /// Bytes.
    pub memory_bytes: u64,
    /// Ports that the server picks.
    pub dynamic_ports: u32,
}

/// A node that takes new work and has room.
#[derive(Clone, Copy, Debug)]
pub struct Fit {
    /// Where it sits.
    pub seat: Seat,
    /// Which node.
    pub node: NodeId,
    /// Its kind.
    pub class: Class,
    /// What the score says of it.
    pub score: u32,
}

/// The score and the id of a node: what is less is better.
pub type Rival = (u32, NodeId);

/// A page and its bounds, which lie side by side with those of other pages.
#[derive(Clone, Debug, Default)]
struct Leaf {
    bounds: Bounds,
    page: Arc<Page>,
}

/// The columns.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    leaves: imbl::Vector<Leaf>,
    seats: imbl::OrdMap<NodeId, Seat>,
    vacant: imbl::OrdSet<Seat>,
    taken: u32,
    load: Load,
}

impl Fleet {
    /// Returns where a node sits.
    #[must_use]
    pub fn seat(&self, node: NodeId) -> Option<Seat> {
        self.seats.get(&node).copied()
    }

    /// Returns what is known of the node on a seat.
    ///
    /// # Panics
    /// On a seat that this never gave out.
    #[must_use]
    pub fn row(&self, seat: Seat) -> Row {
        self.leaves[seat.page()].page.row(seat.place())
    }

    /// Returns what kind of node sits there.
    ///
    /// # Panics
    /// On a seat that this never gave out.
    #[must_use]
    pub fn class(&self, seat: Seat) -> Class {
        self.leaves[seat.page()].page.class(seat.place())
    }

    /// Returns how many seats there are; their numbers are below it.
    #[must_use]
    pub fn seats(&self) -> usize {
        self.leaves.len() * SEATS
    }

    /// Returns all nodes, in the order of their seats.
    pub fn all(&self) -> impl Iterator<Item = (Seat, Row)> {
        self.rows(Page::seated)
    }

    /// Returns the nodes that take new work and have room for one allocation, in the order of their seats.
    pub fn fitting(&self, need: Need) -> impl Iterator<Item = (Seat, Row)> {
        self.rows(move |page| page.fitting(need))
    }

    fn rows(&self, which: impl Fn(&Page) -> u64) -> impl Iterator<Item = (Seat, Row)> {
        self.leaves.iter().enumerate().flat_map(move |(number, Leaf { page, .. })| {
            bits(which(page)).map(move |place| (Seat::of(number, place), page.row(place)))
        })
    }

    /// Finds the nodes that take new work and have room for one allocation, and returns how many there are. They are given to `take`
    /// with what `score` makes of the parts of their cpu and memory that would be in use then, and `take` answers which node another
    /// must be better than to be of any use: a page where none can be is not looked into. None: all are of use.
    ///
    /// The least cost per node that a decision can have.
    pub fn each_fitting(
        &self,
        need: Need,
        score: &impl Score,
        mut take: impl FnMut(Fit) -> Option<Rival>,
    ) -> usize {
        let (mut count, mut rival) = (0, None);
        for (number, Leaf { bounds, page }) in self.leaves.iter().enumerate() {
            let known = bounds.fitting(need);
            if known == Fitting::None {
                continue;
            }
            let hopeless = rival.is_some_and(|rival| bounds.best(need, score) >= rival);
            if let (Fitting::All(all), true) = (known, hopeless) {
                count += all;
                continue;
            }
            let fits = page.fitting(need);
            count += fits.count_ones() as usize;
            if hopeless || fits == 0 {
                continue;
            }
            let scores = page.scores(need, score);
            for place in bits(fits) {
                let (node, score) = (page.node(place), scores[place]);
                if rival.is_none_or(|rival| (score, node) < rival) {
                    let seat = Seat::of(number, place);
                    rival = take(Fit { seat, node, class: page.class(place), score });
                }
            }
        }
        count
    }

    /// Returns what `score` makes of one node once room for one allocation is taken.
    ///
    /// # Panics
    /// On a seat that this never gave out.
    #[must_use]
    pub fn score(&self, seat: Seat, need: Need, score: &impl Score) -> u32 {
        self.leaves[seat.page()].page.score(seat.place(), need, score)
    }

    /// Returns what is in use of all nodes together that take new work.
    #[must_use]
    pub const fn load(&self) -> Load {
        self.load
    }

    /// Returns the same of those of some kinds. Cost: one look at every node.
    #[must_use]
    pub fn load_of(&self, which: impl Fn(Class) -> bool) -> Load {
        let mut load = Load::default();
        for Leaf { page, .. } in &self.leaves {
            bits(page.open())
                .filter(|place| which(page.class(*place)))
                .for_each(|place| load += Load::of(&page.row(place)));
        }
        load
    }

    /// Takes room for one allocation; what a node lacks stops at nothing.
    pub fn take(&mut self, seat: Seat, need: Need) {
        let mut row = self.row(seat);
        row.take(need);
        self.set(seat, &row);
    }

    /// Puts what is known of a node, on the seat that it has or on a new one.
    pub(super) fn put(&mut self, node: NodeId, row: Row, class: Class) {
        let seat = self.seat(node).unwrap_or_else(|| self.sit_down(node));
        self.set(seat, &row);
        if let Some(leaf) = self.leaves.get_mut(seat.page()) {
            Arc::make_mut(&mut leaf.page).set_class(seat.place(), class);
        }
    }

    /// Changes what is known of a node; nothing happens when it has no seat.
    pub(super) fn update(&mut self, node: NodeId, row: Row) {
        if let Some(seat) = self.seat(node) {
            self.set(seat, &row);
        }
    }

    /// Gives a node's seat back.
    pub(super) fn leave(&mut self, node: NodeId) {
        let Some(seat) = self.seats.remove(&node) else { return };
        self.vacant.insert(seat);
        if let Some(leaf) = self.leaves.get_mut(seat.page()) {
            self.load -= Load::of(&leaf.page.row(seat.place()));
            Arc::make_mut(&mut leaf.page).vacate(seat.place());
            leaf.bounds = Bounds::of(&leaf.page);
        }
    }

    fn sit_down(&mut self, node: NodeId) -> Seat {
        let seat = self.vacant.remove_min().unwrap_or_else(|| {
            self.taken += 1;
            Seat(self.taken - 1)
        });
        if seat.page() >= self.leaves.len() {
            self.leaves.push_back(Leaf::default());
        }
        self.seats.insert(node, seat);
        seat
    }

    fn set(&mut self, seat: Seat, row: &Row) {
        if let Some(Leaf { bounds, page }) = self.leaves.get_mut(seat.page()) {
            let page = Arc::make_mut(page);
            self.load -= Load::of(&page.row(seat.place()));
            self.load += Load::of(row);
            page.set(seat.place(), row);
            bounds.include(page, seat.place());
        }
    }
}

/// Returns the numbers of the bits that are set, ascending.
fn bits(mut left: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let next = (left != 0).then(|| left.trailing_zeros())?;
        left &= left - 1;
        Some(next as usize)
    })
}

#[cfg(test)]
mod tests;
