//! Tests that look at what belongs to the whole process (memory, counters) have one to themselves.

use std::time::Duration;

use tokio::process::Command;

/// Set where a test already runs alone.
const ALONE: &str = "TEST_RUNS_ALONE";
/// However busy the machine, and however long faults last beside.
const ENDS_WITHIN: Duration = Duration::from_secs(300);

/// Runs the body in a process that runs no other test: this very binary once more, for the test of this name alone.
pub async fn alone(test: &str, body: impl AsyncFnOnce()) {
    if std::env::var_os(ALONE).is_some() {
        return body().await;
    }
    let binary = std::env::current_exe().expect("a test runs in a binary");
    let output = Command::new(binary)
        .args([test, "--exact", "--nocapture"])
        .env(ALONE, "1")
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(ENDS_WITHIN + super::world::fault_length(), output).await;
    let output = output.expect("it ends in time").expect("it runs");
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{test} in a process of its own: {}\n{said}",
        output.status
    );
}

/// The value of a counter or gauge, all labels but these taken together.
pub fn metric(name: &str, labels: &[(&str, &str)]) -> f64 {
    let families = prometheus::gather();
    let metrics = families.iter().filter(|family| family.name() == name).flat_map(|family| family.get_metric());
    let wanted = metrics.filter(|metric| {
        let has = |(name, value): &(&str, &str)| metric.get_label().iter().any(|label| label.name() == *name && label.value() == *value);
        labels.iter().all(has)
    });
    // One of the two is 0.
    wanted.map(|metric| metric.get_counter().get_value() + metric.get_gauge().get_value()).sum()
}

/// Bytes of memory that this process holds.
pub fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the line is there");
    let kibibytes: usize = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kibibytes * 1024
}
