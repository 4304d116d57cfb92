//! What members and people show each other. The one place that knows: members enrol with the key file, people have a token and the CA.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tests::command::{Answer, bare};
use tests::wait::until;

use crate::cluster::LONG;

/// The key of one cluster, and what follows from it.
pub(crate) struct Credentials {
    key: PathBuf,
    token: OnceLock<String>,
    ca: OnceLock<PathBuf>,
}

impl Credentials {
    /// Makes a key in a directory.
    pub(crate) fn make(dir: &Path) -> Self {
        let key = dir.join("key");
        let made: Answer =
            bare(&["operator", "key", &key.to_string_lossy()]).output().expect("it runs").into();
        assert_eq!(made.code, 0, "{made:?}");
        Self { key, token: OnceLock::new(), ca: OnceLock::new() }
    }

    /// From now on people go by what new servers have: the key is the same, so is the token, and the CA is theirs.
    pub(crate) fn look_again(&mut self) {
        (self.token, self.ca) = (OnceLock::new(), OnceLock::new());
    }

    /// What a server is started with.
    pub(crate) fn server_flags(&self) -> Vec<String> {
        vec!["--key-file".into(), self.key.display().to_string()]
    }

    /// What an agent finds in its environment.
    pub(crate) fn of_agents(&self) -> Vec<(&'static str, String)> {
        vec![("MINIJOB_KEY_FILE", self.key.display().to_string())]
    }

    /// What a person's command finds in its environment. `server` is the directory of any server; it is read once.
    pub(crate) fn of_people(&self, server: &Path) -> Vec<(&'static str, String)> {
        let token = self.token.get_or_init(|| read(&server.join("token")).trim().to_owned());
        let ca = self.ca.get_or_init(|| {
            // That server's disk may be lost later.
            let copy = self.key.with_file_name("ca.pem");
            std::fs::write(&copy, read(&server.join("ca.pem"))).expect("writable");
            copy
        });
        vec![("MINIJOB_TOKEN", token.clone()), ("MINIJOB_CA_FILE", ca.display().to_string())]
    }
}

fn read(file: &Path) -> String {
    until(LONG, &format!("the servers have written {}", file.display()), || {
        let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
        if text.trim().is_empty() { Err("it is empty".into()) } else { Ok(text) }
    })
}
