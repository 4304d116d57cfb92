//! The port as its clients see it: a real socket, a real log, a leader.

mod access;
mod control;
mod docs;
mod hostile;
mod http;
mod openapi;
mod people;
mod rig;
mod settings;
mod tls;
