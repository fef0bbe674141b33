//! Connections that can be cut: the server's ordinary TCP connections, with a limit on how many more
//! bytes may leave.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use poem::http::uri::Scheme;
use poem::listener::Acceptor;
use poem::web::{LocalAddr, RemoteAddr};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

const UNLIMITED: usize = usize::MAX;

/// The open connections by the client's address.
#[derive(Debug, Clone, Default)]
pub(super) struct Connections {
    allowances: Arc<Mutex<HashMap<SocketAddr, Arc<AtomicUsize>>>>,
}

impl Connections {
    /// Ends a connection once so many more bytes have been sent on it.
    pub(super) fn cut_after(&self, bytes: usize, peer: SocketAddr) {
        if let Some(allowance) = self.lock().get(&peer) {
            allowance.store(bytes, Ordering::Release);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SocketAddr, Arc<AtomicUsize>>> {
        self.allowances.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Accepts connections that [`Connections`] can cut.
#[derive(Debug)]
pub(super) struct CuttableAcceptor {
    pub(super) listener: TcpListener,
    pub(super) local: SocketAddr,
    pub(super) connections: Connections,
}

impl Acceptor for CuttableAcceptor {
    type Io = CuttableStream;

    fn local_addr(&self) -> Vec<LocalAddr> {
        vec![LocalAddr(self.local.into())]
    }

    async fn accept(&mut self) -> io::Result<(CuttableStream, LocalAddr, RemoteAddr, Scheme)> {
        let (stream, peer) = self.listener.accept().await?;
        // Answers are written head and body apart; waiting for an acknowledgement in between costs 40 ms.
        stream.set_nodelay(true)?;
        let allowance = Arc::new(AtomicUsize::new(UNLIMITED));
        self.connections.lock().insert(peer, Arc::clone(&allowance));
        let stream = CuttableStream {
            stream,
            allowance,
            peer,
            connections: self.connections.clone(),
        };
        Ok((stream, LocalAddr(self.local.into()), RemoteAddr(peer.into()), Scheme::HTTP))
    }
}

/// A TCP connection that stops sending when its allowance is used up.
#[derive(Debug)]
pub(super) struct CuttableStream {
    stream: TcpStream,
    allowance: Arc<AtomicUsize>,
    peer: SocketAddr,
    connections: Connections,
}

impl Drop for CuttableStream {
    fn drop(&mut self) {
        self.connections.lock().remove(&self.peer);
    }
}

impl AsyncRead for CuttableStream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for CuttableStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let allowed = self.allowance.load(Ordering::Acquire);
        if allowed == 0 {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, "cut on purpose")));
        }
        let bytes = &bytes[..bytes.len().min(allowed)];
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        if let (Poll::Ready(Ok(count)), true) = (&written, allowed != UNLIMITED) {
            self.allowance.store(allowed - count, Ordering::Release);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
