//! Packets that do not arrive: between two machines, both ways or one. Who sends is not told.

use crate::cluster::Cluster;

impl Cluster {
    /// Nothing that `from` sends arrives at `to` any more; the other way is as it was.
    pub(crate) fn cut_one_way(&mut self, from: usize, to: usize) {
        let machine = &mut self.machines[to];
        machine.filter.deaf_to.insert(from + 1);
        machine.filter_again();
    }

    /// Nothing passes between two machines.
    pub(crate) fn cut(&mut self, one: usize, other: usize) {
        self.cut_one_way(one, other);
        self.cut_one_way(other, one);
    }

    /// Nothing passes between a machine and all others; people at the desk still reach it.
    pub(crate) fn isolate(&mut self, number: usize) {
        for other in self.others(number) {
            self.cut(number, other);
        }
    }

    /// Of all that is sent only this does not arrive: from the first of each pair at the second.
    pub(crate) fn cut_exactly(&mut self, cuts: &[(usize, usize)]) {
        for (number, machine) in self.machines.iter_mut().enumerate() {
            machine.filter.deaf_to =
                cuts.iter().filter(|(_, to)| *to == number).map(|(from, _)| from + 1).collect();
            machine.filter_again();
        }
    }

    /// Everything arrives again.
    pub(crate) fn heal(&mut self) {
        for machine in &mut self.machines {
            machine.filter.deaf_to.clear();
            machine.filter_again();
        }
    }
}
