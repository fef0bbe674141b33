//! Load of our own: HTTP/1.1 over connections that stay open, a thread for each, which blocks. A timer of the async runtime
//! is right to a millisecond only, and that is half of what is measured.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

/// Nothing takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// When requests are sent.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// So many a second, due at fixed instants whether or not earlier ones are answered. A latency counts from when the request
    /// was due: what waits behind a slow answer counts as slow, too, and so does what this program sends late.
    PerSecond(u32),
    /// Each as soon as the one before it on its connection is answered.
    Closed,
}

/// What was measured, over some slices of time.
#[derive(Debug, Clone, Default)]
pub struct Samples {
    latencies: Vec<Duration>,
    /// From when a request was sent: what does not wait behind others.
    answers: Vec<Duration>,
    /// How late requests were sent whose connection was free when they were due: the machine's doing, not the server's.
    late: Vec<Duration>,
    took: Duration,
}

impl Samples {
    /// Adds those of another slice.
    pub fn add(&mut self, other: Samples) {
        self.latencies.extend(other.latencies);
        self.answers.extend(other.answers);
        self.late.extend(other.late);
        self.took += other.took;
    }

    /// Answers a second.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        self.latencies.len() as f64 / self.took.as_secs_f64()
    }

    /// Milliseconds that so many in a thousand took at most.
    #[must_use]
    pub fn per_mille_ms(&self, per_mille: usize) -> f64 {
        per_mille_ms(&self.latencies, per_mille)
    }

    /// Milliseconds that so many in a thousand took at most from when they were sent.
    #[must_use]
    pub fn answer_per_mille_ms(&self, per_mille: usize) -> f64 {
        per_mille_ms(&self.answers, per_mille)
    }

    /// Milliseconds by which ninety-nine in a hundred were sent late at most by the machine's doing.
    #[must_use]
    pub fn late_p99_ms(&self) -> f64 {
        per_mille_ms(&self.late, 990)
    }
}

fn per_mille_ms(durations: &[Duration], per_mille: usize) -> f64 {
    let mut durations = durations.to_vec();
    durations.sort_unstable();
    let place = (durations.len() * per_mille / 1_000).min(durations.len().saturating_sub(1));
    durations.get(place).map_or(f64::NAN, |duration| duration.as_secs_f64() * 1_000.0)
}

/// Asks `address` for some time; `request` writes the request of a number, each of which is used once.
///
/// # Errors
/// A connection that fails; an answer that is no 200.
pub fn run(address: &str, connections: u32, pace: Pace, duration: Duration, request: &(dyn Fn(u64) -> Vec<u8> + Sync)) -> anyhow::Result<Samples> {
    let open = || Connection::open(address);
    let opened: Vec<Connection> = (0..connections).map(|_| open()).collect::<Result<_, _>>()?;
    let began = Instant::now();
    let mut samples = Samples::default();
    thread::scope(|scope| {
        let threads = opened.into_iter().zip(0..).map(|(mut connection, first)| {
            scope.spawn(move || -> anyhow::Result<Samples> {
                let numbers = (first..).step_by(connections as usize);
                let mut samples = Samples::default();
                for number in numbers {
                    let due = match pace {
                        Pace::PerSecond(rate) => began + Duration::from_secs_f64(number as f64 / f64::from(rate)),
                        Pace::Closed => Instant::now(),
                    };
                    if due.duration_since(began) >= duration {
                        break;
                    }
                    let early = due.saturating_duration_since(Instant::now());
                    if !early.is_zero() {
                        thread::sleep(early);
                        samples.late.push(due.elapsed());
                    }
                    let request = request(number);
                    let sent = Instant::now();
                    connection.ask(&request)?;
                    samples.answers.push(sent.elapsed());
                    samples.latencies.push(due.elapsed());
                }
                Ok(samples)
            })
        });
        // All of them run before the first is waited for.
        let threads: Vec<_> = threads.collect();
        for thread in threads {
            samples.add(thread.join().expect("a thread that does not panic")?);
        }
        anyhow::Ok(())
    })?;
    samples.took = began.elapsed();
    Ok(samples)
}

/// A GET of this path.
#[must_use]
pub fn get(address: &str, path: &str, accept_encoding: Option<&str>) -> Vec<u8> {
    let encoding = accept_encoding.map_or(String::new(), |accepted| format!("accept-encoding: {accepted}\r\n"));
    format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n{encoding}\r\n").into_bytes()
}

/// A POST of this JSON.
#[must_use]
pub fn post(address: &str, path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes()
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    fn open(address: &str) -> anyhow::Result<Connection> {
        let stream = TcpStream::connect(address).with_context(|| format!("{address} cannot be reached"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Connection {
            stream,
            buffer: vec![0; 1 << 20],
        })
    }

    /// Sends a request and reads its answer to the end.
    fn ask(&mut self, request: &[u8]) -> anyhow::Result<()> {
        self.stream.write_all(request)?;
        let mut filled = 0;
        loop {
            ensure!(filled < self.buffer.len(), "an answer is too long");
            let count = self.stream.read(&mut self.buffer[filled..])?;
            ensure!(count > 0, "the connection was closed");
            filled += count;
            if is_whole(&self.buffer[..filled])? {
                return Ok(());
            }
        }
    }
}

/// Whether this is all of an answer. Nothing else comes on the connection before the next request.
fn is_whole(received: &[u8]) -> anyhow::Result<bool> {
    // A head is short.
    let Some(head_length) = received.windows(4).take(8_192).position(|window| window == b"\r\n\r\n") else {
        return Ok(false);
    };
    let head = std::str::from_utf8(&received[..head_length])?;
    ensure!(head.starts_with("HTTP/1.1 200 "), "an answer is {}", head.lines().next().unwrap_or_default());
    let value = |name: &str| {
        let mut fields = head.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    };
    let body = &received[head_length + 4..];
    match value("content-length") {
        Some(length) => Ok(body.len() >= length.parse::<usize>()?),
        // JSON has no line ends like these.
        None => Ok(body.ends_with(b"\r\n0\r\n\r\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_where_its_length_or_its_last_chunk_says() {
        for (received, expected) in [
            ("HTTP/1.1 200 OK\r\ncontent-le", Some(false)),
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{", Some(false)),
            ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", Some(true)),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", Some(false)),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", Some(true)),
            ("HTTP/1.1 503 Service Unavailable\r\n\r\n", None),
        ] {
            assert_eq!(is_whole(received.as_bytes()).ok(), expected, "{received:?}");
        }
    }

    #[test]
    fn slices_are_taken_together() {
        let slice = |millis: &[u64]| Samples {
            latencies: millis.iter().copied().map(Duration::from_millis).collect(),
            answers: Vec::new(),
            late: Vec::new(),
            took: Duration::from_secs(1),
        };
        let mut samples = slice(&[1, 9]);
        samples.add(slice(&[5, 3]));
        assert_eq!((samples.per_second(), samples.per_mille_ms(500), samples.per_mille_ms(990)), (2.0, 5.0, 9.0));
    }
}
