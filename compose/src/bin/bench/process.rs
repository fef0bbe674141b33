//! The process that is measured, and what Linux says of it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::servers::Servers;

/// Linux tells CPU time in these: `getconf CLK_TCK`, the same on every machine Linux runs on today.
const TICKS_PER_SECOND: f64 = 100.0;
const PATIENCE: Duration = Duration::from_secs(60);

/// A program of the product, from the folder that this one lies in.
pub struct Service {
    child: Child,
    /// Where it answers probes.
    address: String,
    http: reqwest::Client,
}

/// What a process has used.
#[derive(Debug, Clone, Copy, Default)]
pub struct Used {
    /// Seconds on all cores.
    pub cpu_seconds: f64,
    /// The most memory so far, MiB.
    pub peak_mib: f64,
}

impl Service {
    /// Starts a service on the servers; `variables` win over those it needs.
    ///
    /// # Errors
    /// A program that is not there.
    pub fn start(name: &str, servers: &Servers, variables: &[(&str, &str)]) -> anyhow::Result<Service> {
        let address = free_address()?;
        let mut command = command(name)?;
        command
            .envs([
                ("KAFKA_BROKERS", servers.brokers.as_str()),
                ("ELASTICSEARCH_URL", servers.elasticsearch.as_str()),
                ("TOPIC_PREFIX", &servers.prefix),
                ("INDEX_PREFIX", &servers.prefix),
                ("TOPIC_PARTITIONS", &servers.partitions.to_string()),
                ("METRICS_LISTEN", &address),
            ])
            .envs(variables.iter().copied())
            .stdout(Stdio::null());
        Service::spawn(command, address)
    }

    /// Starts all services in one process with nothing outside, on a folder, serving at an address.
    ///
    /// # Errors
    /// As [`Service::start`].
    pub fn start_embedded(data: &Path, address: &str) -> anyhow::Result<Service> {
        let mut command = command("compose")?;
        command.env("DATA_DIR", data).env("API_LISTEN", address).stdout(Stdio::piped());
        Service::spawn(command, address.to_owned())
    }

    fn spawn(mut command: Command, address: String) -> anyhow::Result<Service> {
        let child = command
            .spawn()
            .with_context(|| format!("{} does not start: build it with the same profile", command.get_program().to_string_lossy()))?;
        Ok(Service {
            child,
            address,
            http: reqwest::Client::new(),
        })
    }

    /// Where a probe is.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Where the embedded event log is, as the process prints it; waits for that.
    ///
    /// # Errors
    /// It ended before.
    pub fn brokers(&mut self) -> anyhow::Result<String> {
        let printed = self.child.stdout.take().context("its output is read already")?;
        let mut lines = BufReader::new(printed).lines();
        while let Some(line) = lines.next().transpose()? {
            if let Some(brokers) = line.trim().strip_prefix("event log  ") {
                let brokers = brokers.trim().to_owned();
                // It would be stopped by a pipe that nobody reads.
                std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
                return Ok(brokers);
            }
        }
        anyhow::bail!("it ended before it said where its event log is")
    }

    /// Stops it in the middle of what it does, or lets it go on.
    ///
    /// # Errors
    /// It is gone.
    pub fn freeze(&self, frozen: bool) -> anyhow::Result<()> {
        let signal = if frozen { "-STOP" } else { "-CONT" };
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status()?;
        ensure!(sent.success(), "kill {signal}");
        Ok(())
    }

    /// What it has done so far; none while the process does not answer yet.
    pub async fn settled(&self) -> Option<Settled> {
        let text = self.http.get(self.url("/metrics")).send().await.ok()?.text().await.ok()?;
        let mut settled = Settled::default();
        for line in text.lines() {
            let Some((name, value)) = line.rsplit_once(' ') else { continue };
            let Ok(value) = value.parse::<u64>() else { continue };
            if name.starts_with("records_consumed_total{") && name.contains("\"raw.keepa_updates\"") {
                settled.consumed += value;
            } else if name.starts_with("records_settled_total{") {
                settled.all += value;
                if name.contains("\"dlq\"") {
                    settled.dead_letters += value;
                }
            }
        }
        Some(settled)
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// It ended, and how.
    pub fn is_alive(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            Some(status) => anyhow::bail!("a service ended by itself with {status}"),
            None => Ok(()),
        }
    }

