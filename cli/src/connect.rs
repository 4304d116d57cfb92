//! The way to the servers: each address in turn, again while nobody leads, and the same request every time.

use std::error::Error as _;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use pki::purpose;
use pki::tls::{Credentials, Expected, KeyConnector, Keys, in_words};
use proto::error::{Error, Kind};
use proto::key::ClusterKey;
use proto::time::boottime;
use proto::wire::v1::control_client::ControlClient;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};
use tower::service_fn;

use crate::address::Address;
use crate::args::Global;
use crate::config::contexts;
use crate::limits;
use crate::token::{self, Token};
use crate::trust;

/// A connection that says who asks.
pub type Client = ControlClient<InterceptedService<Channel, Bearer>>;

/// The servers of a cluster. Cheap to share by reference; every call may end at another server than the one before.
pub struct Servers {
    addresses: Vec<Address>,
    token: Option<Token>,
    /// Whom it believes where TLS is spoken.
    trust: Option<Credentials>,
    /// The cluster's key, shown and asked for in the place of token and CA.
    by_key: Option<KeyConnector>,
    /// The context that the addresses came from.
    context: Option<String>,
    /// Whether what any server has will do, be it old.
    stale: bool,
    /// The server that answered last, and its number in `addresses`.
    current: Mutex<Option<(usize, Client)>>,
}

/// Puts the token on every request, and whether old news will do.
#[derive(Clone)]
pub struct Bearer {
    token: Option<MetadataValue<Ascii>>,
    stale: bool,
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.token {
            request.metadata_mut().insert("authorization", value.clone());
        }
        if self.stale {
            request.metadata_mut().insert("minijob-stale", MetadataValue::from_static("true"));
        }
        Ok(request)
    }
}

impl Servers {
    /// Takes addresses and token from the flags and variables, else from the chosen context, else from a running `minijob
    /// dev`, else the defaults. A context's token is shown to the servers of that context only.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for an address that is none, for a token that no header can carry, and for a token file without one.
    pub fn new(global: &Global) -> Result<Self, Error> {
        let given = global.addr();
        let context = global.chosen.as_ref().filter(|_| given.is_none());
        if let Some(context) = context {
            let token = match token::given(global.token.as_deref(), None)? {
                Some(token) => Some(token),
                None => token::of_context(context)?,
            };
            let addresses = context.addresses.clone();
            let token = token.map_or_else(|| token::find(None, &addresses, None), |token| Ok(Some(token)))?;
            let ca = global.ca_file.as_deref().or(context.ca.as_deref());
            return Self::assembled(addresses, token, ca, Some(context.name.clone()), global.stale);
        }
        let dev = crate::devnote::read();
        let addresses = match (given, &dev) {
            (Some(text), _) => Address::list(text)?,
            (None, Some(note)) => Address::list(&note.addr)?,
            (None, None) => vec![Address::default()],
        };
        let token = token::find(global.token.as_deref(), &addresses, dev.as_ref())?;
        Self::assembled(addresses, token, global.ca_file.as_deref(), None, global.stale)
    }

    /// Names one server whose address and token are known.
    ///
    /// # Errors
    /// See [`Servers::new`].
    pub fn at(addr: &str, token: &str) -> Result<Self, Error> {
        let addresses = Address::list(addr)?;
        let token = token::find(Some(token), &addresses, None)?;
        Self::assembled(addresses, token, None, None, false)
    }

    /// The same for servers that are believed by the CA in this file.
    ///
    /// # Errors
    /// See [`Servers::new`].
    pub fn trusting(addr: &str, token: &str, ca: &Path) -> Result<Self, Error> {
        let addresses = Address::list(addr)?;
        let token = token::find(Some(token), &addresses, None)?;
        Self::assembled(addresses, token, Some(ca), None, false)
    }

    /// Goes by the cluster's key alone, in the place of a token and of the CA.
    #[must_use]
    pub fn by_key(self, keys: &[ClusterKey]) -> Self {
        let secrets = keys.iter().map(|key| key.secret(purpose::PEER)).collect();
        Self { by_key: Some(KeyConnector::new(Keys::new(secrets))), token: None, ..self }
    }

