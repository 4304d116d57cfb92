//! Limits of this machine: the least that any program pays for what is measured, taken in the same round.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::meter::now_ns;
use crate::stamps::Stamps;

/// Until a process of ours has begun.
const SOON: Duration = Duration::from_secs(20);
/// Bytes of one record in the probe of the disk: a small command with its framing.
const RECORD: usize = 512;

/// Starts processes as fast as one thread can with `posix_spawn`, and returns the time until the last one's first instruction, in
/// milliseconds. They are killed before it returns.
pub(crate) fn spawn_ms(stamp: &Path, stamps: &Stamps, count: usize) -> Result<f64, String> {
    let begun = now_ns();
    let running: Vec<Running> = (0..count).map(|_| Running::start(stamp, stamps)).collect();
    let pids: Vec<u32> = running.iter().map(|running| running.0.id()).collect();
    let last = stamps.last_of(&pids, SOON)?;
    Ok(last.saturating_sub(begun) as f64 / 1e6)
}

/// Kills a child, sees its end on a pidfd, and starts the next, again and again; returns the milliseconds from each kill to the
/// next first instruction.
pub(crate) fn restart_ms(stamp: &Path, stamps: &Stamps, kills: usize) -> Result<Vec<f64>, String> {
    let mut running = Running::start(stamp, stamps);
    stamps.last_of(&[running.0.id()], SOON)?;
    let mut taken = Vec::new();
    for _ in 0..kills {
        let end = pidfd(running.0.id())?;
        let killed = now_ns();
        running.0.kill().ok();
        poll(&mut [PollFd::new(end.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE)
            .map_err(|errno| errno.to_string())?;
        running.0.wait().ok();
        running = Running::start(stamp, stamps);
        let began = stamps.last_of(&[running.0.id()], SOON)?;
        taken.push(began.saturating_sub(killed) as f64 / 1e6);
    }
    Ok(taken)
}

/// A child that does not outlive its owner.
struct Running(Child);

impl Running {
    // Without a user, a group or a hook the standard library uses `posix_spawn`, which shares memory until the exec.
    fn start(stamp: &Path, stamps: &Stamps) -> Self {
        let mut command = Command::new(stamp);
        command.arg(stamps.path()).stdin(Stdio::null()).stdout(Stdio::null());
        Self(command.spawn().expect("compiled a moment ago"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn pidfd(pid: u32) -> Result<OwnedFd, String> {
    // SAFETY: the call takes two numbers and returns a descriptor or -1.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid as libc::pid_t, 0) };
    if fd < 0 {
        return Err(std::io::Error::last_os_error().to_string());
    }
    // SAFETY: the kernel made it a moment ago, for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Opens a pidfd for each of some processes and asks whether any has ended: the least that a supervisor which comes back must do to
/// watch them. Returns milliseconds.
pub(crate) fn adopt_ms(pids: &[u32]) -> Result<f64, String> {
    let begun = Instant::now();
    let watched: Result<Vec<OwnedFd>, String> = pids.iter().map(|pid| pidfd(*pid)).collect();
    let watched = watched?;
    let mut ends: Vec<PollFd> =
        watched.iter().map(|end| PollFd::new(end.as_fd(), PollFlags::POLLIN)).collect();
    poll(&mut ends, PollTimeout::ZERO).map_err(|errno| errno.to_string())?;
    Ok(begun.elapsed().as_secs_f64() * 1e3)
}

/// Sends a small message over loopback, appends it to a file, syncs, and answers, again and again: what one durable write must
/// cost. Returns milliseconds. Every sync takes `extra` longer.
pub(crate) fn durable_ms(dir: &Path, count: usize, extra: Duration) -> Result<Vec<f64>, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    let addr = listener.local_addr().map_err(|error| error.to_string())?;
    let path = dir.join("probe.log");
    let server = std::thread::spawn({
        let path = path.clone();
        move || keep(&listener, &path, count, extra)
    });
    let call = || -> std::io::Result<Vec<f64>> {
        let mut stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        let mut record = [7; RECORD];
        (0..count)
            .map(|_| {
                let begun = Instant::now();
                stream.write_all(&record)?;
                stream.read_exact(&mut record[..1])?;
                Ok(begun.elapsed().as_secs_f64() * 1e3)
            })
            .collect()
    };
    let taken = call();
    let kept = server.join().map_err(|_| "the probe of the disk panicked".to_owned())?;
    std::fs::remove_file(path).ok();
    kept.map_err(|error| error.to_string())?;
    taken.map_err(|error| error.to_string())
}

fn keep(listener: &TcpListener, path: &Path, count: usize, extra: Duration) -> std::io::Result<()> {
    let (mut stream, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    let file = File::create(path)?;
    // Preallocated and written once, as a careful log is: a sync then moves data and no metadata.
    let blank = vec![0; RECORD];
    for at in 0..count {
        file.write_all_at(&blank, (at * RECORD) as u64)?;
    }
    file.sync_all()?;
    let mut record = [0; RECORD];
    for at in 0..count {
        stream.read_exact(&mut record)?;
        file.write_all_at(&record, (at * RECORD) as u64)?;
        file.sync_data()?;
        if !extra.is_zero() {
            std::thread::sleep(extra);
        }
        stream.write_all(&record[..1])?;
    }
    Ok(())
}

/// Runs a program to its end, and returns the milliseconds that took.
pub(crate) fn run_ms(mut command: Command) -> Result<f64, String> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let begun = Instant::now();
    let output = command.output().map_err(|error| error.to_string())?;
    let taken = begun.elapsed().as_secs_f64() * 1e3;
    if output.status.success() {
        return Ok(taken);
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// Sends bytes over loopback, and writes and syncs them in blocks of `block` as they come: what it must cost to keep what others say.
/// Returns milliseconds until the last block is on disk.
pub(crate) fn kept_ms(dir: &Path, bytes: usize, block: usize) -> Result<f64, String> {
    let keep = || -> std::io::Result<f64> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let path = dir.join("probe.kept");
        let file = File::create(&path)?;
        let begun = Instant::now();
        let sender = std::thread::spawn(move || TcpStream::connect(addr)?.write_all(&vec![7; bytes]));
        let (mut stream, _) = listener.accept()?;
        let (mut buffer, mut at) = (vec![0; block], 0);
        while at < bytes {
            let part = block.min(bytes - at);
            stream.read_exact(&mut buffer[..part])?;
            file.write_all_at(&buffer[..part], at as u64)?;
            file.sync_data()?;
            at += part;
        }
        let taken = begun.elapsed().as_secs_f64() * 1e3;
        sender.join().map_err(|_| std::io::Error::other("the sender panicked"))??;
        std::fs::remove_file(path)?;
        Ok(taken)
    };
    keep().map_err(|error| error.to_string())
}

/// Answers small messages on a connection of its own, one after another; returns the CPU time of who answers, in microseconds per message.
pub(crate) fn echo_us(count: usize) -> Result<f64, String> {
    const MESSAGE: usize = 64;
    let echo = || -> std::io::Result<f64> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let answering = std::thread::spawn(move || -> std::io::Result<u64> {
            let (mut stream, _) = listener.accept()?;
            stream.set_nodelay(true)?;
            let (mut message, before) = ([0; MESSAGE], crate::meter::thread_cpu_ns());
            for _ in 0..count {
                stream.read_exact(&mut message)?;
                stream.write_all(&message)?;
            }
            Ok(crate::meter::thread_cpu_ns() - before)
        });
        let mut stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        let mut message = [7; MESSAGE];
        for _ in 0..count {
            stream.write_all(&message)?;
            stream.read_exact(&mut message)?;
        }
        let cpu = answering.join().map_err(|_| std::io::Error::other("who answers panicked"))??;
        Ok(cpu as f64 / 1e3 / count as f64)
    };
    echo().map_err(|error| error.to_string())
}
