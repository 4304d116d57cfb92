//! Clients that write and read jobs, and what they saw, for the checker of linearizability. A job is a register: its value is what its
//! newest version was submitted with, and no value is ever written twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::linear::{Operation, Violation, check};
use tests::register::{Answer, Ask, Register};
use tests::rng::Rng;

use crate::people::Person;

/// How long the same registers are used. The checker's work grows with the writes of one register whose outcome nobody knows.
const EPOCH: Duration = Duration::from_secs(8);

/// Registers that are used at the same time.
const REGISTERS: u64 = 3;

/// Clients at work.
pub(crate) struct Clients {
    begin: Instant,
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Record>>,
}

/// What clients asked and were answered, by register.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// Times are nanoseconds since the beginning.
    pub(crate) registers: BTreeMap<String, Vec<Operation<Ask, Answer>>>,
    /// Answers that are neither a result nor "not known".
    pub(crate) strange: Vec<String>,
}

impl Clients {
    /// Lets each person write and read all the time.
    pub(crate) fn start(persons: Vec<Person>, seed: u64) -> Self {
        let (begin, is_over) = (Instant::now(), Arc::new(AtomicBool::new(false)));
        let one = |(number, person): (usize, Person)| {
            let over = is_over.clone();
            let client = Client { number, person, begin, dice: Rng::new(seed, &format!("client {number}")) };
            std::thread::spawn(move || client.work(&over))
        };
        let threads = persons.into_iter().enumerate().map(one).collect();
        Self { begin, is_over, threads }
    }

    /// Ends with what is under way; then `person` reads every register once more.
    pub(crate) fn finish(self, person: Person) -> Record {
        self.is_over.store(true, Ordering::Relaxed);
        let number = self.threads.len();
        let mut all = Record::default();
        for record in self.threads.into_iter().map(|thread| thread.join().expect("it writes")) {
            all.strange.extend(record.strange);
            for (name, operations) in record.registers {
                all.registers.entry(name).or_default().extend(operations);
            }
        }
        let last = Client { number, person, begin: self.begin, dice: Rng::new(0, "last") };
        for name in all.registers.keys().cloned().collect::<Vec<_>>() {
            let is_known = last.does(&name, Ask::Get, &mut all);
            assert!(is_known.is_some(), "{name} cannot be read: {:?}", all.strange);
        }
        all
    }
}

/// One of them.
struct Client {
    number: usize,
    person: Person,
    begin: Instant,
    dice: Rng,
}

impl Client {
    fn work(mut self, over: &AtomicBool) -> Record {
        let mut record = Record::default();
        let mut versions: BTreeMap<String, u64> = BTreeMap::new();
        for count in 0u32.. {
            if over.load(Ordering::Relaxed) {
                break;
            }
            let epoch = self.begin.elapsed().as_secs() / EPOCH.as_secs();
            let name = format!("register{epoch}-{}", self.dice.below(REGISTERS));
            let value = self.number as u32 * 1_000_000 + count;
            // Most who expect a version have seen it; a few expect a job that is not there.
            let seen = versions.get(&name).copied().unwrap_or(0);
            let ask = match self.dice.below(10) {
                0..5 => Ask::Get,
                5..7 => Ask::Put { value, expected: None },
                _ => Ask::Put { value, expected: Some(seen) },
            };
            let pause = match self.does(&name, ask, &mut record) {
                Some(Answer::Written(version) | Answer::Seen(Some((version, _)))) => {
                    versions.insert(name, version);
                    self.dice.within(5, 50)
                }
                Some(_) => self.dice.within(5, 50),
                None => 200,
            };
            std::thread::sleep(Duration::from_millis(pause));
        }
        record
    }

