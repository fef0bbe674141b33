//! What this program itself does for a measurement is done in a process of its own. Done by one that has planned, written and
//! compared hundreds of thousands of records before, reading alone took 0.36 to 0.50 CPU seconds for 100,000 records within one
//! run, depending on what had been done; since, 0.47 to 0.49.

use std::process::Stdio;

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use crate::measure::Measured;
use crate::scaling;
use crate::servers::Servers;
use crate::yardsticks;

/// The first argument of such a process; the second is a [`Task`] in JSON.
pub const ARGUMENT: &str = "apart";

/// What is done apart, on the topics and indices of whoever asks.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct Task {
    /// See [`Servers::prefix`].
    pub prefix: String,
    /// See [`Servers::partitions`].
    pub partitions: i32,
    /// In the topic.
    pub records: usize,
    /// What is measured.
    pub work: Work,
}

/// What is measured.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq)]
pub enum Work {
    /// [`yardsticks::consume`].
    Reading,
    /// [`yardsticks::bare_loop`].
    BareLoop,
    /// [`scaling::work_off`] by so many members.
    Scaling(usize),
}

impl Task {
    /// Does it in a process of its own.
    ///
    /// # Errors
    /// That process does not start, or fails: it has said why.
    pub async fn measure(&self) -> anyhow::Result<Measured> {
        let output = Command::new(std::env::current_exe()?)
            .args([ARGUMENT, &serde_json::to_string(self)?])
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .output()
            .await?;
        ensure!(output.status.success(), "{:?} apart ended with {}", self.work, output.status);
        serde_json::from_slice(&output.stdout).with_context(|| format!("{:?} apart told no measurement", self.work))
    }

    /// Does it in this process, and tells the result on the standard output.
    ///
    /// # Errors
    /// A task that cannot be read; what the servers say.
    pub async fn run(text: &str) -> anyhow::Result<()> {
        let task: Task = serde_json::from_str(text).with_context(|| format!("{text} is no task to be done apart"))?;
        let servers = Servers::under(task.prefix, task.partitions)?;
        let measured = match task.work {
            Work::Reading => yardsticks::consume(&servers, task.records).await?,
            Work::BareLoop => yardsticks::bare_loop(&servers, task.records).await?,
            Work::Scaling(replicas) => scaling::work_off(&servers, task.records, replicas).await?,
        };
        println!("{}", serde_json::to_string(&measured)?);
        Ok(())
    }
}

impl Servers {
    /// A task on these.
    #[must_use]
    pub fn task(&self, records: usize, work: Work) -> Task {
        Task {
            prefix: self.prefix.clone(),
            partitions: self.partitions,
            records,
            work,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_understood_by_the_process_that_does_it() {
        for work in [Work::Reading, Work::BareLoop, Work::Scaling(3)] {
            let task = Task {
                prefix: "bench-1-".into(),
                partitions: 12,
                records: 300_000,
                work,
            };
            let text = serde_json::to_string(&task).expect("written");
            assert_eq!(serde_json::from_str::<Task>(&text).expect("read"), task);
        }
    }
}
