//! What is left of ended allocations goes when its time is over, or when the disk needs the room.

use proto::ids::AllocId;

use super::alloc::Message as ToAlloc;
use super::manager::Manager;
use crate::core::retention::{self, Remains, Space};
use crate::limits::DISK_FREED_AT_ONCE;

impl Manager {
    /// Removes what is left of ended allocations: of those whose time is over, and of the oldest while the disk is low.
    pub(super) async fn tidy(&mut self) {
        let mut remains: Vec<Remains> = self.allocs.values().filter_map(|one| one.view().remains()).collect();
        for id in retention::expired(&remains, self.shared.clock.wall()) {
            remains.retain(|one| one.id != id);
            self.remove(id).await;
        }
        self.cleared.retain(|id| self.allocs.contains_key(id));
        remains.retain(|one| one.released_at.is_some() || !self.cleared.contains(&one.id));
        if !remains.is_empty() && self.is_disk_low().await {
            for one in retention::oldest(&remains, DISK_FREED_AT_ONCE) {
                tracing::warn!(alloc = %one.id, "the disk is low: the logs of this ended allocation are removed");
                match one.released_at {
                    Some(_) => self.remove(one.id).await,
                    None => self.clear(one.id).await,
                }
            }
        }
    }

    async fn is_disk_low(&self) -> bool {
        let (gauge, path) = (self.gauge.clone(), self.shared.tasks.store.root());
        let space = self.shared.tasks.on_disk(move || gauge.read(&path)).await;
        space.is_ok_and(|space| space.is_some_and(Space::is_low))
    }

    async fn remove(&mut self, id: AllocId) {
        if let Some(one) = self.allocs.remove(&id) {
            one.send(ToAlloc::Remove).await;
        }
    }

    async fn clear(&mut self, id: AllocId) {
        self.cleared.insert(id);
        let store = self.shared.tasks.store.clone();
        let cleared = self.shared.tasks.on_disk(move || store.remove_logs(id)).await;
        if let Ok(Err(error)) = cleared {
            tracing::warn!(alloc = %id, %error, "cannot remove its logs");
        }
    }
}
