//! The cluster of real machines: three servers, an agent on every machine, and any of them may die. A machine is a network namespace
//! with an address of its own, directories and real processes; what can happen to it is in [`faults`], what is promised in [`stories`].
//!
//! Only root can make machines; anybody else is told so. What a killed run left is swept away by the next one.

mod chaos;
mod clients;
mod cluster;
mod credentials;
mod faults;
mod machine;
mod measure;
mod net;
mod people;
mod slots;
mod stories;
mod writer;
