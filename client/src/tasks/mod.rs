//! One task: performs what `core` asks for.
//!
//! Reading order: `facts` are the names and values a task may use; `env_files` what the node adds to them; `user` whom it runs
//! as; `folders` where, and `files` what it finds there; `volumes` what of the machine its group may use; `local` is what
//! the owner of the node says of it; `prepare` puts them
//! together for the driver; `perform` asks the driver until it answers.

pub mod env_files;
pub mod facts;
pub mod files;
pub mod folders;
pub mod local;
pub mod perform;
pub mod prepare;
pub mod user;
pub mod volumes;
