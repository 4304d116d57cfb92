//! The cluster's key: one secret in one file, by which members know each other.
//!
//! Whoever holds it is a member. Nothing of it travels: what is shown to others is derived from it, one secret per purpose, so that
//! one that leaks opens nothing else.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use data_encoding::BASE32_NOPAD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// What the line of a key file begins with; the number is the version of what follows.
const PREFIX: &str = "minijob-key-1:";
/// Random bytes of a key.
const BYTES: usize = 32;
/// Keys in a file: one, or while it is changed the new one and the one before.
const KEYS: usize = 2;
/// The longest file that is read: its keys with some white space around them.
const FILE_BYTES: u64 = 256;
/// Only the owner reads it.
const MODE: u32 = 0o600;

/// The key of a cluster: 256 random bits. It is never shown by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct ClusterKey([u8; BYTES]);

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file is there already.
    #[error("{} is there already: a key is never overwritten; use it, or name another file", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file could not be written.
    #[error("cannot write the key file {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file could not be read.
    #[error("cannot read the key file {}: {source}; `minijob operator key FILE` makes one", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others may read the file.
    #[error("others can read the key file {} (mode {mode:03o}): `chmod 600 {}` makes it yours alone", path.display(), path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file holds no key.
    #[error("{} holds no key: one line `{PREFIX}` with 52 letters and digits is expected, or two while the key is changed; `minijob operator key FILE` makes one", path.display())]
    Content {
        /// The file.
        path: PathBuf,
    },
    /// The system gave no random bytes.
    #[error("the system gave no random bytes: {0}")]
    Random(String),
}

impl ClusterKey {
    /// Makes a new one.
    ///
    /// # Errors
    /// [`KeyError::Random`]
    pub fn generate() -> Result<Self, KeyError> {
        let mut bytes = [0; BYTES];
        getrandom::fill(&mut bytes).map_err(|error| KeyError::Random(error.to_string()))?;
        Ok(Self(bytes))
    }

