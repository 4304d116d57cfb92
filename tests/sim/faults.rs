//! What breaks, and how it all is mended before the end is judged.

use crate::agent::Disk;
use crate::event::{Agent, Event};
use crate::sim::{PATIENCE, Sim, TROUBLE, say};

impl Sim {
    /// Something breaks, and the next time is set.
    pub fn fault(&mut self) {
        if self.calm {
            return;
        }
        self.queue.at(self.now + self.dice.faults.within(200, 4000), Event::Fault);
        let machine = self.dice.faults.below(self.machines.len() as u64) as usize;
        let server = self.dice.faults.below(self.servers.len() as u64) as usize;
        match self.dice.faults.below(100) {
            0..=17 => self.crash_agent(machine),
            18..=27 => {
                let down = self.dice.faults.within(500, 12_000);
                self.power_off(machine, Some(down));
            }
            28..=29 => self.lose_machine(machine),
            30..=33 => {
                self.power_off(machine, Some(2000));
                let one = &mut self.machines[machine];
                if !one.gone {
                    say!(self, "n{machine} has an empty disk");
                    let one = &mut self.machines[machine];
                    one.disk = Disk::new(one.number, one.disk.number + 1);
                }
            }
            34..=37 => {
                // The node keeps its id and forgets all else, as after a restored image.
                self.power_off(machine, Some(1500));
                say!(self, "n{machine} forgets everything but its id");
                let disk = &mut self.machines[machine].disk;
                disk.records.clear();
                (disk.position, disk.number) = (None, disk.number);
            }
            38..=55 => {
                say!(self, "n{machine} is cut off");
                self.machines[machine].cut = true;
                self.queue.at(self.now + self.dice.faults.within(300, 14_000), Event::Heal(machine));
            }
            56..=67 => self.tear(machine),
            68..=79 => {
                if self.servers.iter().filter(|server| server.up).count() == 3 {
                    self.crash_server(server);
                }
            }
            80..=91 => self.queue.at(self.now, Event::Elect),
            _ => self.take_snapshot(),
        }
    }

    /// A connection is torn: both sides learn of it, each in its time.
    fn tear(&mut self, machine: usize) {
        let Some(one) = &self.machines[machine].agent else { return };
        let (agent, conn) = (Agent { machine, life: one.life }, one.conn);
        say!(self, "the connection of n{machine} is torn");
        if let Some(conn) = conn {
            self.close_by_server(conn);
            self.close_by_agent(conn);
            if let Some(one) = self.agent(agent) {
                one.conn = None;
            }
            self.queue.at(self.now + self.dice.net.within(50, 1500), Event::Dial(agent));
        }
    }

    fn power_off(&mut self, machine: usize, back_after: Option<u64>) {
        let one = &mut self.machines[machine];
        if one.gone || !one.powered {
            return;
        }
        say!(self, "n{machine} loses power");
        let one = &mut self.machines[machine];
        (one.powered, one.agent) = (false, None);
        one.processes.clear();
        if let Some(after) = back_after {
            self.queue.at(self.now + after, Event::PowerOn(machine));
        }
    }

    /// A machine never comes back; one is enough.
    fn lose_machine(&mut self, machine: usize) {
        if self.machines.len() < 3 || self.machines.iter().any(|one| one.gone) {
            return;
        }
        self.power_off(machine, None);
        self.machines[machine].gone = true;
    }

    /// Nothing breaks any more, and all that was broken is mended.
    pub fn calm_down(&mut self) {
        say!(self, "calm");
        self.calm = true;
        for at in 0..self.machines.len() {
            self.machines[at].cut = false;
            if !self.machines[at].powered {
                self.queue.at(self.now + 100, Event::PowerOn(at));
            }
        }
        self.queue.at(self.now + 1000, Event::Look);
    }

    /// Somebody looks whether all is well, and looks again if not.
    pub fn look(&mut self) {
        if self.leading.is_none() || self.servers.iter().any(|server| !server.up) {
            self.queue.at(self.now + 500, Event::Look);
            return;
        }
        match self.unrest() {
            None => self.done = true,
            Some(what) if self.now > TROUBLE + PATIENCE => self.break_law("quiescence", what),
            Some(_) => self.queue.at(self.now + 500, Event::Look),
        }
    }
}
