//! A long wire: every packet waits before it arrives. By a queue of the firewall, not by netem: kernels without netem are common, and
//! this one queue is all that is needed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nfq::{Message, Queue, Verdict};

use super::Space;

/// The queue's number in a namespace.
pub(super) const QUEUE: u16 = 1;

/// Packets that wait at most: what a fast sender sends in a long delay. More are dropped, as on any wire.
const WAITING: u32 = 8192;

/// Holds what arrives in a namespace. Dropping it loses what waits, and what comes then does not wait. It cannot be opened again while
/// processes live that were started meanwhile: the library lets them have its socket too.
pub(crate) struct SlowLane {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl SlowLane {
    /// Holds every packet for `delay`.
    ///
    /// # Panics
    /// When this kernel has no such queue.
    pub(crate) fn open(space: &Space, delay: Duration) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let (space, over) = (space.clone(), is_over.clone());
        let (ready, is_ready) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            space.settle();
            let queue = open();
            ready.send(()).ok();
            hold(queue, delay, &over).expect("the queue works");
        });
        is_ready
            .recv()
            .expect("this kernel lacks nfnetlink_queue, by which packets are delayed: no delay was tested");
        Self { is_over, thread: Some(thread) }
    }
}

fn open() -> Queue {
    let mut queue = Queue::open().expect("a netlink socket");
    queue.bind(QUEUE).expect("a queue of packets");
    queue.set_queue_max_len(QUEUE, WAITING).expect("a longer queue");
    // Its headers are enough: the kernel keeps the packet.
    queue.set_copy_range(QUEUE, 128).expect("less to copy");
    queue.set_nonblocking(true);
    queue
}

fn hold(mut queue: Queue, delay: Duration, is_over: &AtomicBool) -> std::io::Result<()> {
    let mut waiting: VecDeque<(Instant, Message)> = VecDeque::new();
    while !is_over.load(Ordering::Relaxed) {
        match queue.recv() {
            Ok(packet) => {
                waiting.push_back((Instant::now() + delay, packet));
                continue;
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            // A packet that waited when the rules changed: the kernel has dropped it.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        }
        while waiting.front().is_some_and(|(due, _)| *due <= Instant::now()) {
            let Some((_, mut packet)) = waiting.pop_front() else { break };
            packet.set_verdict(Verdict::Accept);
            match queue.verdict(packet) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

impl Drop for SlowLane {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}
