//! A machine for tests: it adds numbers and refuses everything else.

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::machine::{Frozen, Machine, RestoreError};

/// What the machine knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) total: u64,
    pub(crate) commands: u64,
    pub(crate) index: u64,
}

/// The machine; `published` is what a reader sees.
#[derive(Debug, Default)]
pub(crate) struct Adder {
    sum: Sum,
    pub(crate) published: Arc<Mutex<Sum>>,
    /// Bytes that its snapshots carry for nothing.
    pub(crate) ballast: usize,
}

/// A sum with its ballast.
struct Heavy(Sum, usize);

/// The command that adds a number.
pub(crate) fn add(number: u64) -> Bytes {
    Bytes::copy_from_slice(&number.to_le_bytes())
}

impl Machine for Adder {
    type Outcome = Result<u64, String>;

    fn apply(&mut self, index: u64, command: &[u8]) -> Self::Outcome {
        self.sum.index = index;
        let number = command.get(..8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes);
        let number = number.ok_or_else(|| "not a number".to_owned())?;
        self.sum.total = self.sum.total.checked_add(number).ok_or_else(|| "too large".to_owned())?;
        self.sum.commands += 1;
        Ok(self.sum.total)
    }

    fn batch_applied(&mut self, _: u64) {
        *self.published.lock().unwrap() = self.sum;
    }

    fn freeze(&self) -> Box<dyn Frozen> {
        Box::new(Heavy(self.sum, self.ballast))
    }

    fn restore(&mut self, _: u64, content: &mut dyn Read) -> Result<(), RestoreError> {
        let mut bytes = [0; 24];
        content.read_exact(&mut bytes)?;
        let number = |i: usize| u64::from_le_bytes(bytes[i * 8..][..8].try_into().unwrap());
        self.sum = Sum { total: number(0), commands: number(1), index: number(2) };
        io::copy(content, &mut io::sink())?;
        Ok(())
    }
}

impl Frozen for Sum {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        [self.total, self.commands, self.index]
            .iter()
            .try_for_each(|number| out.write_all(&number.to_le_bytes()))
    }
}

impl Frozen for Heavy {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        self.0.write(out)?;
        io::copy(&mut io::repeat(7).take(self.1 as u64), out).map(drop)
    }
}
