//! Finds the keeper of a data directory, or makes one.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use nix::unistd::{ForkResult, fork};
use rustix::fs::FlockOperation;

use super::cgroup::{Choice, Groups};
use super::message::{Answer, Ask, Hello, Leave, Request, Say, VERSION, VERSION_OLDEST, Welcome};
use super::serve::House;
use super::{frame, guard, process};
use crate::limits::KEEPER_READY_WAIT;

/// What a keeper is made for.
#[derive(Debug, Clone)]
pub struct Config {
    /// The agent's data directory; made when it is missing. One keeper serves one directory.
    pub data_dir: PathBuf,
    /// When set (`dev`): this long after its last agent disconnected the keeper ends all tasks and leaves.
    pub end_with_agent: Option<Duration>,
    /// Which control groups to use.
    pub cgroups: Choice,
    /// What is removed when the last of the keeper leaves, so that a killed `dev` leaves nothing behind.
    pub remove_at_end: Vec<Removal>,
}

/// A file or directory that goes with the keeper.
#[derive(Debug, Clone)]
pub struct Removal {
    /// Which. What is gone already is no error.
    pub path: PathBuf,
    /// Only a file that holds this text is removed: another process may have written its own there meanwhile.
    pub if_it_holds: Option<String>,
}

impl Removal {
    /// Removes it. What cannot be removed stays: nobody is left who could be told.
    pub(super) fn perform(&self) {
        let Some(text) = &self.if_it_holds else {
            let _ = fs::remove_dir_all(&self.path);
            return;
        };
        if fs::read_to_string(&self.path).is_ok_and(|content| content.contains(text)) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Config {
    /// Returns the configuration of a keeper that stays for its tasks.
    pub fn new(data_dir: impl Into<PathBuf>) -> Config {
        Config {
            data_dir: data_dir.into(),
            end_with_agent: None,
            cgroups: Choice::Auto,
            remove_at_end: Vec::new(),
        }
    }
}

/// The way to a keeper that answered.
#[derive(Debug, Clone)]
pub struct Connector {
    /// Path of its socket.
    pub socket: PathBuf,
    /// The keeper's process.
    pub keeper_pid: u32,
    /// The guard's process.
    pub guard_pid: u32,
    /// Whether it was there before.
    pub found: bool,
}

/// Why there is no keeper to work with.
#[derive(Debug, thiserror::Error)]
pub enum EnsureError {
    /// This process has threads, so it cannot be forked.
    #[error("the keeper must be made before any thread is started ({count} are running)")]
    Threads {
        /// How many.
        count: usize,
    },
    /// The data directory cannot be used.
    #[error("cannot {what} {}", path.display())]
    Directory {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Another process holds the lock and does not answer.
    #[error("another keeper holds {} and does not answer", lock.display())]
    Held {
        /// The lock file.
        lock: PathBuf,
    },
    /// The running keeper is of another age and still holds tasks.
    #[error(
        "the running keeper speaks protocol {oldest} to {newest} and has {attempts} tasks, this program speaks {VERSION}"
    )]
    Incompatible {
        /// The oldest version it speaks.
        oldest: u32,
        /// The newest.
        newest: u32,
        /// Attempts it holds.
        attempts: u32,
    },
    /// The new keeper did not get to serve.
    #[error("the new keeper did not start: {why}")]
    NotReady {
        /// What it said.
        why: String,
    },
    /// The process cannot be forked.
    #[error("cannot fork")]
    Fork(#[source] io::Error),
}

/// Returns the way to the keeper of `config.data_dir`, forking one if none answers. A second call finds the first's.
///
/// Must be called before any thread or runtime exists: the keeper is a copy of this process that goes on alone.
///
/// # Errors
/// See [`EnsureError`]; nothing is left behind then.
pub fn ensure(config: &Config) -> Result<Connector, EnsureError> {
    let count =
        process::threads().map_err(|source| directory("read", Path::new("/proc/self/task"), source))?;
    if count != 1 {
        return Err(EnsureError::Threads { count });
    }
    let dir = config.data_dir.join("keeper");
    fs::create_dir_all(&dir).map_err(|source| directory("make", &dir, source))?;
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o700))
        .map_err(|source| directory("protect", &dir, source))?;
    // A relative path would change its meaning when the keeper changes to `/`.
    let data_dir =
        fs::canonicalize(&config.data_dir).map_err(|source| directory("find", &config.data_dir, source))?;
    let (socket, dir) = (data_dir.join("keeper.sock"), data_dir.join("keeper"));
    let lock_path = data_dir.join("keeper.lock");
    let image = process::image();
    let until = Instant::now() + KEEPER_READY_WAIT;
    loop {
        if let Some(welcome) = greet(&socket, false) {
            // An empty keeper of another program makes room for one of this; a busy one is used if it can be.
            let replaced = welcome.attempts == 0 && welcome.image != image && greet(&socket, true).is_some();
            if !replaced && speaks(&welcome) {
                return Ok(connector(socket, &welcome, true));
            }
            if !replaced {
                let Welcome { version, version_oldest, attempts, .. } = welcome;
                return Err(EnsureError::Incompatible { oldest: version_oldest, newest: version, attempts });
            }
        }
        if let Some(lock) = try_lock(&lock_path)? {
            return make(config, lock, socket, dir, image);
        }
        if Instant::now() > until {
            return Err(EnsureError::Held { lock: lock_path });
        }
        // Another agent is making one, a guard is restarting its keeper, or the old one is on its way out.
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn directory(what: &'static str, path: &Path, source: io::Error) -> EnsureError {
    EnsureError::Directory { what, path: path.to_owned(), source }
}

fn speaks(welcome: &Welcome) -> bool {
    welcome.version >= VERSION_OLDEST && welcome.version_oldest <= VERSION
}

fn connector(socket: PathBuf, welcome: &Welcome, found: bool) -> Connector {
    Connector { socket, keeper_pid: welcome.keeper_pid, guard_pid: welcome.guard_pid, found }
}

/// Tells an empty keeper to leave now rather than when it finds that nobody needs it. Returns whether it does.
pub fn dismiss(connector: &Connector) -> bool {
    greet(&connector.socket, true).is_some()
}

/// Asks who serves `socket`, and then tells it to leave if `leave`. `None` when nobody answers properly.
fn greet(socket: &Path, leave: bool) -> Option<Welcome> {
    let mut stream = with_short_path(socket, |path| UnixStream::connect(path)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    stream.set_write_timeout(Some(Duration::from_secs(2))).ok()?;
    let mut buffer = BytesMut::new();
    let hello = Ask::Hello(Hello { version: VERSION, watch: false });
    let Say::Welcome(welcome) = ask(&mut stream, &mut buffer, hello)? else { return None };
    if leave {
        let Say::Done(_) = ask(&mut stream, &mut buffer, Ask::Leave(Leave {}))? else { return None };
    }
    Some(welcome)
}

fn ask(stream: &mut UnixStream, buffer: &mut BytesMut, ask: Ask) -> Option<Say> {
    let mut out = Vec::new();
    frame::encode(&Request { seq: 1, ask: Some(ask) }, &mut out).ok()?;
    stream.write_all(&out).ok()?;
    let mut bytes = [0u8; 4096];
    loop {
        if let Some(answer) = frame::decode::<Answer>(buffer).ok()? {
            return answer.say;
        }
        match stream.read(&mut bytes) {
            Ok(0) | Err(_) => return None,
            Ok(count) => buffer.extend_from_slice(&bytes[..count]),
        }
    }
}

/// Calls `f` with a path to `socket` that fits a socket address (107 bytes), through an open directory if need be.
pub(crate) fn with_short_path<T>(socket: &Path, f: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    if socket.as_os_str().len() <= 107 {
        return f(socket);
    }
    let (parent, name) = (socket.parent().unwrap_or(Path::new("/")), socket.file_name().unwrap_or_default());
    let open = File::open(parent)?;
    use std::os::fd::AsRawFd;
    f(&Path::new("/proc/self/fd").join(open.as_raw_fd().to_string()).join(name))
}

fn try_lock(path: &Path) -> Result<Option<OwnedFd>, EnsureError> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(|source| directory("open", path, source))?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        // The lock lives as long as the last copy of this descriptor: those of guard and keeper.
        Ok(()) => Ok(Some(file.into())),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(errno) => Err(directory("lock", path, errno.into())),
    }
}

fn make(
    config: &Config,
    lock: OwnedFd,
    socket: PathBuf,
    dir: PathBuf,
    image: String,
) -> Result<Connector, EnsureError> {
    let name = own_name(&dir)?;
    let listener = bind(&socket).map_err(|source| directory("listen on", &socket, source))?;
    let (mut told, ready) = io::pipe().map_err(EnsureError::Fork)?;
    // SAFETY: this process has one thread.
    match unsafe { fork() }.map_err(|errno| EnsureError::Fork(errno.into()))? {
        ForkResult::Child => {
            // Once more, so that the guard is nobody's child who would have to reap it.
            // SAFETY: as above.
            match unsafe { fork() } {
                Ok(ForkResult::Child) => {}
                Ok(ForkResult::Parent { .. }) => process::exit(0),
                Err(_) => process::exit(1),
            }
            drop(told);
            let ready = File::from(OwnedFd::from(ready));
            let house = House {
                listener,
                _lock: lock,
                socket,
                dir,
                name,
                end_with_agent: config.end_with_agent,
                remove_at_end: config.remove_at_end.clone(),
                cgroups: Groups::none(),
                origin: process::origin(),
                guard_pid: 0,
                deaths: 0,
                image,
                ready: Some(ready),
            };
            become_guard(house, config.cgroups)
        }
        ForkResult::Parent { child } => {
            drop((ready, listener, lock));
            let _ = nix::sys::wait::waitpid(child, None);
            let mut why = String::new();
            let _ = told.read_to_string(&mut why);
            match why.trim_end() {
                "ok" => greet(&socket, false)
                    .map(|welcome| connector(socket, &welcome, false))
                    .ok_or_else(|| EnsureError::NotReady { why: "it does not answer".into() }),
                "" => Err(EnsureError::NotReady { why: "it died without a word".into() }),
                why => Err(EnsureError::NotReady { why: why.into() }),
            }
        }
    }
}

fn become_guard(mut house: House, cgroups: Choice) -> ! {
    let kept: Vec<_> =
        house.ready.iter().map(AsFd::as_fd).chain([house._lock.as_fd(), house.listener.as_fd()]).collect();
    let setup = process::detach(&house.dir.join("log")).and_then(|()| process::close_all_but(&kept));
    if let Err(error) = setup {
        house.report_ready(&Err(error.to_string()));
        process::exit(1)
    }
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    process::take_protection(&house.origin);
    house.cgroups = Groups::find(cgroups, &house.name);
    if let Err(error) = house.cgroups.enter() {
        process::note(&format!("the guard stays in the agent's control group: {error}"));
    }
    process::note(&format!(
        "guard for {}, control groups: {}",
        house.socket.display(),
        house.cgroups.describe()
    ));
    guard::run(house, Vec::new())
}

/// Binds the socket for its owner alone. The lock is held, so an old one belongs to nobody.
fn bind(socket: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let before = nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o177));
    let bound = with_short_path(socket, |path| UnixListener::bind(path));
    nix::sys::stat::umask(before);
    bound
}

/// Returns the name of this directory's keepers, made at random once: marks and control groups must not be mistaken for
/// those of another directory, and must be known again when guard and keeper have died.
fn own_name(dir: &Path) -> Result<String, EnsureError> {
    let path = dir.join("name");
    let valid = |name: &str| name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    match fs::read_to_string(&path) {
        Ok(name) if valid(&name) => return Ok(name),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(directory("read", &path, source)),
    }
    let make = || {
        let mut random = [0u8; 8];
        File::open("/dev/urandom")?.read_exact(&mut random)?;
        let name = format!("{:016x}", u64::from_le_bytes(random));
        let temporary = path.with_extension("new");
        let mut file = File::create(&temporary)?;
        file.write_all(name.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        Ok(name)
    };
    make().map_err(|source| directory("write", &path, source))
}
