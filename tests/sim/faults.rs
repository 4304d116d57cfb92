//! What breaks, and how it all is mended before the end is judged.

use crate::event::{Agent, Event};
use crate::machine::Disk;
use crate::sim::{PATIENCE, Sim, TROUBLE, say};

impl Sim {
    /// Something breaks, and the next time is set.
    pub fn fault(&mut self) {
        if self.calm {
            return;
        }
        // Where there is more to break, more breaks.
        let longest = if self.servers.len() == 1 { 4000 } else { 3000 };
        self.queue.at(self.now + self.dice.faults.within(200, longest), Event::Fault);
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
                    self.laws.reigns.forget(machine);
                }
            }
            34..=37 => {
                // The node keeps its id and forgets all else, as after a restored image.
                self.power_off(machine, Some(1500));
                say!(self, "n{machine} forgets everything but its id");
                let disk = &mut self.machines[machine].disk;
                disk.records.clear();
                disk.position = None;
                self.laws.reigns.forget(machine);
            }
            38..=51 => self.cut_off(machine, server),
            52..=59 => self.freeze_agent(machine),
            60..=69 => self.tear(machine),
            70..=77 => {
                if self.servers.iter().all(|server| server.up) {
                    self.crash_server(server);
                }
            }
            78..=83 => self.freeze_server(server),
            84..=89 => self.cut_server(server),
            90..=95 => self.queue.at(self.now, Event::Elect),
            _ => self.take_snapshot(server),
        }
    }

    /// The network of a machine breaks: to all servers, or to one, or in one direction.
    fn cut_off(&mut self, machine: usize, server: usize) {
        let one = &mut self.machines[machine];
        let (how, up) = (self.dice.faults.below(4), self.dice.faults.chance(500));
        match how {
            0 | 1 => one.cut = true,
            2 => one.deaf.extend([(server, true), (server, false)]),
            _ => drop(one.deaf.insert((server, up))),
        }
        let what = if one.cut { "all servers".to_owned() } else { format!("{:?}", one.deaf) };
        say!(self, "n{machine} is cut off from {what}");
        self.queue.at(self.now + self.dice.faults.within(300, 14_000), Event::Heal(machine));
    }

    /// A connection is torn, and its end may be lost: both sides learn of it, each in its time, or one of them only.
    fn tear(&mut self, machine: usize) {
        let Some(one) = &self.machines[machine].agent else { return };
        let agent = Agent { machine, life: one.life };
        let Some(conn) = one.conn else { return };
        say!(self, "the connection of n{machine} is torn");
        if self.dice.net.chance(500) {
            self.lose_end(conn);
        }
        let by = self.dice.net.below(4);
        if by != 0 {
            self.close_by_server(conn);
        }
        if by != 1 {
            self.hang_up(agent, None);
        }
        if self.dice.net.chance(300) {
            self.lose_end(conn);
        }
    }

    /// Nothing breaks any more, and all that was broken is mended.
    pub fn calm_down(&mut self) {
        say!(self, "calm");
        self.calm = true;
        self.thaw();
        self.servers.iter_mut().for_each(|server| server.cut = false);
        for at in 0..self.machines.len() {
            self.heal(at);
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
