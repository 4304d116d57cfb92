//! The command line as people and scripts meet it: the built program against a scripted server on a real socket.

mod asking;
mod config;
mod connecting; // which server is asked, with which token, how often
mod convert;
mod dev; // dev, for real
mod drain; // node drain
mod jobs; // run, stop
mod reading; // status, logs, events
mod server; // the scripted server
mod settings; // operator settings
mod snapshot; // operator snapshot
mod usage; // validate, version, help, wrong usage, closed pipes
mod views; // documents to answer with
mod world; // the program, in an environment of its own
