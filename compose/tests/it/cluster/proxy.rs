//! A TCP proxy that misbehaves when told to: cuts connections after some bytes, ends answers early, delays, refuses.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What goes wrong. Applies to connections that are open, too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fault {
    /// Both directions end, with a reset, once the answers of a connection have so many bytes.
    pub cut_after: Option<usize>,
    /// Answers end, as if they were complete, once those of a connection have so many bytes.
    pub truncate_after: Option<usize>,
    /// Each piece waits, both ways.
    pub delay: Duration,
    /// Nothing new is let through, and what is open ends.
    pub refuse: bool,
}

/// Between a client and `upstream`, until dropped.
pub struct Proxy {
    /// Where clients connect.
    pub address: SocketAddr,
    fault: watch::Sender<Fault>,
    connections: Arc<Mutex<usize>>,
    _task: JoinSet<()>,
}

impl Proxy {
    /// Starts on a free port.
    ///
    /// Where servers tell their own address, as brokers do, it is replaced by the proxy's: both have a port of their own
    /// behind the same host.
    pub async fn start(upstream: &str) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (fault, faults) = watch::channel(Fault::default());
        let connections: Arc<Mutex<usize>> = Arc::default();
        let counted = Arc::clone(&connections);
        let rewrite = Rewrite::new(upstream, address.port());
        let upstream = upstream.to_owned();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut open = JoinSet::new();
            loop {
                let Ok((client, _)) = listener.accept().await else { return };
                while open.try_join_next().is_some() {}
                *counted.lock().unwrap_or_else(PoisonError::into_inner) += 1;
                if faults.borrow().refuse {
                    reset(&client);
                    continue;
                }
                open.spawn(connect(client, upstream.clone(), rewrite.clone(), faults.clone()));
            }
        });
        Proxy {
            address,
            fault,
            connections,
            _task: task,
        }
    }

    /// From now on this goes wrong.
    pub fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }

    /// How many connections were made so far.
    pub fn connections(&self) -> usize {
        *self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn reset(stream: &TcpStream) {
    // Closing then resets, whatever is still on its way.
    let _ = stream.set_zero_linger();
}

async fn connect(client: TcpStream, upstream: String, rewrite: Rewrite, faults: watch::Receiver<Fault>) {
    let Ok(server) = TcpStream::connect(upstream).await else { return };
    let (client_in, client_out) = client.into_split();
    let (server_in, server_out) = server.into_split();
    let mut refusing = faults.clone();
    let requests = forward(client_in, server_out, None, faults.clone());
    let answers = forward(server_in, client_out, Some(rewrite), faults);
    tokio::pin!(requests, answers);
    tokio::select! {
        // A client may say that it has no more to ask and still wait for its answer; without answers it is over.
        () = &mut requests => {
            answers.await;
        }
        () = &mut answers => {}
        _ = async { refusing.wait_for(|fault| fault.refuse).await.is_ok() } => {}
    }
}

async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, rewrite: Option<Rewrite>, faults: watch::Receiver<Fault>) {
    let mut buffer = vec![0; 16 * 1024];
    let mut held: Vec<u8> = Vec::new();
    let mut passed = 0;
    loop {
        // What may be the beginning of an address is held back for the rest of it, but not for long.
        let read = tokio::time::timeout(Duration::from_millis(if held.is_empty() { 3_600_000 } else { 5 }), from.read(&mut buffer)).await;
        let is_more = match read {
            Ok(Ok(0) | Err(_)) => {
                let _ = to.write_all(&held).await;
                return;
            }
            Ok(Ok(count)) => {
                held.extend_from_slice(&buffer[..count]);
                true
            }
            Err(_) => false,
        };
        let fault = *faults.borrow();
        tokio::time::sleep(fault.delay).await;
        let ready = match &rewrite {
            Some(rewrite) if is_more => rewrite.apply(&mut held),
            _ => held.len(),
        };
        let mut piece: Vec<u8> = held.drain(..ready).collect();
        let answers = rewrite.is_some();
        let limit = [fault.cut_after, fault.truncate_after].into_iter().flatten().min().filter(|_| answers);
        let is_over = limit.is_some_and(|limit| passed + piece.len() >= limit);
        if let Some(limit) = limit {
            piece.truncate(limit.saturating_sub(passed));
        }
        passed += piece.len();
        if to.write_all(&piece).await.is_err() {
            return;
        }
        if is_over {
            if fault.cut_after.is_some() {
                reset(to.as_ref());
                // Dropping it would end the answer as if it were complete.
                to.forget();
            }
            return;
        }
    }
}

/// Replaces the server's port by the proxy's wherever a server names its host and port (a string and four bytes).
#[derive(Debug, Clone)]
struct Rewrite {
    told: Vec<u8>,
    instead: Vec<u8>,
}

impl Rewrite {
    fn new(upstream: &str, port: u16) -> Rewrite {
        let (host, told) = upstream.rsplit_once(':').expect("host:port");
        let told: u16 = told.parse().expect("a port");
        let address = |port: u16| [host.as_bytes(), &u32::from(port).to_be_bytes()].concat();
        Rewrite {
            told: address(told),
            instead: address(port),
        }
    }

    /// Replaces in place; returns how many bytes may go on. The rest may be the beginning of an address.
    fn apply(&self, bytes: &mut [u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &mut bytes[at..];
            if rest.starts_with(&self.told) {
                rest[..self.instead.len()].copy_from_slice(&self.instead);
                at += self.instead.len();
            } else if self.told.starts_with(rest) {
                return at;
            } else {
                at += 1;
            }
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_replaced_also_where_it_comes_in_pieces() {
        let rewrite = Rewrite::new("127.0.0.1:9092", 258);
        let told = |port: [u8; 4]| [b"x127.0.0.1".as_slice(), &port, b"127.0.0"].concat();
        let mut bytes = told([0, 0, 0x23, 0x84]);
        let ready = rewrite.apply(&mut bytes);
        assert_eq!(bytes, told([0, 0, 1, 2]));
        assert_eq!(ready, bytes.len() - b"127.0.0".len());
        let mut other = told([0, 0, 0x23, 0x85]);
        rewrite.apply(&mut other);
        assert_eq!(other, told([0, 0, 0x23, 0x85]));
    }

    #[tokio::test]
    async fn answers_are_passed_on_cut_ended_early_or_refused() {
        let server = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let upstream = server.local_addr().expect("bound").to_string();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            loop {
                let (mut client, _) = server.accept().await.expect("a client");
                let mut request = [0; 4];
                client.read_exact(&mut request).await.expect("a request");
                let _ = client.write_all(&[7; 100]).await;
            }
        });
        let proxy = Proxy::start(&upstream).await;
        let ask = async || {
            let mut client = TcpStream::connect(proxy.address).await?;
            client.write_all(b"ask!").await?;
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).await.map(|_| answer.len())
        };
        for (fault, expected) in [
            (Fault::default(), Some(100)),
            (
                Fault {
                    truncate_after: Some(30),
                    ..Fault::default()
                },
                Some(30),
            ),
            (
                Fault {
                    delay: Duration::from_millis(1),
                    ..Fault::default()
                },
                Some(100),
            ),
            (
                Fault {
                    cut_after: Some(30),
                    ..Fault::default()
                },
                None,
            ),
            (
                Fault {
                    refuse: true,
                    ..Fault::default()
                },
                None,
            ),
            (Fault::default(), Some(100)),
        ] {
            proxy.set(fault);
            assert_eq!(ask().await.ok(), expected, "{fault:?}");
        }
        assert_eq!(proxy.connections(), 6);
    }
}
