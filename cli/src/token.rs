//! What proves who asks, and where it is looked for.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use proto::error::{Error, Kind};
use tonic::metadata::{Ascii, MetadataValue};

use crate::address::Address;
use crate::config::contexts::{Context, Credential};
use crate::devnote::Note;
use crate::limits;

/// The data directory of a server that runs as a system service.
pub const SYSTEM_SERVER: &str = "/var/lib/minijob/server";

/// A token. It has no `Debug`, so that no log can show it.
#[derive(Clone)]
pub struct Token {
    /// The secret itself.
    pub secret: String,
    /// Where it came from, for people.
    pub source: String,
    /// The file of a server on this machine that it was found in; none: it was given.
    pub file: Option<PathBuf>,
    /// The file that it was read from; none: it was given, or is in another file's text.
    pub kept: Option<PathBuf>,
    header: MetadataValue<Ascii>,
}

impl Token {
    /// Returns the header that carries it.
    #[must_use]
    pub fn header(&self) -> MetadataValue<Ascii> {
        self.header.clone()
    }
}

/// Reads the token that somebody gave, or named a file of; none when nobody did.
///
/// # Errors
/// [`Kind::Invalid`] for a file that holds none and for one that no header can carry.
pub fn given(text: Option<&str>, file: Option<&Path>) -> Result<Option<Token>, Error> {
    let unusable = |_| Error::new(Kind::Invalid, "the token has characters that no token has");
    if let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) {
        return make(text, "--token or MINIJOB_TOKEN").map_err(unusable).map(Some);
    }
    file.map(of_file).transpose()
}

/// Reads the token of a context, from wherever it keeps it; none where it keeps none.
///
/// # Errors
/// See [`given`].
pub fn of_context(context: &Context) -> Result<Option<Token>, Error> {
    match &context.token {
        Credential::None => Ok(None),
        Credential::File(file) => of_file(file).map(Some),
        Credential::Given(text) => {
            let unusable = |_| Error::new(Kind::Invalid, "the token has characters that no token has");
            make(text.trim(), &format!("the context {}", context.name)).map_err(unusable).map(Some)
        }
    }
}

fn of_file(file: &Path) -> Result<Token, Error> {
    let shown = file.display().to_string();
    let message = format!("{shown} holds no token that can be read");
    let text = read(file)
        .ok_or_else(|| Error::new(Kind::Invalid, message).hint("is it there, and may this user read it?"))?;
    let unusable =
        |_| Error::new(Kind::Invalid, format!("the token in {shown} has characters that no token has"));
    let token = make(&text, &shown).map_err(unusable)?;
    Ok(Token { kept: Some(file.to_owned()), ..token })
}

/// Looks for the token: given, else of the `minijob dev` that listens there, else of a server on this machine.
///
/// A token that was found rather than given is sent to this machine only: whoever answers at a foreign address could keep it.
///
/// # Errors
/// [`Kind::Invalid`] for a given token that no header can carry.
pub fn find(given: Option<&str>, addresses: &[Address], dev: Option<&Note>) -> Result<Option<Token>, Error> {
    if let Some(token) = self::given(given, None)? {
        return Ok(Some(token));
    }
    if !addresses.iter().all(Address::is_loopback) {
        return Ok(None);
    }
    if let Some(note) = dev.filter(|note| Address::list(&note.addr).is_ok_and(|list| list == addresses)) {
        return Ok(make(&note.token, "the running `minijob dev`").ok());
    }
    let found = |path: PathBuf| {
        let token = make(&read(&path)?, &path.display().to_string()).ok()?;
        Some(Token { file: Some(path.clone()), kept: Some(path), ..token })
    };
    Ok(files().into_iter().find_map(found))
}

/// Returns the next step for somebody who has no token.
#[must_use]
pub fn hint_for_none() -> String {
    format!(
        "give a token with --token or MINIJOB_TOKEN; the server made one on its first start: the file `token` in its data directory, {SYSTEM_SERVER} unless it was given another"
    )
}

/// Returns the data directory that a server of this user has when it may not write the system's.
#[must_use]
pub fn user_data() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set("XDG_DATA_HOME").or_else(|| set("HOME").map(|home| home.join(".local/share")))?;
    Some(base.join("minijob"))
}

fn files() -> Vec<PathBuf> {
    let user = user_data().map(|data| data.join("server/token"));
    [Some(Path::new(SYSTEM_SERVER).join("token")), user].into_iter().flatten().collect()
}

/// Reads a token file; one that is missing or not for this user counts as none.
fn read(path: &Path) -> Option<String> {
    let mut text = String::new();
    File::open(path).ok()?.take(limits::SMALL_FILE).read_to_string(&mut text).ok()?;
    Some(text.trim().to_owned()).filter(|token| !token.is_empty())
}

fn make(text: &str, source: &str) -> Result<Token, tonic::metadata::errors::InvalidMetadataValue> {
    let mut header: MetadataValue<Ascii> = format!("Bearer {text}").parse()?;
    header.set_sensitive(true);
    Ok(Token { secret: text.to_owned(), source: source.to_owned(), file: None, kept: None, header })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(text: &str) -> Vec<Address> {
        Address::list(text).expect("addresses")
    }

    fn note(addr: &str) -> Note {
        Note { addr: addr.into(), token: "dev-token".into(), pid: 1, started: 0 }
    }

    #[test]
    fn a_given_token_wins_and_is_sent_anywhere() {
        let found = find(Some(" abc "), &addresses("10.0.0.1:4650"), Some(&note("http://127.0.0.1:1")));
        assert_eq!(found.expect("valid").expect("some").header(), "Bearer abc");
        assert!(find(Some("a\nb"), &addresses("h:1"), None).is_err());
    }

    #[test]
    fn who_has_no_token_is_told_that_the_servers_directory_may_be_another() {
        let hint = hint_for_none();
        assert!(hint.contains("unless it was given another") && hint.contains(SYSTEM_SERVER), "{hint}");
    }

    #[test]
    fn the_token_of_a_running_dev_is_shown_only_to_it() {
        let dev = note("http://127.0.0.1:5000");
        let found = find(None, &addresses("127.0.0.1:5000"), Some(&dev)).expect("valid").expect("some");
        assert_eq!(found.header, "Bearer dev-token");
        let foreign = note("http://10.0.0.1:5000");
        assert!(find(None, &addresses("10.0.0.1:5000"), Some(&foreign)).expect("valid").is_none());
    }
}
