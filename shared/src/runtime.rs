//! Signals to cancellation, named tasks with an owner, a drain with a deadline.
//!
//! The only code that spawns: everything else is a future that somebody awaits.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Named tasks that live and end together: the first panic or error cancels all.
#[derive(Debug)]
pub struct Tasks {
    shutdown: CancellationToken,
    set: JoinSet<(&'static str, anyhow::Result<()>)>,
}

/// A task failed or panicked, or did not end within the drain deadline.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum TaskError {
    #[error("task {name} failed: {source:#}")]
    Failed { name: &'static str, source: anyhow::Error },
    #[error("a task panicked: {0}")]
    Panicked(String),
    #[error("{0} task(s) did not end within the drain deadline and were aborted")]
    Overdue(usize),
}

impl Tasks {
    /// No task yet; all end when `shutdown` is cancelled.
    #[must_use]
    pub fn new(shutdown: CancellationToken) -> Self {
        Tasks { shutdown, set: JoinSet::new() }
    }

    /// The token that ends the tasks.
    #[must_use]
    pub fn shutdown(&self) -> &CancellationToken {
        &self.shutdown
    }

    /// Starts a task. It has to end soon after the shutdown token is cancelled.
    pub fn spawn<F>(&mut self, name: &'static str, task: F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.set.spawn(async move { (name, task.await) });
    }

    /// Waits until the shutdown token is cancelled or a task fails (which cancels it), then for the rest to end.
    ///
    /// # Errors
    /// The first failure, or how many tasks were overdue after `drain`.
    pub async fn join(mut self, drain: Duration) -> Result<(), TaskError> {
        let mut first_error = None;
        while !self.shutdown.is_cancelled() && !self.set.is_empty() {
            tokio::select! {
                () = self.shutdown.cancelled() => {}
                Some(ended) = self.set.join_next() => note(ended, &self.shutdown, &mut first_error),
            }
        }
        let deadline = tokio::time::Instant::now() + drain;
        while !self.set.is_empty() {
            match tokio::time::timeout_at(deadline, self.set.join_next()).await {
                Ok(Some(ended)) => note(ended, &self.shutdown, &mut first_error),
                Ok(None) => break,
                Err(_elapsed) => {
                    let overdue = self.set.len();
                    self.set.shutdown().await;
                    first_error.get_or_insert(TaskError::Overdue(overdue));
                    break;
                }
            }
        }
        first_error.map_or(Ok(()), Err)
    }
}

fn note(ended: Result<(&'static str, anyhow::Result<()>), tokio::task::JoinError>, shutdown: &CancellationToken, first_error: &mut Option<TaskError>) {
    let error = match ended {
        Ok((name, Ok(()))) => {
            tracing::debug!(task = name, "task ended");
            return;
        }
        Ok((name, Err(source))) => TaskError::Failed { name, source },
        Err(join_error) => TaskError::Panicked(join_error.to_string()),
    };
    tracing::error!(error = %error, "stopping because of a failed task");
    shutdown.cancel();
    first_error.get_or_insert(error);
}

/// Cancels `shutdown` at the first SIGINT or SIGTERM; a second one ends the process at once with code 130.
///
/// # Errors
/// If the handlers cannot be installed.
pub async fn watch_signals(shutdown: CancellationToken) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut asked_before = false;
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if asked_before {
            std::process::exit(130);
        }
        asked_before = true;
        tracing::info!("shutting down: draining; a second signal stops at once");
        shutdown.cancel();
    }
}

/// Runs `body` on a multi-threaded runtime with signals watched, and returns the process's exit code.
///
/// 0 after a clean stop, 1 after a failure (which is logged with its causes), 2 after a configuration error.
pub fn serve<F, Fut>(body: F) -> std::process::ExitCode
where
    F: FnOnce(CancellationToken) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("the async runtime cannot start: {error}");
            return std::process::ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(async {
        let shutdown = CancellationToken::new();
        // Owned by this function: aborted when the body has ended.
        #[allow(clippy::disallowed_methods)]
        let signals = tokio::task::spawn(watch_signals(shutdown.clone()));
        let result = body(shutdown).await;
        signals.abort();
        result
    });
    // Threads of libraries must not keep the process: what had to be drained was.
    runtime.shutdown_timeout(Duration::from_millis(500));
    match result {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            let code = if error.downcast_ref::<crate::config::ConfigError>().is_some() { 2 } else { 1 };
            std::process::ExitCode::from(code)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failed_task_cancels_the_others() {
        let mut tasks = Tasks::new(CancellationToken::new());
        let shutdown = tasks.shutdown().clone();
        tasks.spawn("waits", async move {
            shutdown.cancelled().await;
            Ok(())
        });
        tasks.spawn("fails", async { anyhow::bail!("broken") });
        let error = tasks.join(Duration::from_secs(5)).await.expect_err("a task failed");
        assert!(error.to_string().contains("fails") && error.to_string().contains("broken"), "{error}");
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_cancels_the_others() {
        let mut tasks = Tasks::new(CancellationToken::new());
        let shutdown = tasks.shutdown().clone();
        tasks.spawn("waits", async move {
            shutdown.cancelled().await;
            Ok(())
        });
        tasks.spawn("panics", async { panic!("on purpose") });
        assert!(matches!(tasks.join(Duration::from_secs(5)).await, Err(TaskError::Panicked(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_does_not_drain_is_aborted_and_counted() {
        let mut tasks = Tasks::new(CancellationToken::new());
        tasks.spawn("hangs", std::future::pending());
        tasks.shutdown().cancel();
        assert!(matches!(tasks.join(Duration::from_secs(5)).await, Err(TaskError::Overdue(1))));
    }
}
