//! Where a server is, as people write it.

use std::net::{IpAddr, SocketAddr};

use proto::error::{Error, Kind};

use crate::limits;

/// The address of a server: `http://host:port`, `https://host:port`, or without saying which.
#[derive(Clone, Debug, Eq)]
pub struct Address {
    authority: String,
    scheme: Scheme,
}

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    /// Whichever it is: with TLS where a CA is known to believe it by.
    Any,
    Http,
    Https,
}

/// Without a scheme it is http.
impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        (&self.authority, self.is_secure()) == (&other.authority, other.is_secure())
    }
}

/// The port of every server unless told otherwise.
const PORT: u16 = 4650;

/// Reads an address to listen on: an IP address and a port.
///
/// # Errors
/// What is missing, with the address as it would be right.
pub fn listen(text: &str) -> Result<SocketAddr, String> {
    let missing = |ip: IpAddr| format!("a port is missing: write `{}`", SocketAddr::new(ip, PORT));
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    text.parse().map_err(|_| {
        let other = || format!("expected an IP address and a port, such as `127.0.0.1:{PORT}`");
        bare.parse().map_or_else(|_| other(), missing)
    })
}

impl Default for Address {
    /// The server on this machine.
    fn default() -> Self {
        Self { authority: format!("127.0.0.1:{PORT}"), scheme: Scheme::Any }
    }
}

impl Address {
    /// Reads a list `http://a:4650,b,c:4651`: without a port it is 4650.
    ///
    /// # Errors
    /// [`Kind::Invalid`] names the part that is no address.
    pub fn list(text: &str) -> Result<Vec<Self>, Error> {
        let parts: Vec<&str> = text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
        if parts.is_empty() || parts.len() > limits::SERVERS {
            let message =
                format!("`{text}` names {} servers: expected 1 to {}", parts.len(), limits::SERVERS);
            return Err(Error::new(Kind::Invalid, message));
        }
        parts.into_iter().map(Self::read).collect()
    }

    /// Returns it as a URL.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.is_secure() { "https" } else { "http" };
        format!("{scheme}://{}", self.authority)
    }

    /// Returns it as `host:port`.
    #[must_use]
    pub fn host_and_port(&self) -> String {
        self.authority.clone()
    }

    /// Returns whether it is spoken to with TLS.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.scheme == Scheme::Https
    }

    /// Says that there is a CA to believe the server by: one that is not said to be spoken to without TLS is spoken to with it.
    #[must_use]
    pub fn secured(self) -> Self {
        let scheme = if self.scheme == Scheme::Http { Scheme::Http } else { Scheme::Https };
        Self { scheme, ..self }
    }

    /// Returns whether it is this machine by its literal address, so that a token of this machine may be shown to it.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let host = self.authority.rsplit_once(':').map_or(self.authority.as_str(), |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }

    fn read(part: &str) -> Result<Self, Error> {
        let wrong = |why: &str| {
            let hint = "write for example `http://10.0.0.1:4650`";
            Error::new(Kind::Invalid, format!("`{part}` is not the address of a server: {why}")).hint(hint)
        };
        let (scheme, rest) = match (part.strip_prefix("http://"), part.strip_prefix("https://")) {
            (Some(rest), _) => (Scheme::Http, rest),
            (_, Some(rest)) => (Scheme::Https, rest),
            (None, None) => (Scheme::Any, part),
        };
        let rest = rest.trim_end_matches('/');
        let bare = rest.starts_with('[') && rest.ends_with(']') || !rest.contains(':');
        let authority = if bare { format!("{rest}:{PORT}") } else { rest.to_owned() };
        let parsed: tonic::codegen::http::uri::Authority =
            authority.parse().map_err(|_| wrong("expected a host and a port"))?;
        if parsed.host().is_empty() || parsed.port_u16().is_none() || authority.contains('@') {
            return Err(wrong("expected a host and a port"));
        }
        Ok(Self { authority, scheme })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scheme_and_port_may_be_left_out() {
        let urls: Vec<String> =
            Address::list("http://a:1, b ,[::1],c:2/").expect("addresses").iter().map(Address::url).collect();
        assert_eq!(urls, ["http://a:1", "http://b:4650", "http://[::1]:4650", "http://c:2"]);
    }

    #[test]
    fn where_a_ca_is_known_tls_is_spoken_unless_the_address_says_otherwise() {
        let list = Address::list("http://a:1,b:2,https://c").expect("addresses");
        let urls: Vec<String> = list.into_iter().map(|address| address.secured().url()).collect();
        assert_eq!(urls, ["http://a:1", "https://b:2", "https://c:4650"]);
    }

    #[test]
    fn an_address_to_listen_on_without_a_port_is_told_with_one() {
        assert_eq!(listen("[::1]:80").map(|address| address.port()), Ok(80));
        let missing = |right: &str| Err(format!("a port is missing: write `{right}`"));
        assert_eq!(listen("127.0.0.1"), missing("127.0.0.1:4650"));
        assert_eq!(listen("::1"), missing("[::1]:4650"));
        assert_eq!(listen("[::]"), missing("[::]:4650"));
        let other = listen("localhost:4650").expect_err("a name");
        assert_eq!(other, "expected an IP address and a port, such as `127.0.0.1:4650`");
    }

    #[test]
    fn what_is_no_address_is_named() {
        for text in
            ["", ",", "https://", "http://", "a:b", "a b", "ftp://a:1", "a:1/path", "u@a:1", "a:99999"]
        {
            let error = Address::list(text).expect_err(text);
            assert_eq!(error.kind, Kind::Invalid, "{text}");
            assert!(error.message.contains(text.trim_end_matches(',')), "{}", error.message);
        }
    }

    #[test]
    fn only_a_literal_loopback_address_is_this_machine() {
        let local = |text| Address::list(text).expect("an address")[0].is_loopback();
        assert!(local("127.0.0.1:4650") && local("[::1]:4650") && local("localhost"));
        assert!(!local("10.0.0.1:4650") && !local("127.0.0.1.example.com:4650"));
    }
}