    /// Returns where the token is kept that is shown; none: it was given, or there is none.
    #[must_use]
    pub fn token_file(&self) -> Option<&Path> {
        self.token.as_ref()?.kept.as_deref()
    }

    /// Puts together what is known. With a CA, given or found beside the token of a server on this machine, TLS is spoken.
    fn assembled(
        addresses: Vec<Address>,
        token: Option<Token>,
        ca: Option<&Path>,
        context: Option<String>,
        stale: bool,
    ) -> Result<Self, Error> {
        let trust = match ca {
            Some(file) => Some(trust::given(file)?),
            None => trust::beside(token.as_ref()),
        };
        let addresses: Vec<Address> = match &trust {
            Some(_) => addresses.into_iter().map(Address::secured).collect(),
            None => addresses,
        };
        if let Some(address) = addresses.iter().find(|address| address.is_secure() && trust.is_none()) {
            let message = format!("no CA is known to believe {} by", address.url());
            let hint = "name it with --ca-file or MINIJOB_CA_FILE, or as `ca` of a context: it is the file ca.pem of any server";
            return Err(Error::new(Kind::Invalid, message).hint(hint));
        }
        Ok(Self { addresses, token, trust, by_key: None, context, stale, current: Mutex::new(None) })
    }

    /// Asks the servers in turn until one answers, each time with the same request: a write must carry its request id,
    /// because one whose outcome is not known is sent again.
    ///
    /// # Errors
    /// The refusal of the first server that decides; [`Kind::Unavailable`] when none can be reached at all, or nobody
    /// has led for [`limits::ELECTION`].
    pub async fn ask<T, F>(&self, call: impl Fn(Client) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        self.ask_waiting(Duration::ZERO, call).await
    }

    /// The same for a request that the server may hold for `wait` before it answers.
    ///
    /// # Errors
    /// See [`Servers::ask`].
    pub async fn ask_waiting<T, F>(&self, wait: Duration, call: impl Fn(Client) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let began = boottime();
        let mut met = false;
        let mut broken = 0;
        let mut pause = limits::ROUND_LEAST;
        loop {
            let mut round = Round::default();
            for number in self.order() {
                match self.ask_one(number, wait, &call).await {
                    Ok(answer) => return Ok(answer),
                    Err(Miss::Decided(error)) => return Err(self.explained(error)),
                    Err(miss) => round.missed(&self.addresses[number], miss),
                }
            }
            // Once somebody was there, the rest may be a restart or an election, and what was sent may have been done.
            met |= round.met;
            broken += u32::from(round.broken);
            if !met || broken >= limits::BROKEN_ROUNDS || boottime().since(began) >= limits::ELECTION {
                return Err(round.into_error(self.context.as_deref()));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(limits::ROUND);
        }
    }

    /// The numbers of all servers, the one that answered last first.
    fn order(&self) -> Vec<usize> {
        let first = self.lock().as_ref().map_or(0, |(number, _)| *number);
        (0..self.addresses.len()).map(|step| (first + step) % self.addresses.len()).collect()
    }

    async fn ask_one<T, F>(
        &self,
        number: usize,
        wait: Duration,
        call: &impl Fn(Client) -> F,
    ) -> Result<T, Miss>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let client = self.client(number).await.map_err(|error| Miss::Unreached(cause_of(&error)))?;
        let limit = limits::ANSWER + wait;
        let result = match tokio::time::timeout(limit, call(client)).await {
            Ok(Ok(answer)) => return Ok(answer.into_inner()),
            Ok(Err(status)) => classify(&status),
            Err(_) => Miss::Broken(format!("no answer within {}", crate::output::span(limit))),
        };
        if matches!(result, Miss::Broken(_)) {
            *self.lock() = None;
        }
        Err(result)
    }

