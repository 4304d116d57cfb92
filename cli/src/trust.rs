//! The CA by which servers are believed, and where it is looked for.

use std::path::{Path, PathBuf};

use pki::tls::{Credentials, Trust};
use proto::error::{Error, Kind};

use crate::limits;
use crate::token::Token;

/// The file beside a server's token that holds the CA of its cluster.
const BESIDE_TOKEN: &str = "ca.pem";

/// Reads the CA that somebody named.
///
/// # Errors
/// [`Kind::Invalid`] for a file that cannot be read or holds no CA.
pub fn given(file: &Path) -> Result<Credentials, Error> {
    let shown = file.display();
    let text = read(file).map_err(|cause| {
        let error = Error::new(Kind::Invalid, format!("cannot read the CA in {shown}: {cause}"));
        error.hint("it is the file ca.pem in the data directory of any server of the cluster")
    })?;
    let trust = Trust::from_pem(&text);
    trust.map(Credentials::of_person).map_err(|cause| Error::new(Kind::Invalid, format!("{shown}: {cause}")))
}

/// Finds the CA of the server on this machine whose token was found; none: it has none, and speaks without TLS.
#[must_use]
pub fn beside(token: Option<&Token>) -> Option<Credentials> {
    let file: PathBuf = token?.file.as_ref()?.with_file_name(BESIDE_TOKEN);
    given(&file).ok()
}

fn read(file: &Path) -> std::io::Result<String> {
    use std::io::Read as _;
    let mut text = String::new();
    std::fs::File::open(file)?.take(limits::SMALL_FILE).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_ca_is_told_with_where_there_is_one() {
        let dir = tempfile::tempdir().expect("a directory");
        let missing = given(&dir.path().join("none")).expect_err("missing");
        assert!(missing.hint.contains("ca.pem in the data directory"), "{missing:?}");
        let file = dir.path().join("ca");
        std::fs::write(&file, "nonsense").expect("written");
        let refused = given(&file).expect_err("no certificate");
        assert!(refused.message.contains("holds no certificate of a CA"), "{refused:?}");
    }
}
