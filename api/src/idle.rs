//! [`ClosingIdle`]: accepts connections and ends those without traffic.
//!
//! poem can do that, too, with a task beside each connection that every read and write wakes. Here a timer is looked at when
//! there is nothing to read, and set anew only when it has run out.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use poem::http::uri::Scheme;
use poem::listener::Acceptor;
use poem::web::{LocalAddr, RemoteAddr};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// Connections of another acceptor.
pub(crate) struct ClosingIdle<A> {
    acceptor: A,
    limit: Duration,
}

impl<A> ClosingIdle<A> {
    /// Ends those without traffic for so long.
    pub(crate) fn new(acceptor: A, limit: Duration) -> Self {
        ClosingIdle { acceptor, limit }
    }
}

impl<A: Acceptor> Acceptor for ClosingIdle<A> {
    type Io = Connection<A::Io>;

    fn local_addr(&self) -> Vec<LocalAddr> {
        self.acceptor.local_addr()
    }

    async fn accept(&mut self) -> io::Result<(Self::Io, LocalAddr, RemoteAddr, Scheme)> {
        let (io, local, remote, scheme) = self.acceptor.accept().await?;
        Ok((Connection::new(io, self.limit), local, remote, scheme))
    }
}

/// A connection that reads an end after some time without traffic.
pub(crate) struct Connection<I> {
    io: I,
    limit: Duration,
    used: Instant,
    timer: Pin<Box<Sleep>>,
}

impl<I> Connection<I> {
    fn new(io: I, limit: Duration) -> Self {
        Connection {
            io,
            limit,
            used: Instant::now(),
            timer: Box::pin(sleep(limit)),
        }
    }

    /// Ready once there was no traffic for too long.
    fn poll_idle(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.timer.as_mut().poll(context));
            let until = self.used + self.limit;
            if until <= Instant::now() {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(until);
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Connection<I> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.io).poll_read(context, buffer) {
            Poll::Ready(read) => {
                self.used = Instant::now();
                Poll::Ready(read)
            }
            Poll::Pending => self.poll_idle(context).map(Ok),
        }
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Connection<I> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write(context, bytes));
        self.used = Instant::now();
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio::time::timeout;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(75);

    #[tokio::test(start_paused = true)]
    async fn a_connection_ends_after_some_time_without_traffic_either_way() {
        let (near, mut far) = duplex(100);
        let mut connection = Connection::new(near, LIMIT);
        let began = Instant::now();
        let mut buffer = [0; 10];
        assert!(timeout(Duration::from_secs(50), connection.read(&mut buffer)).await.is_err());
        far.write_all(b"a").await.unwrap();
        assert_eq!(connection.read(&mut buffer).await.unwrap(), 1);
        assert!(timeout(Duration::from_secs(50), connection.read(&mut buffer)).await.is_err());
        connection.write_all(b"b").await.unwrap();
        assert_eq!(connection.read(&mut buffer).await.unwrap(), 0);
        assert_eq!(began.elapsed().as_secs(), 50 + 50 + 75);
    }
}
