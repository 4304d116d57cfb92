//! The mounts of a task that has its own: a `/tmp` that nobody else sees, a `/proc` of its pid namespace, its volumes.
//!
//! Everything is found before the new `/tmp` hides it, and mounted through descriptors. Below folders that belong to the task
//! no symbolic link is followed: the task before could have put it there, and this runs as root.

use std::ffi::{CStr, CString};
use std::path::{Component, Path};

use super::confine::{Halt, Step, check};
use super::message::{Bind, Confine, StartFailed};
use super::spawn::failed;

/// The mounts of one task.
#[derive(Debug)]
pub(super) struct Mounts {
    /// Whether it has a `/tmp` of its own.
    tmp: bool,
    proc: bool,
    /// Folders of the task that lie below `/tmp`.
    kept: Vec<Place>,
    binds: Vec<Planned>,
}

/// A path, split where trust ends.
#[derive(Debug)]
struct Place {
    path: CString,
    /// What need not be looked at closely, and is there.
    root: CString,
    /// What is walked, and made where it is missing. Without any the whole path must be there.
    parts: Vec<CString>,
    fd: i32,
}

#[derive(Debug)]
struct Planned {
    source: CString,
    source_fd: i32,
    target: Place,
    read_only: bool,
}

const TMP: &str = "/tmp";
const OPEN: i32 = libc::O_PATH | libc::O_CLOEXEC;

impl Mounts {
    /// Plans the mounts; `None` where it needs none of its own.
    ///
    /// # Errors
    /// With a path that is not absolute, climbs, or holds a NUL.
    pub(super) fn new(confine: &Confine) -> Result<Option<Mounts>, StartFailed> {
        let tmp = confine.has_own_mounts();
        if !tmp && !confine.pid {
            return Ok(None);
        }
        let folders: Vec<&str> = confine.folders.iter().map(String::as_str).collect();
        for folder in &folders {
            plain(folder)?;
        }
        let hidden = |folder: &&str| tmp && Path::new(folder).starts_with(TMP) && **folder != *TMP;
        let kept = folders.iter().copied().filter(hidden).map(|folder| place(folder, &[TMP]));
        let mut own = folders.clone();
        if tmp {
            own.push(TMP);
        }
        // The innermost folder: what lies above it is not the task's.
        own.sort_by_key(|path| std::cmp::Reverse(path.len()));
        let planned = |bind: &Bind| {
            plain(&bind.source)?;
            plain(&bind.target)?;
            Ok(Planned {
                source: text(&bind.source)?,
                source_fd: -1,
                target: place(&bind.target, &own)?,
                read_only: bind.read_only,
            })
        };
        Ok(Some(Mounts {
            tmp,
            proc: confine.pid,
            kept: kept.collect::<Result<_, _>>()?,
            binds: confine.binds.iter().map(planned).collect::<Result<_, _>>()?,
        }))
    }

    /// Child: makes the mounts in the mount namespace that it has just got.
    pub(super) unsafe fn enter(&mut self) -> Result<(), Halt> {
        // SAFETY: system calls on strings that outlive them.
        unsafe {
            // What the machine mounts or unmounts later shows here too; nothing of this shows there.
            mount(None, c"/", None, libc::MS_REC | libc::MS_SLAVE, None, Step::Isolate(libc::CLONE_NEWNS))?;
            for folder in &mut self.kept {
                folder.fd = open(libc::AT_FDCWD, &folder.path, OPEN | libc::O_DIRECTORY, Step::Tmp)?;
            }
            for (number, bind) in (0..).zip(&mut self.binds) {
                bind.source_fd = open(libc::AT_FDCWD, &bind.source, OPEN, Step::Bind(number, true))?;
            }
            if self.tmp {
                let flags = libc::MS_NOSUID | libc::MS_NODEV;
                mount(Some(c"tmpfs"), c"/tmp", Some(c"tmpfs"), flags, Some(c"mode=1777"), Step::Tmp)?;
            }
            for folder in &self.kept {
                let target = folder.walk(true, Step::Tmp)?;
                bind(folder.fd, target, libc::MS_REC, Step::Tmp)?;
            }
            if self.proc {
                let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
                mount(Some(c"proc"), c"/proc", Some(c"proc"), flags, None, Step::Proc)?;
            }
            for (number, bind) in (0..).zip(&self.binds) {
                bind.mount(Step::Bind(number, false))?;
            }
        }
        Ok(())
    }
}