    /// What it has used so far.
    ///
    /// # Errors
    /// It is gone.
    pub fn used(&self) -> anyhow::Result<Used> {
        Ok(Used {
            cpu_seconds: cpu_seconds(&PathBuf::from(format!("/proc/{}", self.child.id()))).context("the process is gone")?,
            peak_mib: self.memory_mib("VmHWM:")?,
        })
    }

    /// What it holds in memory now, MiB.
    ///
    /// # Errors
    /// It is gone.
    pub fn resident_mib(&self) -> anyhow::Result<f64> {
        self.memory_mib("VmRSS:")
    }

    fn memory_mib(&self, name: &str) -> anyhow::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).context("the process is gone")?;
        let kib = status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB")?.parse::<f64>().ok());
        Ok(kib.with_context(|| format!("no {name}"))? / 1_024.0)
    }

    /// SIGTERM, and waits until it has ended by itself.
    ///
    /// # Errors
    /// It does not end, or not well.
    pub async fn terminate(mut self) -> anyhow::Result<()> {
        let sent = Command::new("kill").arg(self.child.id().to_string()).status()?;
        ensure!(sent.success(), "kill");
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "it ended with {status}");
                return Ok(());
            }
            ensure!(Instant::now() < until, "it does not end");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // A run that failed leaves nothing behind; one that has ended cannot be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(name: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?.with_file_name(name));
    command.env_clear().envs(settings_tried()).env("RUST_LOG", "error").stdin(Stdio::null());
    Ok(command)
}

/// Of the caller's settings, those of the enricher: services are measured with them.
#[must_use]
pub fn settings_tried() -> BTreeMap<String, String> {
    std::env::vars()
        .filter(|(name, _)| name.starts_with("ENRICHER_") || name == "MERGE_CACHE_BYTES")
        .collect()
}

/// Where nobody listens now.
///
/// # Errors
/// No port is free.
pub fn free_address() -> anyhow::Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

/// Numbers of records.
#[derive(Debug, Clone, Copy, Default)]
pub struct Settled {
    /// Read.
    pub consumed: u64,
    /// Settled, whatever came of them.
    pub all: u64,
    /// Given to the dead letters.
    pub dead_letters: u64,
}

impl Settled {
    /// What came since.
    #[must_use]
    pub fn since(&self, before: &Settled) -> Settled {
        Settled {
            consumed: self.consumed - before.consumed,
            all: self.all - before.all,
            dead_letters: self.dead_letters - before.dead_letters,
        }
    }
}

/// CPU seconds of this process.
#[must_use]
pub fn own_cpu_seconds() -> f64 {
    cpu_seconds(&PathBuf::from("/proc/self")).unwrap_or(f64::NAN)
}

/// CPU seconds of the processes that this one started and that have ended.
#[must_use]
pub fn ended_children_cpu_seconds() -> f64 {
    cpu_seconds_from(Path::new("/proc/self"), 13).unwrap_or(f64::NAN)
}

/// CPU seconds of all processes whose command line has an argument.
#[must_use]
pub fn cpu_seconds_of(argument: &str) -> f64 {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path());
    let with_argument = processes.filter(|path| {
        let line = fs::read(path.join("cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|one| one == argument.as_bytes())
    });
    with_argument.filter_map(|path| cpu_seconds(&path)).sum()
}

/// Fields 14 and 15 of `stat`, counted behind the name, which may hold spaces.
fn cpu_seconds(process: &Path) -> Option<f64> {
    cpu_seconds_from(process, 11)
}

/// Of user and system, which stand beside each other.
fn cpu_seconds_from(process: &Path, skipped: usize) -> Option<f64> {
    let stat = fs::read_to_string(process.join("stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(skipped);
    let ticks = fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?;
    Some(ticks / TICKS_PER_SECOND)
}
