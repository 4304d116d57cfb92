//! What members and people show each other. The one place that knows: servers by a key file, agents and people by a token.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tests::command::{Answer, bare};
use tests::wait::until;

use crate::cluster::LONG;

/// The key of one cluster, and what follows from it.
pub(crate) struct Credentials {
    key: PathBuf,
    token: OnceLock<String>,
}

impl Credentials {
    /// Makes a key in a directory.
    pub(crate) fn make(dir: &Path) -> Self {
        let key = dir.join("key");
        let made: Answer =
            bare(&["operator", "key", &key.to_string_lossy()]).output().expect("it runs").into();
        assert_eq!(made.code, 0, "{made:?}");
        Self { key, token: OnceLock::new() }
    }

    /// What a server is started with.
    pub(crate) fn server_flags(&self) -> Vec<String> {
        vec!["--key-file".into(), self.key.display().to_string()]
    }

    /// What an agent and a person's command find in their environment. `server` is the directory of any server; it is read once.
    pub(crate) fn environment(&self, server: &Path) -> Vec<(&'static str, String)> {
        let token = self.token.get_or_init(|| read_token(&server.join("token")));
        vec![("MINIJOB_TOKEN", token.clone())]
    }
}

fn read_token(file: &Path) -> String {
    until(LONG, "the first start writes a token", || {
        let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
        if text.trim().is_empty() { Err("it is empty".into()) } else { Ok(text.trim().to_owned()) }
    })
}
