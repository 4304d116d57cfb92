//! One task: performs what `core` asks for.
//!
//! Reading order: `facts` are the names and values a task may use; `user` whom it runs as; `folders` where; `volumes` what of
//! the machine its group may use; `prepare` puts them together for the driver; `perform` asks the driver until it answers.

pub mod facts;
pub mod folders;
pub mod perform;
pub mod prepare;
pub mod user;
pub mod volumes;
