//! Tables whose clone costs nothing: a persistent map for most things, compact pages for allocations.

use std::borrow::Borrow;
use std::sync::Arc;

use proto::ids::AllocId;

/// A persistent ordered map. A clone shares everything; a change copies one path.
#[derive(Clone, Debug)]
pub struct Table<K: Ord, V> {
    rows: imbl::OrdMap<K, Arc<V>>,
}

impl<K: Ord + Clone, V: Clone> Default for Table<K, V> {
    fn default() -> Self {
        Self { rows: imbl::OrdMap::new() }
    }
}

impl<K: Ord + Clone, V: Clone> Table<K, V> {
    /// Returns the row of that key.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&Arc<V>>
    where
        K: Borrow<Q>,
    {
        self.rows.get(key)
    }

    /// Returns the row of that key, to change it; snapshots keep the row as it was.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.rows.get_mut(key).map(Arc::make_mut)
    }

    /// Puts a row, in place of the one before.
    pub fn insert(&mut self, key: K, row: V) {
        self.rows.insert(key, Arc::new(row));
    }

    /// Takes a row out; nothing happens when there is none.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<Arc<V>>
    where
        K: Borrow<Q>,
    {
        self.rows.remove(key)
    }

    /// Returns all rows in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &Arc<V>)> {
        self.rows.iter()
    }

    /// Returns the number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// Rows per page: a change copies at most one page, and a page's index costs the map one entry for all of them.
const PAGE: u64 = 64;

/// Rows keyed by a number from a counter, in copy-on-write pages: neighbours were made together and change together.
#[derive(Clone, Debug)]
pub struct Pages<V> {
    pages: imbl::OrdMap<u64, Arc<Vec<(u64, V)>>>,
    len: usize,
}

impl<V: Clone> Default for Pages<V> {
    fn default() -> Self {
        Self { pages: imbl::OrdMap::new(), len: 0 }
    }
}

impl<V: Clone> Pages<V> {
    /// Returns the row of that id.
    #[must_use]
    pub fn get(&self, id: AllocId) -> Option<&V> {
        let page = self.pages.get(&(id.0 / PAGE))?;
        page.binary_search_by_key(&id.0, |row| row.0).ok().map(|at| &page[at].1)
    }

    /// Returns the row of that id, to change it; snapshots keep the row as it was.
    pub fn get_mut(&mut self, id: AllocId) -> Option<&mut V> {
        let page = self.pages.get_mut(&(id.0 / PAGE))?;
        let at = page.binary_search_by_key(&id.0, |row| row.0).ok()?;
        Some(&mut Arc::make_mut(page)[at].1)
    }

    /// Puts a row, in place of the one before.
    pub fn insert(&mut self, id: AllocId, row: V) {
        let page = Arc::make_mut(self.pages.entry(id.0 / PAGE).or_insert_with(|| Arc::new(Vec::new())));
        match page.binary_search_by_key(&id.0, |row| row.0) {
            Ok(at) => page[at].1 = row,
            Err(at) => {
                page.insert(at, (id.0, row));
                self.len += 1;
            }
        }
    }

    /// Takes a row out; nothing happens when there is none.
    pub fn remove(&mut self, id: AllocId) -> Option<V> {
        let number = id.0 / PAGE;
        let page = self.pages.get_mut(&number)?;
        let at = page.binary_search_by_key(&id.0, |row| row.0).ok()?;
        let (_, row) = Arc::make_mut(page).remove(at);
        let empty = page.is_empty();
        self.len -= 1;
        if empty {
            self.pages.remove(&number);
        }
        Some(row)
    }

    /// Returns all rows in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (AllocId, &V)> {
        self.pages.values().flat_map(|page| page.iter().map(|(id, row)| (AllocId(*id), row)))
    }

    /// Returns the number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pages_are_a_map_and_snapshots_of_them_stay(ops in proptest::collection::vec((0u8..3, 0u64..300, any::<u32>()), 0..200)) {
            let mut pages = Pages::default();
            let mut model = BTreeMap::new();
            let mut kept = (pages.clone(), model.clone());
            for (at, (op, id, value)) in ops.into_iter().enumerate() {
                match op {
                    0 => prop_assert_eq!(pages.remove(AllocId(id)), model.remove(&id)),
                    1 => { pages.insert(AllocId(id), value); model.insert(id, value); }
                    _ => {
                        if let Some(row) = pages.get_mut(AllocId(id)) { *row = value; }
                        model.entry(id).and_modify(|row| *row = value);
                    }
                }
                if at == 50 { kept = (pages.clone(), model.clone()); }
                prop_assert_eq!(pages.len(), model.len());
            }
            let rows = |pages: &Pages<u32>| pages.iter().map(|(id, row)| (id.0, *row)).collect::<BTreeMap<_, _>>();
            prop_assert_eq!(rows(&pages), model);
            prop_assert_eq!(rows(&kept.0), kept.1);
        }
    }
}