    /// Reads the line of a key file; white space around it counts for nothing. None: it is no key.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let encoded = text.trim().strip_prefix(PREFIX)?.to_ascii_uppercase();
        let bytes = BASE32_NOPAD.decode(encoded.as_bytes()).ok()?;
        Some(Self(bytes.try_into().ok()?))
    }

    /// Returns the line of a key file, which is the secret itself.
    #[must_use]
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}", base32(&self.0))
    }

    /// Writes it into a new file that only its owner reads.
    ///
    /// # Errors
    /// [`KeyError::Exists`] when there is such a file, whatever it holds; [`KeyError::Write`].
    pub fn write_new(&self, path: &Path) -> Result<(), KeyError> {
        let opened = OpenOptions::new().write(true).create_new(true).mode(MODE).open(path);
        let mut file = opened.map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => KeyError::Exists { path: path.to_owned() },
            _ => KeyError::Write { path: path.to_owned(), source },
        })?;
        let written = writeln!(file, "{}", self.reveal()).and_then(|()| file.sync_all());
        written.map_err(|source| KeyError::Write { path: path.to_owned(), source })
    }

    /// Reads the key of a key file; while it is changed the new one.
    ///
    /// # Errors
    /// See [`ClusterKey::read_all`].
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let mut keys = Self::read_all(path)?;
        Ok(keys.swap_remove(0))
    }

    /// Reads all keys of a key file: one, or while it is changed two, the new one first.
    ///
    /// # Errors
    /// [`KeyError::Read`]; [`KeyError::Open`] when its group or others may do anything with it; [`KeyError::Content`].
    pub fn read_all(path: &Path) -> Result<Vec<Self>, KeyError> {
        let failed = |source| KeyError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        // Of what was opened: the name may stand for another file by now.
        let mode = file.metadata().map_err(failed)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Open { path: path.to_owned(), mode });
        }
        let mut bytes = Vec::new();
        file.take(FILE_BYTES).read_to_end(&mut bytes).map_err(failed)?;
        let keys = std::str::from_utf8(&bytes).ok().and_then(Self::parse_all);
        keys.ok_or_else(|| KeyError::Content { path: path.to_owned() })
    }

    /// Reads the lines of a key file. None: one of them is no key, or there are too many or none.
    fn parse_all(text: &str) -> Option<Vec<Self>> {
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        let keys: Vec<Self> = lines.map(Self::parse).collect::<Option<_>>()?;
        let is_clear = keys.windows(2).all(|two| two[0] != two[1]);
        ((1..=KEYS).contains(&keys.len()) && is_clear).then_some(keys)
    }

    /// Makes a key file hold these keys, the newest first: at once, and only its owner reads it.
    ///
    /// # Errors
    /// [`KeyError::Write`]; the file is as it was.
    pub fn replace(keys: &[Self], path: &Path) -> Result<(), KeyError> {
        let failed = |source| KeyError::Write { path: path.to_owned(), source };
        let mut name = path.as_os_str().to_owned();
        name.push(".new");
        let temporary = PathBuf::from(name);
        let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(MODE).open(&temporary);
        let mut file = opened.map_err(failed)?;
        for key in keys {
            writeln!(file, "{}", key.reveal()).map_err(failed)?;
        }
        file.sync_all().map_err(failed)?;
        std::fs::rename(&temporary, path).map_err(failed)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all()).map_err(failed)
    }

    /// Returns the token of people that a cluster begins with: the same on every machine that has the key.
    #[must_use]
    pub fn token(&self) -> String {
        base32(&self.secret("token"))
    }

    /// Returns what tells this key from others and says nothing about it.
    #[must_use]
    pub fn mark(&self) -> u64 {
        let secret = self.secret("mark");
        secret.iter().take(8).fold(0, |mark, byte| (mark << 8) | u64::from(*byte))
    }

    /// Returns the secret for one purpose: HMAC-SHA256 of its name. It tells nothing about the key or about other secrets.
    #[must_use]
    pub fn secret(&self, purpose: &str) -> [u8; 32] {
        let mut mac =
            <Hmac<Sha256> as Mac>::new_from_slice(&self.0).expect("HMAC takes keys of every length");
        mac.update(purpose.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

/// Writes bytes as letters and digits that read well aloud and pass in a header: RFC 4648, lower case, not padded.
#[must_use]
pub fn base32(bytes: &[u8]) -> String {
    BASE32_NOPAD.encode(bytes).to_ascii_lowercase()
}

impl fmt::Debug for ClusterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn dir() -> tempfile::TempDir {
        tempfile::tempdir().expect("a directory")
    }

    #[test]
    fn a_key_that_was_written_is_read_and_nobody_else_reads_it() {
        let (dir, key) = (dir(), ClusterKey::generate().expect("random"));
        let path = dir.path().join("key");
        key.write_new(&path).expect("written");
        assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(ClusterKey::read(&path).expect("a key"), key);
        assert_ne!(ClusterKey::generate().expect("random"), key);
    }

    #[test]
    fn a_file_that_is_there_is_not_overwritten() {
        let dir = dir();
        let path = dir.path().join("key");
        std::fs::write(&path, "precious").expect("written");
        let refused = ClusterKey::generate().expect("random").write_new(&path).expect_err("there");
        assert!(matches!(refused, KeyError::Exists { .. }), "{refused}");
        assert_eq!(std::fs::read_to_string(&path).expect("there"), "precious");
    }

    #[test]
    fn a_key_that_others_can_read_is_refused_with_the_command_that_helps() {
        let dir = dir();
        let path = dir.path().join("key");
        ClusterKey::generate().expect("random").write_new(&path).expect("written");
        for mode in [0o640, 0o604, 0o644] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("ours");
            let refused = ClusterKey::read(&path).expect_err("open to others").to_string();
            assert!(refused.contains("chmod 600"), "{refused}");
        }
    }

    #[test]
    fn while_the_key_is_changed_a_file_holds_two_the_new_one_first() {
        let (dir, [old, new]) = (dir(), [(); 2].map(|()| ClusterKey::generate().expect("random")));
        let path = dir.path().join("key");
        old.write_new(&path).expect("written");
        ClusterKey::replace(&[new.clone(), old.clone()], &path).expect("written");
        assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(ClusterKey::read_all(&path).expect("two"), [new.clone(), old.clone()]);
        assert_eq!(ClusterKey::read(&path).expect("the new one"), new);
        assert_ne!(new.mark(), old.mark());
        ClusterKey::replace(std::slice::from_ref(&new), &path).expect("written");
        assert_eq!(ClusterKey::read_all(&path).expect("one"), std::slice::from_ref(&new));
        for wrong in [vec![new.clone(), new.clone()], vec![new.clone(), old.clone(), new], vec![]] {
            ClusterKey::replace(&wrong, &path).expect("written");
            assert!(ClusterKey::read_all(&path).is_err(), "{} keys", wrong.len());
        }
    }

    #[test]
    fn what_is_no_key_is_refused_and_says_what_makes_one() {
        let dir = dir();
        let whole = ClusterKey::generate().expect("random").reveal();
        let texts = [
            "",
            "\n",
            "secret",
            &whole[..whole.len() - 1],
            &format!("{whole}a"),
            &whole.replace("-1:", "-2:"),
        ];
        for (number, text) in texts.iter().enumerate() {
            let path = dir.path().join(number.to_string());
            std::fs::write(&path, text).expect("written");
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("ours");
            let refused = ClusterKey::read(&path).expect_err(text).to_string();
            assert!(refused.contains("minijob operator key FILE"), "{text}: {refused}");
        }
        let missing = ClusterKey::read(&dir.path().join("none")).expect_err("missing").to_string();
        assert!(missing.contains("minijob operator key FILE"), "{missing}");
    }

    #[test]
    fn secrets_are_the_same_everywhere_and_another_for_every_purpose() {
        let key = ClusterKey([7; BYTES]);
        assert_eq!(key.secret("peer"), key.secret("peer"));
        assert_ne!(key.secret("peer"), key.secret("token"));
        assert_ne!(key.secret("peer"), ClusterKey([8; BYTES]).secret("peer"));
        // Computed once: servers of all versions must derive the same.
        assert_eq!(base32(&key.secret("peer")), FIXED);
        assert!(!format!("{key:?}").contains(&base32(&key.0)));
    }

    const FIXED: &str = "jkx5rz6dcljklpkanxvn46ejj3pxgcv3klmd6xejjmw4ug2ax36a";
}