impl Planned {
    unsafe fn mount(&self, step: Step) -> Result<(), Halt> {
        // SAFETY: system calls on descriptors of this process and strings that outlive them.
        unsafe {
            let is_dir = kind(self.source_fd, step)? == libc::S_IFDIR;
            let target = self.target.walk(is_dir, step)?;
            bind(self.source_fd, target, libc::MS_REC, step)?;
            if !self.read_only {
                return Ok(());
            }
            // Once more: the first descriptor is of what lies beneath.
            let mounted = self.target.walk(is_dir, step)?;
            let errno = match set_read_only(mounted, step) {
                Ok(()) => return Ok(()),
                Err(halt) => halt.errno,
            };
            if errno != libc::ENOSYS {
                return Err(Halt { step, errno });
            }
            // Before Linux 5.12 only one mount at a time: those below it are left out rather than left writable.
            let path = FdPath::new(mounted);
            check(libc::umount2(path.as_ptr(), libc::MNT_DETACH).into(), step)?;
            bind(self.source_fd, target, 0, step)?;
            let mounted = self.target.walk(is_dir, step)?;
            let kept = flags(mounted, step)?;
            let remount = libc::MS_REMOUNT | libc::MS_BIND | libc::MS_RDONLY | kept;
            mount(None, FdPath::new(mounted).as_c_str(), None, remount, None, step)
        }
    }
}

impl Place {
    /// Child: opens it, making what is missing of its parts; the last as a directory or as a file.
    unsafe fn walk(&self, is_dir: bool, step: Step) -> Result<i32, Halt> {
        // SAFETY: system calls on strings that outlive them.
        unsafe {
            let mut at = open(libc::AT_FDCWD, &self.root, OPEN, step)?;
            for (number, part) in self.parts.iter().enumerate() {
                let made_as_dir = is_dir || number + 1 < self.parts.len();
                let found = match open(at, part, OPEN | libc::O_NOFOLLOW, step) {
                    Err(Halt { errno: libc::ENOENT, .. }) => {
                        let made = if made_as_dir {
                            libc::mkdirat(at, part.as_ptr(), 0o755)
                        } else {
                            libc::mknodat(at, part.as_ptr(), libc::S_IFREG | 0o644, 0)
                        };
                        check(made.into(), step)?;
                        open(at, part, OPEN | libc::O_NOFOLLOW, step)?
                    }
                    outcome => outcome?,
                };
                libc::close(at);
                at = found;
                if kind(at, step)? == libc::S_IFLNK {
                    return Err(Halt { step, errno: libc::ELOOP });
                }
            }
            Ok(at)
        }
    }
}

/// Splits `path` at the first of `own` that it lies below.
fn place(path: &str, own: &[&str]) -> Result<Place, StartFailed> {
    let below = |root: &&str| Path::new(path).strip_prefix(root).ok().filter(|rest| *rest != Path::new(""));
    let found = own.iter().find_map(|root| Some((*root, below(root)?)));
    let (root, rest) = found.unwrap_or((path, Path::new("")));
    let parts = rest.components().map(|part| text(&part.as_os_str().to_string_lossy()));
    Ok(Place { path: text(path)?, root: text(root)?, parts: parts.collect::<Result<_, _>>()?, fd: -1 })
}

fn plain(path: &str) -> Result<(), StartFailed> {
    let climbs = |part| matches!(part, Component::ParentDir);
    if !path.starts_with('/') || Path::new(path).components().any(climbs) {
        let message = format!("mount {path}: the path must be absolute and without `..`");
        return Err(failed("mount", libc::EINVAL, &message));
    }
    Ok(())
}

fn text(path: &str) -> Result<CString, StartFailed> {
    CString::new(path).map_err(|_| failed("mount", libc::EINVAL, &format!("mount {path:?} holds a NUL")))
}

unsafe fn open(at: i32, path: &CStr, flags: i32, step: Step) -> Result<i32, Halt> {
    // SAFETY: `path` outlives the call.
    let fd = unsafe { libc::openat(at, path.as_ptr(), flags) };
    check(fd.into(), step).map(|()| fd)
}

unsafe fn kind(fd: i32, step: Step) -> Result<libc::mode_t, Halt> {
    // SAFETY: `found` is valid, and read only when it was filled.
    unsafe {
        let mut found: libc::stat = std::mem::zeroed();
        check(libc::fstat(fd, &raw mut found).into(), step)?;
        Ok(found.st_mode & libc::S_IFMT)
    }
}

unsafe fn mount(
    source: Option<&CStr>,
    target: &CStr,
    kind: Option<&CStr>,
    flags: libc::c_ulong,
    data: Option<&CStr>,
    step: Step,
) -> Result<(), Halt> {
    let pointer = |text: Option<&CStr>| text.map_or(std::ptr::null(), CStr::as_ptr);
    // SAFETY: the strings outlive the call.
    let result =
        unsafe { libc::mount(pointer(source), target.as_ptr(), pointer(kind), flags, pointer(data).cast()) };
    check(result.into(), step)
}

