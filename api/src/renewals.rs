//! [`Renewals`]: fetches that no request waits for, and the one task that owns them.

use std::future::Future;
use std::sync::{Arc, OnceLock};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// So many are under way at most, and so many wait for their turn.
const AT_ONCE: usize = 32;

type Renewal = BoxFuture<'static, ()>;

/// A way to the task that makes renewals. Cloning shares it.
#[derive(Clone, Default)]
pub(crate) struct Renewals {
    /// Set once that task runs.
    sender: Arc<OnceLock<mpsc::Sender<Renewal>>>,
}

impl Renewals {
    /// Hands a renewal over. False where nobody makes it: no task runs, or it has too many already.
    pub(crate) fn begin(&self, renewal: impl Future<Output = ()> + Send + 'static) -> bool {
        self.sender.get().is_some_and(|sender| sender.try_send(renewal.boxed()).is_ok())
    }

    /// Makes renewals until the shutdown, which drops those under way. Runs once.
    pub(crate) async fn run(&self, shutdown: CancellationToken) {
        let (sender, mut receiver) = mpsc::channel(AT_ONCE);
        if self.sender.set(sender).is_err() {
            return;
        }
        let mut under_way = JoinSet::new();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                Some(renewal) = receiver.recv(), if under_way.len() < AT_ONCE => {
                    under_way.spawn(renewal);
                }
                Some(ended) = under_way.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(error = %error, "an answer could not be renewed");
                    }
                }
            }
        }
    }
}
