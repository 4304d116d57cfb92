//! A daemon that runs in this process.

use proto::error::{Error, Kind};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Holds a daemon. Dropping it does not end the daemon; [`Running::stop`] does.
#[derive(Debug)]
pub struct Running {
    name: &'static str,
    stop: CancellationToken,
    task: JoinHandle<Result<(), Error>>,
    over: bool,
}

impl Running {
    /// Spawns a daemon; it ends by itself soon after `stop` is cancelled.
    pub fn spawn(
        name: &'static str,
        stop: CancellationToken,
        work: impl Future<Output = Result<(), Error>> + Send + 'static,
    ) -> Self {
        Self { name, stop, task: tokio::spawn(work), over: false }
    }

    /// Waits for an end that nobody asked for, and says why. May be dropped and called again.
    pub async fn ended(&mut self) -> Error {
        let result = (&mut self.task).await;
        self.over = true;
        match result {
            Ok(Err(error)) => error,
            Ok(Ok(())) => Error::new(Kind::Internal, format!("the {} ended by itself", self.name)),
            Err(panic) => Error::new(Kind::Internal, format!("the {} is broken: {panic}", self.name)),
        }
    }

    /// Asks it to end and waits until it has. After [`Running::ended`] there is nothing left to wait for.
    ///
    /// # Errors
    /// What went wrong while it ended.
    pub async fn stop(mut self) -> Result<(), Error> {
        self.stop.cancel();
        if self.over {
            return Ok(());
        }
        match (&mut self.task).await {
            Ok(result) => result,
            Err(panic) => Err(Error::new(Kind::Internal, format!("the {} is broken: {panic}", self.name))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_ends_when_asked_and_says_what_went_wrong() {
        let stop = CancellationToken::new();
        let asked = stop.clone();
        let running = Running::spawn("server", stop, async move {
            asked.cancelled().await;
            Err(Error::new(Kind::Internal, "the disk is full"))
        });
        assert_eq!(running.stop().await.expect_err("failed").message, "the disk is full");
    }

    #[tokio::test]
    async fn an_end_that_nobody_asked_for_is_an_error_also_when_it_was_quiet() {
        let mut running = Running::spawn("agent", CancellationToken::new(), async { Ok(()) });
        assert_eq!(running.ended().await.message, "the agent ended by itself");
        assert_eq!(running.stop().await, Ok(()));
    }
}
