//! Scripted servers that take messages: one speaks HTTP, one SMTP, both as much as the channels need.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What a server does with a message.
#[derive(Debug, Clone)]
pub enum Answer {
    /// This status, this header if any, and this body.
    Status(u16, Option<(&'static str, &'static str)>, String),
    /// This status, and all that was secret in the request.
    Echo(u16),
    /// Takes it and never answers.
    Silence,
}

/// A request that came in.
#[derive(Debug, Clone)]
pub struct Received {
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Received {
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// Answers requests as scripted, then with 200.
pub struct HttpReceiver {
    pub address: SocketAddr,
    script: Arc<Mutex<VecDeque<Answer>>>,
    received: Arc<Mutex<Vec<Received>>>,
    _task: JoinSet<()>,
}

impl HttpReceiver {
    pub async fn start() -> HttpReceiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let script: Arc<Mutex<VecDeque<Answer>>> = Arc::default();
        let received: Arc<Mutex<Vec<Received>>> = Arc::default();
        let mut task = JoinSet::new();
        task.spawn({
            let (script, received) = (Arc::clone(&script), Arc::clone(&received));
            async move {
                let mut connections = JoinSet::new();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let (script, received) = (Arc::clone(&script), Arc::clone(&received));
                    connections.spawn(async move { answer(stream, &script, &received).await });
                }
            }
        });
        HttpReceiver {
            address,
            script,
            received,
            _task: task,
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn answers(&self, answers: impl IntoIterator<Item = Answer>) {
        self.script.lock().unwrap().extend(answers);
    }

    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// The idempotency keys, in order.
    pub fn keys(&self) -> Vec<String> {
        self.received().iter().map(|received| received.header("idempotency-key").to_owned()).collect()
    }
}

async fn answer(stream: TcpStream, script: &Mutex<VecDeque<Answer>>, received: &Mutex<Vec<Received>>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.push((name.to_lowercase(), value.to_owned()));
    }
    let length = headers
        .iter()
        .find(|(name, _)| name == "content-length")
        .map_or(0, |(_, value)| value.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    let request = Received {
        path,
        headers,
        body: String::from_utf8(body).unwrap(),
    };
    let echo = format!("no {} {}", request.path, request.header("authorization"));
    received.lock().unwrap().push(request);
    let answer = script.lock().unwrap().pop_front();
    let (status, header, body) = match answer.unwrap_or(Answer::Status(200, None, String::new())) {
        Answer::Status(status, header, body) => (status, header, body),
        Answer::Echo(status) => (status, None, echo),
        Answer::Silence => std::future::pending().await,
    };
    let header = header.map_or_else(String::new, |(name, value)| format!("{name}: {value}\r\n"));
    let head = format!("HTTP/1.1 {status} -\r\n{header}content-length: {}\r\nconnection: close\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).await.ok()?;
    stream.shutdown().await.ok()
}

/// Takes mail; the first recipients are answered as scripted.
pub struct SmtpReceiver {
    pub address: SocketAddr,
    script: Arc<Mutex<VecDeque<&'static str>>>,
    mails: Arc<Mutex<Vec<String>>>,
    _task: JoinSet<()>,
}

impl SmtpReceiver {
    pub async fn start() -> SmtpReceiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let script: Arc<Mutex<VecDeque<&'static str>>> = Arc::default();
        let mails: Arc<Mutex<Vec<String>>> = Arc::default();
        let mut task = JoinSet::new();
        task.spawn({
            let (script, mails) = (Arc::clone(&script), Arc::clone(&mails));
            async move {
                let mut connections = JoinSet::new();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let (script, mails) = (Arc::clone(&script), Arc::clone(&mails));
                    connections.spawn(async move { take_mail(stream, &script, &mails).await });
                }
            }
        });
        SmtpReceiver {
            address,
            script,
            mails,
            _task: task,
        }
    }

    /// The answer to the next recipient.
    pub fn answers(&self, answer: &'static str) {
        self.script.lock().unwrap().push_back(answer);
    }

    pub fn mails(&self) -> Vec<String> {
        self.mails.lock().unwrap().clone()
    }
}

async fn take_mail(stream: TcpStream, script: &Mutex<VecDeque<&'static str>>, mails: &Mutex<Vec<String>>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 here\r\n").await.ok()?;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let command = line.trim_end().to_uppercase();
        let said = match command.split([' ', ':']).next()? {
            "EHLO" => "250-here\r\n250 AUTH PLAIN".to_owned(),
            "AUTH" => "235 come in".to_owned(),
            "RCPT" => script.lock().unwrap().pop_front().unwrap_or("250 yes").to_owned(),
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await.ok()?;
                let mut mail = String::new();
                loop {
                    let mut line = String::new();
                    stream.read_line(&mut line).await.ok()?;
                    if line == ".\r\n" {
                        break;
                    }
                    mail.push_str(&line);
                }
                mails.lock().unwrap().push(mail);
                "250 taken".to_owned()
            }
            "QUIT" => {
                stream.write_all(b"221 bye\r\n").await.ok()?;
                return None;
            }
            _ => "250 yes".to_owned(),
        };
        stream.write_all(format!("{said}\r\n").as_bytes()).await.ok()?;
    }
}
