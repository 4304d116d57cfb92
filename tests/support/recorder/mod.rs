//! Power cuts without pulling a plug: a recorder (`recorder.c`) notes what a process does to its files, and from the
//! notes the directory is rebuilt as a power cut at any point may have left it.

pub mod image;
pub mod script;
pub mod trace;
