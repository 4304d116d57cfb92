//! Greets the others until this server belongs to a cluster.

use futures::future::join_all;
use proto::time::now;
use tokio::time::{Instant, sleep};

use super::{Forming, Heard, promise, wire};
use crate::core::forming::{Greeting, Promise, Server, Step};
use crate::limits::GREET_EVERY;

/// What people were last told, so that it is told once.
#[derive(Default)]
struct Told(Option<Step>);

/// Runs until this server belongs to a cluster; at once for one that does, and for one that was told of no others and waits for nobody.
pub(super) async fn run(forming: &Forming) {
    let config = &forming.shared.config;
    if config.join.is_empty() && config.expect < 2 && forming.promise().is_none() {
        return;
    }
    let mut told = Told::default();
    loop {
        greet_all(forming).await;
        // A promise is said to the others before anything is done about it: the next round does.
        let step = forming.decide();
        told.tell(&step);
        match step {
            Step::Rest => return,
            Step::Wait(_) | Step::Refuse(_) => sleep(GREET_EVERY).await,
            Step::Promise(made) => keep(forming, made).await,
            Step::Bootstrap(servers) => bootstrap(forming, &servers).await,
            Step::Ask(server) => ask(forming, &server).await,
        }
    }
}

/// Greets everybody that is known, at the same time.
async fn greet_all(forming: &Forming) {
    let own = &forming.shared.config.own.addr;
    let known: Vec<String> = forming.heard().keys().filter(|addr| *addr != own).cloned().collect();
    join_all(known.iter().map(|addr| greet(forming, addr))).await;
}

async fn greet(forming: &Forming, addr: &str) {
    match forming.greet(addr).await {
        Ok(greeting) => note(forming, addr, greeting),
        Err(error) => {
            let mut heard = forming.heard();
            let Heard { trouble, .. } = heard.entry(addr.to_owned()).or_default();
            let why = if error.hint.is_empty() {
                error.message
            } else {
                format!("{}: {}", error.message, error.hint)
            };
            if trouble.as_ref() != Some(&why) {
                tracing::warn!(addr, why, "a server cannot be greeted");
                *trouble = Some(why);
            }
        }
    }
}

fn note(forming: &Forming, addr: &str, greeting: Greeting) {
    let named = greeting.server.addr.clone();
    let mut heard = forming.heard();
    let now = Heard { said: Some((greeting, Instant::now())), trouble: None };
    heard.insert(addr.to_owned(), now.clone());
    // The same server under the address that it goes by: one entry would stay silent otherwise.
    if let Some(other) = heard.get_mut(&named) {
        *other = now;
    }
}

async fn keep(forming: &Forming, made: Promise) {
    let (dir, written) = (forming.shared.config.data_dir.clone(), made.clone());
    let result = tokio::task::spawn_blocking(move || promise::write(&dir, &written)).await;
    match result {
        Ok(Ok(())) => *forming.promise() = Some(made),
        Ok(Err(error)) => {
            tracing::error!(%error, "what this server agrees to cannot be written down, so it agrees to nothing");
            sleep(GREET_EVERY).await;
        }
        Err(panic) => tracing::error!(%panic, "writing down a promise panicked"),
    }
}

async fn bootstrap(forming: &Forming, servers: &[Server]) {
    if let Err(why) = certify(forming, servers).await {
        tracing::warn!(why, "this server has no certificate yet");
        sleep(GREET_EVERY).await;
        return;
    }
    let members: Vec<_> = servers.iter().map(super::member_of).collect();
    if let Err(error) = forming.shared.cluster.raft().bootstrap(&members).await {
        tracing::error!(%error, "the cluster could not be made");
    }
    // Who was asked for its vote before waits for the one that asked.
    sleep(GREET_EVERY).await;
}

/// Sees to it that this server has a certificate before the log of these begins: what it says is refused without one. The first by id makes
/// the CA, so it is made once; the others ask that one, and each other should it be gone.
async fn certify(forming: &Forming, servers: &[Server]) -> Result<(), String> {
    let Some(enrolment) = &forming.shared.config.enrolment else { return Ok(()) };
    let own = forming.shared.config.own.id;
    if servers.iter().map(|server| server.id).min() == Some(own) {
        return enrolment.found("", now()).map_err(|error| error.to_string());
    }
    let mut others: Vec<_> = servers.iter().filter(|server| server.id != own).collect();
    others.sort_by_key(|server| server.id);
    let mut said = String::new();
    for server in others {
        match enrolment.enrol_at(&server.addr).await {
            Ok(()) => return Ok(()),
            Err(error) => said = error.to_string(),
        }
    }
    Err(said)
}

/// Asks to be added; whoever does not lead names who does, which is followed once.
async fn ask(forming: &Forming, server: &Server) {
    if let Some(enrolment) = &forming.shared.config.enrolment
        && let Err(error) = enrolment.enrol_at(&server.addr).await
    {
        tracing::warn!(server = server.name, why = %error, "this server has no certificate yet");
        sleep(GREET_EVERY).await;
        return;
    }
    let own = || wire::greeting_to_wire(&forming.greeting());
    let calls = &forming.shared.calls;
    let asked = match calls.join(&server.addr, own()).await {
        Ok(joined) if !joined.leader.is_empty() => calls.join(&joined.leader, own()).await,
        answered => answered,
    };
    if let Err(error) = asked {
        tracing::warn!(server = server.name, why = error.message, "this server is not added yet");
    }
    sleep(GREET_EVERY).await;
}

impl Told {
    fn tell(&mut self, step: &Step) {
        if self.0.as_ref() == Some(step) {
            return;
        }
        match step {
            Step::Rest => tracing::info!("this server belongs to a cluster"),
            Step::Wait(why) => tracing::info!("{why}"),
            Step::Refuse(why) => tracing::error!("{why}"),
            Step::Promise(Promise::Form(servers)) => {
                tracing::info!("making a cluster of {}", names(servers));
            }
            Step::Promise(Promise::Join(cluster)) => tracing::info!("joining cluster {cluster:x}"),
            Step::Bootstrap(servers) => tracing::info!("{} have all agreed", names(servers)),
            Step::Ask(server) => tracing::info!("asking {} to be added", server.name),
        }
        self.0 = Some(step.clone());
    }
}

fn names(servers: &[Server]) -> String {
    servers.iter().map(|server| server.name.as_str()).collect::<Vec<_>>().join(", ")
}
