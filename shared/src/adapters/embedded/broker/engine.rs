//! The threads that tansu runs on.

use std::panic::resume_unwind;

use tokio::runtime::{Builder, Handle, Runtime};
use tracing::subscriber::NoSubscriber;

/// SQLite takes one writer at a time, and reads are short.
const THREADS: usize = 2;

/// A runtime of its own.
pub(super) struct Engine {
    /// Absent only while dropping.
    runtime: Option<Runtime>,
}

impl Engine {
    pub(super) fn start() -> std::io::Result<Engine> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("event-log")
            .enable_all()
            .on_thread_start(mute)
            .build()?;
        Ok(Engine { runtime: Some(runtime) })
    }

    pub(super) fn handle(&self) -> &Handle {
        self.runtime.as_ref().expect("present until dropped").handle()
    }

    /// Runs on these threads, so that whatever is spawned on the way stays on them.
    pub(super) async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        match self.handle().spawn(work).await {
            Ok(done) => done,
            Err(ended) => resume_unwind(ended.try_into_panic().unwrap_or_else(|_| Box::new("the event log's threads ended"))),
        }
    }
}

/// For as long as the thread lives. The process's own subscriber would hear payloads.
fn mute() {
    std::mem::forget(tracing::subscriber::set_default(NoSubscriber::default()));
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waiting is not allowed where this may be dropped, and there is nothing to wait for.
            runtime.shutdown_background();
        }
    }
}