unsafe fn bind(source: i32, target: i32, recursive: libc::c_ulong, step: Step) -> Result<(), Halt> {
    let (source, target) = (FdPath::new(source), FdPath::new(target));
    // SAFETY: the strings outlive the call.
    unsafe { mount(Some(source.as_c_str()), target.as_c_str(), None, libc::MS_BIND | recursive, None, step) }
}

/// Makes a mount and all below it read-only (`mount_setattr`, Linux 5.12).
unsafe fn set_read_only(mounted: i32, step: Step) -> Result<(), Halt> {
    // `struct mount_attr`: what to set, to clear, the propagation, a user namespace.
    let attributes: [u64; 4] = [1, 0, 0, 0];
    const MOUNT_SETATTR: libc::c_long = 442;
    const AT_RECURSIVE: i32 = 0x8000;
    // SAFETY: the attributes outlive the call, and their size is told.
    let result = unsafe {
        libc::syscall(
            MOUNT_SETATTR,
            mounted,
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | AT_RECURSIVE,
            attributes.as_ptr(),
            size_of_val(&attributes),
        )
    };
    check(result, step)
}

/// Returns the flags of a mount that a remount would take away.
unsafe fn flags(mounted: i32, step: Step) -> Result<libc::c_ulong, Halt> {
    // SAFETY: `found` is valid, and read only when it was filled.
    let found = unsafe {
        let mut found: libc::statvfs = std::mem::zeroed();
        check(libc::fstatvfs(mounted, &raw mut found).into(), step)?;
        found.f_flag
    };
    let pairs = [
        (libc::ST_NOSUID, libc::MS_NOSUID),
        (libc::ST_NODEV, libc::MS_NODEV),
        (libc::ST_NOEXEC, libc::MS_NOEXEC),
        (libc::ST_NOATIME, libc::MS_NOATIME),
        (libc::ST_NODIRATIME, libc::MS_NODIRATIME),
    ];
    Ok(pairs.into_iter().filter(|(has, _)| found & has != 0).fold(0, |all, (_, flag)| all | flag))
}

/// `/proc/self/fd/N`, made without an allocation.
struct FdPath([u8; 32]);

impl FdPath {
    fn new(fd: i32) -> FdPath {
        let mut bytes = [0u8; 32];
        let head = b"/proc/self/fd/";
        let (mut at, mut scale) = (0, 1_000_000_000);
        for byte in head {
            bytes[at] = *byte;
            at += 1;
        }
        while scale > 1 && fd / scale == 0 {
            scale /= 10;
        }
        while scale > 0 {
            bytes[at] = b'0' + (fd / scale % 10) as u8;
            at += 1;
            scale /= 10;
        }
        FdPath(bytes)
    }

    fn as_ptr(&self) -> *const libc::c_char {
        self.0.as_ptr().cast()
    }

    fn as_c_str(&self) -> &CStr {
        // SAFETY: at most 24 of the 32 bytes are written, so a NUL follows.
        unsafe { CStr::from_ptr(self.as_ptr()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(path: &str, own: &[&str]) -> (String, Vec<String>) {
        let place = place(path, own).unwrap();
        let word = |text: &CString| text.to_str().unwrap().to_owned();
        (word(&place.root), place.parts.iter().map(word).collect())
    }

    #[test]
    fn a_path_is_walked_from_where_it_is_the_tasks_own() {
        let own = ["/data/tasks/web", "/tmp"];
        assert_eq!(
            parts("/data/tasks/web/a/b", &own),
            ("/data/tasks/web".into(), vec!["a".into(), "b".into()])
        );
        assert_eq!(parts("/srv/pg", &own), ("/srv/pg".into(), vec![]));
        assert_eq!(parts("/tmp", &own), ("/tmp".into(), vec![]));
        assert_eq!(parts("/data/tasks/website", &own), ("/data/tasks/website".into(), vec![]));
    }

    #[test]
    fn paths_that_climb_are_refused() {
        for path in ["srv", "/srv/../etc"] {
            let binds = vec![Bind { source: path.into(), target: "/x".into(), read_only: false }];
            let error = Mounts::new(&Confine { binds, ..<_>::default() }).unwrap_err();
            assert!(error.hopeless && error.message.contains(path), "{error:?}");
        }
    }

    #[test]
    fn who_asks_for_nothing_keeps_the_machines_mounts() {
        assert!(Mounts::new(&Confine { network: true, ..<_>::default() }).unwrap().is_none());
        assert!(Mounts::new(&Confine { pid: true, ..<_>::default() }).unwrap().is_some());
    }

    #[test]
    fn a_descriptor_has_a_path() {
        for fd in [0, 7, 10, 1024, i32::MAX] {
            assert_eq!(FdPath::new(fd).as_c_str().to_str().unwrap(), format!("/proc/self/fd/{fd}"));
        }
    }
}
