//! A small disk of a story's own, that nobody else sees.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

/// Runs a story on a thread with mounts of its own, which go with its processes however it ends. Says that it was not checked where
/// this user may not mount: only root may.
///
/// # Panics
/// When the story does.
pub fn with_own_mounts(story: impl FnOnce() + Send + 'static) {
    let thread = std::thread::spawn(|| {
        if let Err(errno) = unshare(CloneFlags::CLONE_NEWNS) {
            assert!(!nix::unistd::geteuid().is_root(), "root may do this: {errno}");
            eprintln!("not checked: only root can mount a disk of its own");
            return;
        }
        let nothing = None::<&str>;
        mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing).expect("it is ours");
        story();
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// A disk in memory. Dropping it takes it away from under whoever uses it.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    bytes: u64,
}

impl Disk {
    /// Mounts one of so many bytes at a directory, made if it is missing. See [`with_own_mounts`].
    ///
    /// # Panics
    /// When it cannot be mounted.
    #[must_use]
    pub fn mount(path: &Path, bytes: u64) -> Self {
        std::fs::create_dir_all(path).expect("writable");
        let options = format!("size={bytes},mode=755");
        mount(Some("small"), path, Some("tmpfs"), MsFlags::empty(), Some(options.as_str())).expect("mounted");
        Self { path: path.to_owned(), bytes }
    }

    /// Leaves no room, except in what others have begun to fill. See [`Self::empty`].
    ///
    /// # Panics
    /// When there is no end to it.
    pub fn fill(&self) {
        let mut file =
            std::fs::File::options().create(true).append(true).open(self.filler()).expect("writable");
        let block = [b'x'; 4096];
        for _ in 0..=self.bytes / block.len() as u64 {
            if let Err(error) = file.write_all(&block) {
                assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
                return;
            }
        }
        panic!("it is larger than it was made");
    }

    /// Makes room again.
    ///
    /// # Panics
    /// When it was not full.
    pub fn empty(&self) {
        std::fs::remove_file(self.filler()).expect("it was full");
    }

    fn filler(&self) -> PathBuf {
        self.path.join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Whoever holds a file of it keeps it until then; here the directory must be one that can be removed.
        let _ = umount2(&self.path, MntFlags::MNT_DETACH);
    }
}
