//! The clusters that a person works with: `~/.config/minijob/contexts.yml`.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use proto::error::{Error, Kind};
use proto::yaml::{Node, Reader, Value, did_you_mean, nearest, pairs, quote};

use super::entry;
use super::table::{Key, Table, acted};
use super::values;
use crate::address::Address;
use crate::args::Global;

/// The key that names the context which holds when none is named.
const CURRENT: &str = "current";

const KEYS: &[Key] =
    &[acted("address"), acted("token"), acted("token_file"), acted("namespace"), acted("ca")];

/// One cluster, as a person works with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// Its name.
    pub name: String,
    /// Its servers, tried in turn.
    pub addresses: Vec<Address>,
    /// What lets the person in.
    pub token: Credential,
    /// The CA by which its servers are believed; none: they speak without TLS.
    pub ca: Option<PathBuf>,
    /// The namespace of commands that name none.
    pub namespace: Option<String>,
}

/// Where a context's token is.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Credential {
    /// Nowhere; one may be found on this machine.
    #[default]
    None,
    /// In the contexts file itself.
    Given(String),
    /// In a file of its own.
    File(PathBuf),
}

impl std::fmt::Debug for Credential {
    /// Leaves out the secret.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => out.write_str("None"),
            Self::Given(_) => out.write_str("Given(..)"),
            Self::File(path) => write!(out, "File({})", path.display()),
        }
    }
}

/// All contexts of a person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contexts {
    /// By name.
    pub all: BTreeMap<String, Context>,
    /// The one that holds when none is named, and the line that says so.
    pub current: Option<(String, u32)>,
}

impl Contexts {
    /// Returns the context that was named, else the current one; none where there is neither. An empty name is none.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for a name that no context has, with the nearest one.
    pub fn choose(&self, named: Option<&str>) -> Result<Option<&Context>, Error> {
        let current = || self.current.as_ref().map(|(name, _)| name.as_str());
        let Some(name) = named.filter(|name| !name.is_empty()).or_else(current) else { return Ok(None) };
        self.find(name).map(Some)
    }

    /// Returns the context of this name.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for a name that no context has, with the nearest one.
    pub fn find(&self, name: &str) -> Result<&Context, Error> {
        self.all.get(name).ok_or_else(|| {
            let names = || self.all.keys().map(String::as_str);
            let hint = match nearest(name, names()) {
                Some(near) => did_you_mean(near),
                None if self.all.is_empty() => format!("there is none; write one into {}", shown()),
                None => format!("there is {}", names().collect::<Vec<_>>().join(", ")),
            };
            Error::new(Kind::Invalid, format!("no context {}", quote(name))).hint(hint)
        })
    }
}

/// Fills in what the chosen context says: its servers and its namespace. Without one, and where an address was given and no
/// context, everything stays as it is.
///
/// # Errors
/// [`Kind::Invalid`] with all that is wrong in the file, and for a name that no context has.
pub fn settle(global: &Global) -> Result<Global, Error> {
    let named = global.context.as_deref().filter(|name| !name.is_empty());
    if named.is_none() && global.addr().is_some() {
        return Ok(global.clone());
    }
    let chosen = load()?.choose(named)?.cloned();
    let theirs = chosen.as_ref().and_then(|context| context.namespace.clone());
    let namespace = global.namespace().map(str::to_owned).or(theirs);
    Ok(Global { chosen, namespace, ..global.clone() })
}

/// Returns where the contexts of this user are; none without a home.
#[must_use]
pub fn path() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")))?;
    Some(base.join("minijob/contexts.yml"))
}

/// Returns where the contexts are, for people.
#[must_use]
pub fn shown() -> String {
    path().map_or_else(|| "~/.config/minijob/contexts.yml".to_owned(), |path| path.display().to_string())
}

/// Reads the contexts of this user; without a file there are none.
///
/// # Errors
/// [`Kind::Invalid`] with all that is wrong in the file.
pub fn load() -> Result<Contexts, Error> {
    match path() {
        Some(path) => super::file::read(None, &path, decode),
        None => Ok(Contexts::default()),
    }
}

fn decode(reader: &mut Reader<'_>, path: &str, root: Option<&Node>) -> Contexts {
    let mut contexts = Contexts::default();
    let mut current = None;
    for (key, value) in root.map_or_else(Vec::new, |root| pairs(reader, root, "contexts.yml", "")) {
        let Some(name) = reader.text(key, "the name of a context") else { continue };
        if name == CURRENT {
            current = reader.text(value, CURRENT).map(|named| (named, key.at.line, value));
        } else if let Some(context) = context(reader, path, name, value) {
            contexts.all.insert(name.to_owned(), context);
        }
    }
    if let Some((named, line, node)) = current {
        if !contexts.all.contains_key(named) {
            let hint = nearest(named, contexts.all.keys().map(String::as_str)).map(did_you_mean);
            reader.fault(node.at, format!("no context {}", quote(named)), hint.unwrap_or_default());
        }
        contexts.current = Some((named.to_owned(), line));
    }
    contexts
}

