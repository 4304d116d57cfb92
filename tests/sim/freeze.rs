//! Processes that stand still: stopped, swapped out, or on a machine that was paused. What happens to them waits, and when they go on
//! they find all of it at once, and believe what they believed before.

use crate::event::{Agent, Event};
use crate::sim::{Sim, say};

impl Sim {
    /// Returns whether this happens to who stands still; it happens later then.
    pub fn puts_off(&mut self, event: &Event) -> bool {
        let until = match event {
            Event::Tick(lead) | Event::Wake(lead) => self.servers[lead.server].frozen_until,
            Event::Hear(server, _) | Event::CatchUp(server, _) => self.servers[*server].frozen_until,
            Event::Unanswered(id) => {
                self.log.waits_for(*id).map_or(0, |lead| self.servers[lead.server].frozen_until)
            }
            Event::Deliver(conn, up) => self.conns.get(conn).map_or(0, |conn| match up {
                true => self.servers[conn.server].frozen_until,
                false => self.frozen(conn.agent),
            }),
            Event::Dial(agent)
            | Event::Knock(agent, _)
            | Event::AgentTick(agent)
            | Event::Driver(agent, _) => self.frozen(*agent),
            _ => 0,
        };
        if until <= self.now {
            return false;
        }
        // Clocks are looked at before or after what has waited is read.
        let is_clock = matches!(event, Event::Tick(_) | Event::AgentTick(_) | Event::Hear(..));
        let after = if is_clock { self.dice.faults.below(300) } else { 0 };
        self.queue.at(until + after, event.clone());
        true
    }

    fn frozen(&self, agent: Agent) -> u64 {
        let one = self.machines[agent.machine].agent.as_ref();
        one.filter(|one| one.life == agent.life).map_or(0, |one| one.frozen_until)
    }

    /// An agent's process stands still, often for longer than its lease; its tasks go on.
    pub fn freeze_agent(&mut self, machine: usize) {
        let until = self.now + self.dice.faults.within(500, 15_000);
        if let Some(one) = self.machines[machine].agent.as_mut() {
            one.frozen_until = until;
            say!(self, "the agent of n{machine} stands still until {until}");
        }
    }

    /// All go on.
    pub fn thaw(&mut self) {
        self.servers.iter_mut().for_each(|server| server.frozen_until = 0);
        let agents = self.machines.iter_mut().filter_map(|machine| machine.agent.as_mut());
        agents.for_each(|agent| agent.frozen_until = 0);
    }
}
