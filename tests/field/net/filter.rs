//! What does not arrive at a machine, or late: the rules of its namespace, made anew as a whole whenever something changes.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::slow_lane::QUEUE;
use super::{Space, address};

/// What is wrong with a machine's receiving end. Places are counted from 1; 0 is the desk.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Filter {
    /// From whom nothing arrives.
    pub(crate) deaf_to: BTreeSet<usize>,
    /// Of a thousand packets, how many are lost, whoever sent them.
    pub(crate) loses: u32,
    /// Whether what arrives waits in the slow lane.
    pub(crate) is_slow: bool,
}

impl Filter {
    /// Puts it in force.
    pub(crate) fn set(&self, space: &Space) {
        space.run("iptables-restore", &self.rules());
    }

    fn rules(&self) -> String {
        let mut rules =
            String::from("*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n");
        for place in &self.deaf_to {
            writeln!(rules, "-A INPUT -s {} -j DROP", address(*place)).expect("a string takes all");
        }
        if self.loses > 0 {
            let part = f64::from(self.loses) / 1000.0;
            writeln!(rules, "-A INPUT -i eth0 -m statistic --mode random --probability {part} -j DROP")
                .expect("a string takes all");
        }
        if self.is_slow {
            writeln!(rules, "-A INPUT -i eth0 -j NFQUEUE --queue-num {QUEUE} --queue-bypass")
                .expect("a string takes all");
        }
        rules.push_str("COMMIT\n");
        rules
    }
}

#[test]
fn the_rules_say_what_is_wrong() {
    let whole = Filter::default().rules();
    assert!(!whole.contains("-A "), "{whole}");
    let bad = Filter { deaf_to: [0, 2].into(), loses: 20, is_slow: true }.rules();
    let wanted = "-A INPUT -s 10.79.0.1 -j DROP\n-A INPUT -s 10.79.0.3 -j DROP\n\
         -A INPUT -i eth0 -m statistic --mode random --probability 0.02 -j DROP\n\
         -A INPUT -i eth0 -j NFQUEUE --queue-num 1 --queue-bypass\nCOMMIT\n";
    assert!(bad.ends_with(wanted), "{bad}");
}
