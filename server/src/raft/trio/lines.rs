//! Connections that can be cut.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};
use tonic::transport::Channel;
use tower::service_fn;

use crate::raft::{BadAddress, Dial, Purpose, endpoint};

/// What a slow line takes at once.
const SLOW_PIECE: usize = 8 << 10;

/// One direction of dialling between two servers.
#[derive(Debug)]
pub(super) struct Line {
    is_cut: AtomicBool,
    /// Bytes of the log that go over it in a second; 0 for any.
    pub(super) log_rate: AtomicU64,
    /// Bytes of snapshots that went over it.
    pub(super) snapshot_bytes: AtomicU64,
    /// The connection for snapshots breaks, once, when that many have gone.
    pub(super) breaks_at: AtomicU64,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            is_cut: AtomicBool::default(),
            log_rate: AtomicU64::default(),
            snapshot_bytes: AtomicU64::default(),
            breaks_at: AtomicU64::new(u64::MAX),
        }
    }
}

impl Line {
    fn check(&self) -> io::Result<()> {
        if self.is_cut.load(SeqCst) { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
    }
}

type Pairs = BTreeMap<(u64, u64), Arc<Line>>;

/// All lines. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines {
    lines: Arc<Mutex<Pairs>>,
    ids: Arc<Mutex<BTreeMap<SocketAddr, u64>>>,
}

impl Lines {
    pub(super) fn name(&self, id: u64, addr: SocketAddr) {
        self.ids.lock().unwrap().insert(addr, id);
    }

    pub(super) fn line(&self, from: u64, to: u64) -> Arc<Line> {
        self.lines.lock().unwrap().entry((from, to)).or_default().clone()
    }

    /// Cuts or mends everything between two servers.
    pub(super) fn set_cut(&self, one: u64, other: u64, is_cut: bool) {
        for line in [self.line(one, other), self.line(other, one)] {
            line.is_cut.store(is_cut, SeqCst);
        }
    }

    pub(super) fn dial_of(&self, own: u64) -> Arc<dyn Dial> {
        Arc::new(Dialer { own, lines: self.clone() })
    }
}

#[derive(Debug)]
struct Dialer {
    own: u64,
    lines: Lines,
}

impl Dial for Dialer {
    fn dial(&self, addr: &str, purpose: Purpose) -> Result<Channel, BadAddress> {
        let addr_of: SocketAddr = addr.parse().unwrap();
        let id = self.lines.ids.lock().unwrap()[&addr_of];
        let line = self.lines.line(self.own, id);
        let connector = service_fn(move |_| {
            let line = line.clone();
            async move {
                line.check()?;
                let stream = TcpStream::connect(addr_of).await?;
                Ok::<_, io::Error>(TokioIo::new(Tapped {
                    stream,
                    line,
                    purpose,
                    pause: Box::pin(sleep(Duration::ZERO)),
                }))
            }
        });
        Ok(endpoint(addr)?.connect_with_connector_lazy(connector))
    }
}

/// A connection that looks at its line first.
struct Tapped {
    stream: TcpStream,
    line: Arc<Line>,
    purpose: Purpose,
    /// Until what was written has gone over a slow line.
    pause: Pin<Box<Sleep>>,
}

impl AsyncRead for Tapped {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.line.check()?;
        Pin::new(&mut self.stream).poll_read(context, out)
    }
}

impl AsyncWrite for Tapped {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.line.check()?;
        if self.purpose == Purpose::Snapshots {
            let breaks_at = self.line.breaks_at.load(SeqCst);
            if self.line.snapshot_bytes.load(SeqCst) >= breaks_at {
                self.line.breaks_at.store(u64::MAX, SeqCst);
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
        }
        let rate = if self.purpose == Purpose::Log { self.line.log_rate.load(SeqCst) } else { 0 };
        if rate > 0 {
            ready!(self.pause.as_mut().poll(context));
        }
        let bytes = if rate > 0 { &bytes[..bytes.len().min(SLOW_PIECE)] } else { bytes };
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        if let (Poll::Ready(Ok(count)), true) = (&written, rate > 0) {
            let gone_in = Duration::from_secs_f64(*count as f64 / rate as f64);
            self.pause.as_mut().reset(Instant::now() + gone_in);
        }
        if let (Poll::Ready(Ok(count)), Purpose::Snapshots) = (&written, self.purpose) {
            self.line.snapshot_bytes.fetch_add(*count as u64, SeqCst);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
