//! Rings when something in a folder was written to, so that nobody has to look again and again: a hundred quiet tasks cost nothing.

use std::collections::BTreeMap;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// Watches folders.
#[derive(Debug, Clone)]
pub(super) struct Bell {
    /// None: the kernel gives none (a user's instances are counted), and whoever waits looks again by the clock.
    inner: Option<Arc<Inner>>,
    /// What listens to the kernel; it goes with the last copy.
    _listener: Option<Arc<AbortOnDropHandle<()>>>,
}

#[derive(Debug)]
struct Inner {
    kernel: AsyncFd<OwnedFd>,
    ropes: Mutex<BTreeMap<i32, watch::Sender<()>>>,
}

impl Bell {
    /// Makes one and lets it ring until its last copy is gone. Must be called within a runtime.
    pub(super) fn new() -> Self {
        let kernel = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC);
        let kernel = kernel.map_err(std::io::Error::from).and_then(|kernel| {
            // SAFETY: the descriptor is owned by what is registered and closed with it, never before and by nobody else.
            Ok(unsafe { AsyncFd::register(kernel) }?)
        });
        let inner = match kernel {
            Ok(kernel) => Arc::new(Inner { kernel, ropes: Mutex::default() }),
            Err(error) => {
                tracing::debug!(%error, "no notice of new output: looking for it instead");
                return Self { inner: None, _listener: None };
            }
        };
        let listener = tokio::spawn(listen(inner.clone()));
        Self { inner: Some(inner), _listener: Some(Arc::new(AbortOnDropHandle::new(listener))) }
    }

    /// Returns what changes when a file in the folder does; none where that cannot be had. It closes when the folder is removed.
    pub(super) fn rope(&self, folder: &Path) -> Option<watch::Receiver<()>> {
        let inner = self.inner.as_ref()?;
        let mut ropes = inner.ropes();
        let watched = inotify::add_watch(&inner.kernel, folder, WatchFlags::MODIFY | WatchFlags::CREATE);
        let number = watched.ok()?;
        Some(ropes.entry(number).or_insert_with(|| watch::channel(()).0).subscribe())
    }
}

async fn listen(inner: Arc<Inner>) {
    while let Ok(mut ready) = inner.kernel.readable().await {
        inner.ring();
        ready.clear_ready();
    }
}

impl Inner {
    fn ring(&self) {
        let mut ropes = self.ropes();
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(&self.kernel, &mut buffer);
        loop {
            match events.next() {
                Ok(event) if event.events().contains(ReadFlags::QUEUE_OVERFLOW) => {
                    for rope in ropes.values() {
                        rope.send_replace(());
                    }
                }
                Ok(event) if event.events().contains(ReadFlags::IGNORED) => {
                    ropes.remove(&event.wd());
                }
                Ok(event) => {
                    if let Some(rope) = ropes.get(&event.wd()) {
                        rope.send_replace(());
                    }
                }
                Err(Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }

    fn ropes(&self) -> MutexGuard<'_, BTreeMap<i32, watch::Sender<()>>> {
        // Every change under the lock is whole, so a panic of another holder leaves nothing half done.
        self.ropes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn it_rings_when_a_file_grows_and_closes_when_the_folder_goes() {
        let folder = tempfile::tempdir().unwrap();
        let bell = Bell::new();
        let mut rope = bell.rope(folder.path()).expect("a kernel with inotify");
        let file = folder.path().join("web.stdout.0");
        for text in ["one", "two"] {
            std::fs::write(&file, text).unwrap();
            tokio::time::timeout(Duration::from_secs(5), rope.changed()).await.unwrap().unwrap();
        }
        folder.close().unwrap();
        let closed = async { while rope.changed().await.is_ok() {} };
        tokio::time::timeout(Duration::from_secs(5), closed).await.unwrap();
    }
}
