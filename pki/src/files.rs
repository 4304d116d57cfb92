//! Keys and certificates on disk. What is secret only its owner reads; every file is there whole or not at all.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::ca::{self, Ca};
use crate::limits::FILE_BYTES;
use crate::own::{self, Own};
use crate::tls::{BadTrust, Trust};

/// The member's private key and certificate: one file, so that they are replaced together.
const MEMBER: &str = "member.pem";
/// The CAs that this member trusts; what people give to other programs.
const TRUST: &str = "ca.pem";
/// The CA with its private key: only on the server that made it, until it is in the state.
const AUTHORITY: &str = "authority.pem";
const SECRET_MODE: u32 = 0o600;
const PUBLIC_MODE: u32 = 0o644;

/// A directory with the keys and certificates of one member: its data directory.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It holds no key with its certificate.
    #[error("{} cannot be used: remove it, and this member enrols anew with the cluster's key", path.display())]
    Member {
        /// The file.
        path: PathBuf,
        /// Why.
        source: own::Error,
    },
    /// It holds no certificate of a CA.
    #[error("{} cannot be used: remove it, and this member enrols anew with the cluster's key", path.display())]
    Trust {
        /// The file.
        path: PathBuf,
        /// Why.
        source: BadTrust,
    },
    /// It holds no CA.
    #[error("{} cannot be used: restore it", path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ca::Error,
    },
}

impl Folder {
    /// Names a directory, which is there.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Reads this member's key and certificate; none before it has enrolled. Others' rights to the file are taken away.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Write`], [`Error::Member`]
    pub fn member(&self) -> Result<Option<Own>, Error> {
        let path = self.0.join(MEMBER);
        let Some(text) = secret(&path)? else { return Ok(None) };
        Own::from_pem(&text).map(Some).map_err(|source| Error::Member { path, source })
    }

    /// Keeps them, in the place of what was there.
    ///
    /// # Errors
    /// [`Error::Write`]
    pub fn keep_member(&self, own: &Own) -> Result<(), Error> {
        write(&self.0.join(MEMBER), &own.secret_pem(), SECRET_MODE)
    }

    /// Reads the CAs that this member trusts; none before it has enrolled.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Trust`]
    pub fn trust(&self) -> Result<Option<Trust>, Error> {
        let path = self.0.join(TRUST);
        let Some(text) = read(&path)? else { return Ok(None) };
        Trust::from_pem(&text).map(Some).map_err(|source| Error::Trust { path, source })
    }

    /// Keeps them, in the place of what was there.
    ///
    /// # Errors
    /// [`Error::Write`]
    pub fn keep_trust(&self, trust: &Trust) -> Result<(), Error> {
        write(&self.0.join(TRUST), trust.pem(), PUBLIC_MODE)
    }

    /// Reads the CA with its private key, on the server that made it.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Write`], [`Error::Authority`]
    pub fn authority(&self) -> Result<Option<Ca>, Error> {
        let path = self.0.join(AUTHORITY);
        let Some(text) = secret(&path)? else { return Ok(None) };
        Ca::from_pem(&text).map(Some).map_err(|source| Error::Authority { path, source })
    }

    /// Keeps it, before anything is issued by it.
    ///
    /// # Errors
    /// [`Error::Write`]
    pub fn keep_authority(&self, ca: &Ca) -> Result<(), Error> {
        write(&self.0.join(AUTHORITY), &ca.secret_pem(), SECRET_MODE)
    }

    /// Removes it, once it is kept elsewhere. A second call does nothing.
    ///
    /// # Errors
    /// [`Error::Write`]
    pub fn forget_authority(&self) -> Result<(), Error> {
        let path = self.0.join(AUTHORITY);
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Error::Write { path, source }),
            _ => Ok(()),
        }
    }
}

fn secret(path: &Path) -> Result<Option<String>, Error> {
    let Some(text) = read(path)? else { return Ok(None) };
    let failed = |source| Error::Write { path: path.to_owned(), source };
    let mode = std::fs::metadata(path).map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        std::fs::set_permissions(path, Permissions::from_mode(SECRET_MODE)).map_err(failed)?;
    }
    Ok(Some(text))
}

fn read(path: &Path) -> Result<Option<String>, Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failed(source)),
    };
    let mut text = String::new();
    file.take(FILE_BYTES).read_to_string(&mut text).map_err(failed)?;
    Ok(Some(text))
}

/// After a power cut the old text or the new one is there.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), Error> {
    let temporary = path.with_extension("new");
    let write = || {
        // What a crash left may have other rights than those that only count for a new file.
        match std::fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().create_new(true).write(true).mode(mode).open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    };
    write().map_err(|source| Error::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::Role;
    use crate::testing::{self, NOW, member};

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_kept_comes_back_and_secrets_have_one_reader() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path());
        assert!(folder.member().unwrap().is_none() && folder.trust().unwrap().is_none());
        assert!(folder.authority().unwrap().is_none());
        let ca = testing::ca();
        let own = testing::issue(&ca, &member(Role::Agent, "a", 1), NOW);
        let trust = Trust::from_pem(&ca.certificate_pem()).unwrap();
        for _ in 0..2 {
            folder.keep_member(&own).unwrap();
            folder.keep_trust(&trust).unwrap();
            folder.keep_authority(&ca).unwrap();
        }
        assert_eq!(folder.member().unwrap().unwrap().certificate(), own.certificate());
        assert_eq!(folder.trust().unwrap().unwrap().pem(), trust.pem());
        assert_eq!(folder.authority().unwrap().unwrap().certificate(), ca.certificate());
        let modes = [MEMBER, AUTHORITY, TRUST].map(|name| mode(&dir.path().join(name)));
        assert_eq!(modes, [0o600, 0o600, 0o644]);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3, "nothing else stays behind");
    }

    #[test]
    fn a_secret_that_others_could_read_is_taken_back() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path());
        folder.keep_authority(&testing::ca()).unwrap();
        let path = dir.path().join(AUTHORITY);
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        folder.authority().unwrap();
        assert_eq!(mode(&path), 0o600);
    }

    #[test]
    fn a_damaged_file_is_named_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path());
        for name in [MEMBER, TRUST, AUTHORITY] {
            std::fs::write(dir.path().join(name), "nonsense").unwrap();
        }
        let errors =
            [folder.member().unwrap_err(), folder.trust().unwrap_err(), folder.authority().unwrap_err()];
        for (error, name) in errors.iter().zip([MEMBER, TRUST, AUTHORITY]) {
            let text = error.to_string();
            assert!(
                text.contains(name) && (text.contains("enrols anew") || text.contains("restore")),
                "{text}"
            );
        }
    }
}