fn context(reader: &mut Reader<'_>, path: &str, name: &str, node: &Node) -> Option<Context> {
    if !matches!(node.value, Value::Map(_)) {
        let hint = "write `NAME: {address: 10.0.0.1:4650, token_file: FILE}`";
        return reader.expected(node, name, "a context", hint);
    }
    let table = Table::read(reader, path, Some(node), KEYS, name);
    let addresses = table.get(reader, "address", |reader, node| values::servers(reader, node, "address"));
    let text = |reader: &mut Reader<'_>, key: &str| {
        table.get(reader, key, |reader, node| reader.text(node, key).map(str::to_owned))
    };
    let token = text(reader, "token");
    let file = table.get(reader, "token_file", |reader, node| {
        values::parsed(reader, node, "token_file", |text| values::absolute(&at_home(text)))
    });
    let ca = table.get(reader, "ca", |reader, node| {
        values::parsed(reader, node, "ca", |text| values::absolute(&at_home(text)))
    });
    let namespace = table.get(reader, "namespace", |reader, node| reader.name(node, "namespace"));
    if table.node("address").is_none() {
        reader.missing(
            node.at,
            format!("{} has no `address`", quote(name)),
            "write `address: 10.0.0.1:4650`",
        );
    }
    let token = match (token, file) {
        (Some(_), Some(_)) => {
            reader.fault(
                node.at,
                format!("{} has `token` and `token_file`", quote(name)),
                "remove one of them",
            );
            Credential::None
        }
        (Some(token), None) => Credential::Given(token.value),
        (None, Some(file)) => Credential::File(file.value),
        (None, None) => Credential::None,
    };
    let namespace = namespace.map(|namespace| namespace.value);
    let (addresses, ca) = (addresses?.value, ca.map(|ca| ca.value));
    Some(Context { name: name.to_owned(), addresses, token, ca, namespace })
}

/// Puts the home of this user where a path begins with `~/`.
fn at_home(text: &str) -> String {
    match (text.strip_prefix("~/"), std::env::var("HOME")) {
        (Some(rest), Ok(home)) => format!("{home}/{rest}"),
        _ => text.to_owned(),
    }
}

/// Makes a context the current one, and leaves the rest of the file as it is. Returns whether that changed anything.
///
/// # Errors
/// [`Kind::Invalid`] for a name that no context has; [`Kind::Refused`] when the file cannot be written.
pub fn make_current(contexts: &Contexts, name: &str) -> Result<bool, Error> {
    contexts.find(name)?;
    if contexts.current.as_ref().is_some_and(|(current, _)| current == name) {
        return Ok(false);
    }
    let path = path().ok_or_else(|| Error::new(Kind::Refused, "there is no home to keep contexts in"))?;
    let text = super::file::text_of(&path).map_err(|cause| super::file::unreadable(&path, &cause))?;
    let text = with_current(&text, contexts.current.as_ref().map(|(_, line)| *line), name);
    replace(&path, &text)
        .map_err(|cause| Error::new(Kind::Refused, format!("cannot write {}: {cause}", path.display())))?;
    Ok(true)
}

/// Adds a context, and makes it the current one where there is none; the rest of the file stays as it is. One that is there already
/// stays, whatever it says. Returns whether that changed anything.
///
/// # Errors
/// [`Kind::Invalid`] for a file with faults; [`Kind::Refused`] when it cannot be written.
pub fn add(name: &str, servers: &[String], token_file: &Path, ca: &Path) -> Result<bool, Error> {
    let contexts = load()?;
    if contexts.all.contains_key(name) {
        return Ok(false);
    }
    let path = path().ok_or_else(|| Error::new(Kind::Refused, "there is no home to keep contexts in"))?;
    let refused = |cause| Error::new(Kind::Refused, format!("cannot write {}: {cause}", path.display()));
    let there = match super::file::text_of(&path) {
        Ok(text) => text,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
            let folder = path.parent().unwrap_or(Path::new("."));
            std::fs::create_dir_all(folder).map_err(refused)?;
            std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)
                .map_err(refused)?;
            String::new()
        }
        Err(cause) => return Err(super::file::unreadable(&path, &cause)),
    };
    replace(&path, &with_context(&there, contexts.current.is_some(), name, servers, (token_file, ca)))
        .map_err(refused)?;
    Ok(true)
}

