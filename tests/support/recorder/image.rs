//! What a power cut may leave of a directory.
//!
//! Nothing that was not synced is promised: the content of a file needs a sync of the file, a name needs a sync of its
//! directory. What was not synced is either dropped, or torn: any half of the 4 KiB pages, any half of the names.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use super::script::Random;
use super::trace::Event;

/// What becomes of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Dropped,
    Torn,
}

const PAGE: u64 = 4096;

/// A file system with a memory of what is durable.
#[derive(Debug, Default)]
pub struct Disk {
    objects: Vec<Object>,
    /// As the process sees it, without the power cut.
    by_path: HashMap<String, usize>,
    by_inode: HashMap<u64, usize>,
    /// The newest mark.
    pub acknowledged: Option<u64>,
    /// For the test of the test: a world in which `fdatasync` does nothing.
    pub fdatasync_is_ignored: bool,
}

#[derive(Debug)]
enum Object {
    File { durable: Vec<u8>, pending: Vec<Change> },
    Dir { durable: BTreeMap<String, usize>, pending: Vec<Names> },
}

#[derive(Debug)]
enum Change {
    Write { offset: u64, data: Vec<u8> },
    Truncate(u64),
}

/// Names that change together; `None` is gone.
type Names = Vec<(String, Option<usize>)>;

impl Disk {
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Root { inode, path } => {
                self.add(*inode, path, Object::Dir { durable: BTreeMap::new(), pending: Vec::new() });
            }
            Event::Create { inode, path } => {
                let file = self.add(*inode, path, Object::File { durable: Vec::new(), pending: Vec::new() });
                self.rename_in(path, vec![(name(path), Some(file))]);
            }
            Event::Mkdir { inode, path } => {
                let dir =
                    self.add(*inode, path, Object::Dir { durable: BTreeMap::new(), pending: Vec::new() });
                self.rename_in(path, vec![(name(path), Some(dir))]);
            }
            Event::Write { inode, offset, data } => {
                self.change(*inode, Change::Write { offset: *offset, data: data.clone() });
            }
            Event::Truncate { inode, len } => self.change(*inode, Change::Truncate(*len)),
            Event::Sync { data_only: true, .. } if self.fdatasync_is_ignored => {}
            Event::Sync { inode, .. } => self.sync(*inode),
            Event::Range => {}
            Event::Rename { from, to } => {
                assert_eq!(parent(from), parent(to), "no store renames across directories");
                let moved = self.by_path.remove(from).expect("a known name");
                self.by_path.insert(to.clone(), moved);
                self.rename_in(to, vec![(name(from), None), (name(to), Some(moved))]);
            }
            Event::Unlink { path } => {
                self.by_path.remove(path).expect("a known name");
                self.rename_in(path, vec![(name(path), None)]);
            }
            Event::Mark(op) => self.acknowledged = Some(*op),
        }
    }

    fn add(&mut self, inode: u64, path: &str, object: Object) -> usize {
        let id = self.objects.len();
        self.objects.push(object);
        self.by_path.insert(path.to_owned(), id);
        // An inode number is used again after its file is gone.
        self.by_inode.insert(inode, id);
        id
    }

    fn rename_in(&mut self, path: &str, names: Names) {
        let dir = self.by_path[parent(path)];
        match &mut self.objects[dir] {
            Object::Dir { pending, .. } => pending.push(names),
            Object::File { .. } => panic!("{path} is in a file"),
        }
    }

    fn change(&mut self, inode: u64, change: Change) {
        match &mut self.objects[self.by_inode[&inode]] {
            Object::File { pending, .. } => pending.push(change),
            Object::Dir { .. } => panic!("a write to a directory"),
        }
    }

    fn sync(&mut self, inode: u64) {
        match &mut self.objects[self.by_inode[&inode]] {
            Object::File { durable, pending } => {
                for change in pending.drain(..) {
                    match change {
                        Change::Write { offset, data } => write_at(durable, offset, &data),
                        Change::Truncate(len) => durable.resize(len as usize, 0),
                    }
                }
            }
            Object::Dir { durable, pending } => {
                pending.drain(..).for_each(|names| rename(durable, &names));
            }
        }
    }

    /// Writes what a power cut now may leave of the watched directory into `target`.
    pub fn cut(&self, mode: Mode, random: &mut Random, target: &Path) {
        self.cut_object(0, mode, random, target);
    }

    fn cut_object(&self, object: usize, mode: Mode, random: &mut Random, target: &Path) {
        match &self.objects[object] {
            Object::File { durable, pending } => {
                let mut content = durable.clone();
                if mode == Mode::Torn {
                    tear(&mut content, pending, random);
                }
                std::fs::write(target, content).expect("room for an image");
            }
            Object::Dir { durable, pending } => {
                let mut names = durable.clone();
                for change in pending.iter().filter(|_| mode == Mode::Torn) {
                    if random.chance(2) {
                        rename(&mut names, change);
                    }
                }
                std::fs::create_dir_all(target).expect("room for an image");
                for (name, object) in names {
                    self.cut_object(object, mode, random, &target.join(name));
                }
            }
        }
    }
}

/// Applies any half of the pages; the size may grow without its content, which is zeros then.
fn tear(content: &mut Vec<u8>, pending: &[Change], random: &mut Random) {
    for change in pending {
        match change {
            Change::Write { offset, data } => {
                let end = offset + data.len() as u64;
                let mut at = *offset;
                while at < end {
                    let page_end = ((at / PAGE + 1) * PAGE).min(end);
                    if random.chance(2) {
                        write_at(content, at, &data[(at - offset) as usize..(page_end - offset) as usize]);
                    }
                    at = page_end;
                }
                if random.chance(2) && content.len() < end as usize {
                    content.resize(end as usize, 0);
                }
            }
            Change::Truncate(len) => {
                if random.chance(2) {
                    content.resize(*len as usize, 0);
                }
            }
        }
    }
}

fn write_at(content: &mut Vec<u8>, offset: u64, data: &[u8]) {
    let (start, end) = (offset as usize, offset as usize + data.len());
    if content.len() < end {
        content.resize(end, 0);
    }
    content[start..end].copy_from_slice(data);
}

fn rename(names: &mut BTreeMap<String, usize>, changes: &Names) {
    for (name, object) in changes {
        match object {
            Some(object) => names.insert(name.clone(), *object),
            None => names.remove(name),
        };
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').expect("an absolute path").0
}

fn name(path: &str) -> String {
    path.rsplit_once('/').expect("an absolute path").1.to_owned()
}