    async fn client(&self, number: usize) -> Result<Client, tonic::transport::Error> {
        if let Some((_, client)) = self.lock().as_ref().filter(|(current, _)| *current == number) {
            return Ok(client.clone());
        }
        let address = &self.addresses[number];
        let endpoint = Endpoint::from_shared(format!("http://{}", address.host_and_port()))?
            .connect_timeout(limits::CONNECT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(limits::PROBE)
            .keep_alive_timeout(limits::PROBED_WITHIN);
        let channel = match (&self.by_key, self.trust.as_ref().filter(|_| address.is_secure())) {
            (Some(keys), _) => keyed(endpoint, keys, address).await?,
            (None, Some(trust)) => secured(endpoint, trust, address).await?,
            (None, None) => endpoint.connect().await?,
        };
        let bearer = Bearer { token: self.token.as_ref().map(Token::header), stale: self.stale };
        let client = ControlClient::with_interceptor(channel, bearer)
            .max_decoding_message_size(proto::limits::MESSAGE_BYTES)
            .max_encoding_message_size(proto::limits::MESSAGE_BYTES);
        *self.lock() = Some((number, client.clone()));
        Ok(client)
    }

    /// Adds the next step to a refusal for want of rights, which only this side knows.
    fn explained(&self, error: Error) -> Error {
        if error.kind != Kind::Forbidden {
            return error;
        }
        let hint = match &self.token {
            Some(token) => format!("the token came from {}; is it one of this cluster?", token.source),
            None => token::hint_for_none(),
        };
        error.hint(hint)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(usize, Client)>> {
        self.current.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Connects to a server of the cluster whose CA is believed; what is wrong is said in words before libraries wrap it.
async fn secured(
    endpoint: Endpoint,
    trust: &Credentials,
    address: &Address,
) -> Result<Channel, tonic::transport::Error> {
    let (connector, addr) = (trust.connector(Expected::default()), address.host_and_port());
    let connect = service_fn(move |_| {
        let (connector, addr) = (connector.clone(), addr.clone());
        async move { connector.dial(&addr).await.map(TokioIo::new).map_err(in_words) }
    });
    endpoint.connect_with_connector(connect).await
}

/// The same to a server that has the cluster's key.
async fn keyed(
    endpoint: Endpoint,
    keys: &KeyConnector,
    address: &Address,
) -> Result<Channel, tonic::transport::Error> {
    let (keys, addr) = (keys.clone(), address.host_and_port());
    let connect = service_fn(move |_| {
        let (keys, addr) = (keys.clone(), addr.clone());
        async move { keys.dial(&addr).await.map(TokioIo::new).map_err(in_words) }
    });
    endpoint.connect_with_connector(connect).await
}

/// Why one server gave no answer that counts.
enum Miss {
    /// Nobody there: certainly nothing was done.
    Unreached(String),
    /// It was there, and the connection ended without an answer: the outcome is not known.
    Broken(String),
    /// It answered that it cannot decide now.
    Undecided(Error),
    /// It decided.
    Decided(Error),
}

/// Tells a refusal by a server from a broken connection: the former came whole over the wire, the latter has a source here.
fn classify(status: &Status) -> Miss {
    if status.source().is_some() {
        return Miss::Broken(cause_of(status));
    }
    let error = Error::from(status);
    match error.kind {
        Kind::Unavailable | Kind::NotLeader => Miss::Undecided(error),
        _ => Miss::Decided(error),
    }
}

/// Reads the end of a stream: a broken connection is [`Kind::Unavailable`], whatever the transport calls it.
#[must_use]
pub fn refusal(status: &Status) -> Error {
    match classify(status) {
        Miss::Decided(error) | Miss::Undecided(error) => error,
        Miss::Unreached(why) | Miss::Broken(why) => {
            Error::new(Kind::Unavailable, format!("the connection to the server ended: {why}"))
        }
    }
}

/// Returns the innermost cause in a few words: `connection refused`.
fn cause_of(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    let text = inner.to_string();
    let words = text.split(" (os error").next().unwrap_or(&text);
    match words.chars().next() {
        Some(first) => first.to_lowercase().to_string() + &words[first.len_utf8()..],
        None => "no reason given".to_owned(),
    }
}

/// What one round through all servers gave.
#[derive(Default)]
struct Round {
    /// Whether somebody was there.
    met: bool,
    /// Whether somebody was there who hung up.
    broken: bool,
    /// Whether that was one who was asked without TLS: who speaks TLS alone does that.
    broken_plain: bool,
    undecided: Option<Error>,
    misses: Vec<String>,
}

impl Round {
    fn missed(&mut self, address: &Address, miss: Miss) {
        let why = match miss {
            Miss::Unreached(why) => why,
            Miss::Broken(why) => {
                (self.met, self.broken) = (true, true);
                self.broken_plain |= !address.is_secure();
                format!("the connection ended without an answer ({why})")
            }
            Miss::Undecided(error) | Miss::Decided(error) => {
                self.met = true;
                let why = error.message.clone();
                self.undecided = Some(error);
                why
            }
        };
        self.misses.push(format!("{}: {why}", address.url()));
    }

    fn into_error(self, context: Option<&str>) -> Error {
        let several = self.misses.len() > 1;
        if let Some(error) = self.undecided {
            return if several { error.details(self.misses) } else { error };
        }
        let of = context.map_or_else(String::new, |context| format!(" of context `{context}`"));
        let hint = match context {
            _ if self.broken_plain => {
                "is it a server with a key? It speaks TLS alone: name its CA with --ca-file or MINIJOB_CA_FILE, the file ca.pem of any server"
                    .into()
            }
            None => {
                "try `minijob dev` for a cluster of your own, or name a server with --addr or MINIJOB_ADDR"
                    .into()
            }
            Some(_) => format!(
                "its address is in {}; `minijob context list` shows all contexts, --context chooses another",
                contexts::shown()
            ),
        };
        let error = if several {
            let message = format!("none of {} servers{of} can be reached", self.misses.len());
            Error::new(Kind::Unavailable, message).details(self.misses)
        } else {
            let message = format!("no server{of} can be reached at {}", self.misses.concat());
            Error::new(Kind::Unavailable, message)
        };
        error.hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_cause_is_said_in_a_few_words() {
        let refused = std::io::Error::from_raw_os_error(libc::ECONNREFUSED);
        assert_eq!(cause_of(&refused), "connection refused");
    }

    #[test]
    fn one_unreachable_server_is_named_in_the_message_and_several_one_by_one() {
        let address = |text| Address::list(text).expect("an address").remove(0);
        let mut round = Round::default();
        round.missed(&address("http://h:1"), Miss::Unreached("connection refused".into()));
        assert!(!round.met);
        let error = round.into_error(None);
        assert_eq!(error.message, "no server can be reached at http://h:1: connection refused");
        assert!(error.hint.contains("minijob dev"), "{}", error.hint);

        let mut round = Round::default();
        round.missed(&address("http://h:1"), Miss::Unreached("connection refused".into()));
        let error = round.into_error(Some("prod"));
        assert_eq!(
            error.message,
            "no server of context `prod` can be reached at http://h:1: connection refused"
        );
        assert!(error.hint.contains("contexts.yml") && !error.hint.contains("minijob dev"), "{}", error.hint);

        let mut round = Round::default();
        round.missed(&address("http://h:1"), Miss::Unreached("connection refused".into()));
        round.missed(&address("http://h:2"), Miss::Undecided(Error::new(Kind::Unavailable, "nobody leads")));
        assert!(round.met, "a server that answers is worth another round");
        let error = round.into_error(None);
        assert_eq!(error.message, "nobody leads");
        assert_eq!(error.details, ["http://h:1: connection refused", "http://h:2: nobody leads"]);
    }

    #[test]
    fn who_asks_without_tls_and_is_hung_up_on_is_told_of_tls() {
        let hint = |address: &str| {
            let mut round = Round::default();
            let address = Address::list(address).expect("an address").remove(0);
            round.missed(&address, Miss::Broken("frame with invalid size".into()));
            round.into_error(None).hint
        };
        assert!(hint("http://h:1").contains("--ca-file"), "{}", hint("http://h:1"));
        assert!(!hint("https://h:1").contains("--ca-file"), "{}", hint("https://h:1"));
    }

    #[test]
    fn a_refusal_that_came_over_the_wire_is_final_and_a_broken_connection_is_not() {
        let refused: Status = Error::new(Kind::NotFound, "no job `a`").into();
        assert!(matches!(classify(&refused), Miss::Decided(error) if error.kind == Kind::NotFound));
        let broken = Status::from_error(Box::new(std::io::Error::from(std::io::ErrorKind::ConnectionReset)));
        assert!(matches!(classify(&broken), Miss::Broken(_)));
        assert_eq!(refusal(&broken).kind, Kind::Unavailable);
    }
}