/// Returns the text with one more context at its end, by its token and its CA.
fn with_context(
    text: &str,
    has_current: bool,
    name: &str,
    servers: &[String],
    (token, ca): (&Path, &Path),
) -> String {
    let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    let (name_text, servers) = (entry::text(name), entry::list(servers.iter().map(String::as_str)));
    let (token, ca) = (entry::path(token), entry::path(ca));
    let text = format!("{text}{gap}{name_text}: {{address: {servers}, token_file: {token}, ca: {ca}}}\n");
    if has_current { text } else { with_current(&text, None, name) }
}

/// Returns the text with its line `current: ...` changed, or with one before all others.
fn with_current(text: &str, line: Option<u32>, name: &str) -> String {
    let new = format!("{CURRENT}: {}", entry::text(name));
    let Some(line) = line else { return format!("{new}\n{text}") };
    let changed = text.lines().zip(1..).map(|(old, number)| if number == line { new.as_str() } else { old });
    changed.flat_map(|line| [line, "\n"]).collect()
}

/// Replaces a file at once, with the permissions that it had.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mode = std::fs::metadata(path)?.permissions().mode() & 0o777;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// Reads contexts of this text.
#[cfg(test)]
pub(super) fn of(text: &str) -> Result<Contexts, Error> {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), text).expect("written");
    super::file::read(Some(file.path()), Path::new(""), decode)
}

#[cfg(test)]
mod tests {
    use super::of as contexts;
    use super::*;

    const TWO: &str = "# mine\ncurrent: prod\nprod: {address: [10.0.0.1:4650, 10.0.0.2], token_file: /p.token, namespace: dmz}\n\
        lab: {address: 127.0.0.1:4650, token: s3cret}\n";

    #[test]
    fn a_named_context_wins_over_the_current_one() {
        let contexts = contexts(TWO).expect("valid");
        let prod = contexts.choose(None).expect("there").expect("current");
        assert_eq!((prod.addresses.len(), prod.namespace.as_deref()), (2, Some("dmz")));
        assert_eq!(prod.token, Credential::File("/p.token".into()));
        let lab = contexts.choose(Some("lab")).expect("there").expect("named");
        assert_eq!(lab.token, Credential::Given("s3cret".into()));
        assert!(!format!("{contexts:?}").contains("s3cret"), "no secret in any log");
        assert_eq!(contexts.choose(Some("prd")).expect_err("none").hint, "did you mean `prod`?");
        assert_eq!(Contexts::default().choose(None), Ok(None));
    }

    #[test]
    fn a_context_names_the_ca_of_its_servers() {
        let contexts = contexts("prod: {address: https://a, ca: /c.pem}\n").expect("valid");
        let prod = contexts.find("prod").expect("there");
        assert_eq!(
            (prod.ca.as_deref(), prod.addresses[0].url().as_str()),
            (Some(Path::new("/c.pem")), "https://a:4650")
        );
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let wrong = "current: prd\nprod: {adress: x}\nlab: {address: https://a, token: a, token_file: /b}\nx: 1\nca: {address: a, ca: c}\n";
        let error = contexts(wrong).expect_err("wrong");
        let told = error.details.join("\n");
        for part in [
            "no context `prd`",
            "unknown key `adress`",
            "has no `address`",
            "has `token` and `token_file`",
            "expected a context",
            "`ca`",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }

    #[test]
    fn a_context_that_is_added_leaves_the_rest_of_the_file_as_it_is() {
        let servers = ["10.0.0.1:4650".to_owned(), "[::1]:4650".to_owned()];
        let added = |text: &str, has_current| {
            let text = with_context(
                text,
                has_current,
                "cluster",
                &servers,
                (Path::new("/a b/token"), Path::new("/ca.pem")),
            );
            (contexts(&text).expect("valid"), text)
        };
        let (first, _) = added("", false);
        assert_eq!(first.choose(None).expect("there").expect("current").addresses.len(), 2);
        let cluster = &first.all["cluster"];
        assert_eq!(cluster.token, Credential::File("/a b/token".into()));
        assert_eq!(cluster.ca.as_deref(), Some(Path::new("/ca.pem")));
        let (third, text) = added(TWO.trim_end(), true);
        assert!(text.starts_with(TWO) && third.all.len() == 3, "{text}");
        assert_eq!(third.current.as_ref().map(|(name, _)| name.as_str()), Some("prod"), "whose it was");
    }

    #[test]
    fn another_current_context_leaves_the_rest_of_the_file_as_it_is() {
        assert_eq!(with_current(TWO, Some(2), "lab"), TWO.replace("current: prod", "current: lab"));
        assert_eq!(
            with_current("# mine\na: {address: b}\n", None, "a"),
            "current: a\n# mine\na: {address: b}\n"
        );
    }
}