    /// Asks, and keeps what came of it. None: it is not known.
    fn does(&self, name: &str, ask: Ask, record: &mut Record) -> Option<Answer> {
        let asked = self.now();
        let answer = match self.asks(name, &ask) {
            Ok(answer) => answer,
            Err(strange) => {
                record.strange.push(format!("client {}, {name}, {ask:?}: {strange}", self.number));
                None
            }
        };
        let at = self.now();
        // A read without an answer says nothing.
        if answer.is_some() || !matches!(ask, Ask::Get) {
            let answer = answer.clone().map(|answer| (at, answer));
            let operation = Operation { client: self.number, asked, ask, answer };
            record.registers.entry(name.to_owned()).or_default().push(operation);
        }
        answer
    }

    fn asks(&self, name: &str, ask: &Ask) -> Result<Option<Answer>, String> {
        match ask {
            Ask::Get => read(&self.person, name),
            Ask::Put { value, expected } => write(&self.person, name, *value, *expected),
        }
    }

    fn now(&self) -> u64 {
        self.begin.elapsed().as_nanos() as u64
    }
}

/// Writes a register. None: nobody knows whether it was written.
pub(crate) fn write(
    person: &Person,
    name: &str,
    value: u32,
    expected: Option<u64>,
) -> Result<Option<Answer>, String> {
    let text = format!("name: {name}\ncount: 0\ncommand: \"true\"\nmeta: {{value: \"{value}\"}}\n");
    let (value, expected) = (value.to_string(), expected.map(|version| version.to_string()));
    let mut flags = vec!["--json", "--message", &value];
    flags.extend(expected.iter().flat_map(|version| ["--check-version", version]));
    let answer = person.submit_with(&text, &flags);
    match answer.code {
        // The value is new, so that a write that changes nothing was one that had been done before.
        0 if answer.json()["changed"] == true => Ok(Some(Answer::Written(version(&answer.json())?))),
        1 if answer.stderr.contains("\"conflict\"") => Ok(Some(Answer::Conflict)),
        4 => Ok(None),
        _ => Err(format!("{answer:?}")),
    }
}

/// Reads a register. None: there was no answer.
pub(crate) fn read(person: &Person, name: &str) -> Result<Option<Answer>, String> {
    read_with(person, name, &[])
}

/// The same with more flags.
pub(crate) fn read_with(person: &Person, name: &str, flags: &[&str]) -> Result<Option<Answer>, String> {
    let answer = person.run(&[&["history", name, "--json"], flags].concat());
    match answer.code {
        0 => {
            let versions = answer.json();
            let is_current = |one: &&Value| one["current"] == true;
            let current = versions["items"].as_array().into_iter().flatten().find(is_current);
            let current = current.ok_or_else(|| format!("{answer:?}"))?;
            let value = current["message"].as_str().and_then(|text| text.parse().ok());
            let value = value.ok_or_else(|| format!("no value: {answer:?}"))?;
            Ok(Some(Answer::Seen(Some((version(current)?, value)))))
        }
        3 => Ok(Some(Answer::Seen(None))),
        4 => Ok(None),
        _ => Err(format!("{answer:?}")),
    }
}

fn version(of: &Value) -> Result<u64, String> {
    of["version"].as_u64().ok_or_else(|| format!("no version: {of}"))
}

impl Record {
    /// Every register's history is one that a single copy could have.
    ///
    /// # Errors
    /// The first that is none, with all of it.
    pub(crate) fn is_linearizable(&self) -> Result<(), String> {
        for (name, operations) in &self.registers {
            check::<Register>(operations).map_err(|violation| told(name, operations, &violation))?;
        }
        Ok(())
    }

    /// How many were answered, and how many writes were not.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let all = self.registers.values().flatten();
        let (answered, open): (Vec<_>, Vec<_>) = all.partition(|operation| operation.answer.is_some());
        (answered.len(), open.len())
    }
}

fn told(name: &str, operations: &[Operation<Ask, Answer>], violation: &Violation) -> String {
    let mut operations: Vec<_> = operations.iter().collect();
    operations.sort_by_key(|operation| operation.asked);
    let lines: Vec<String> = operations.iter().map(|operation| format!("{operation:?}")).collect();
    format!("{name} is not linearizable: {violation:#?}\nall of it:\n{}", lines.join("\n"))
}
