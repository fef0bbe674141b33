//! Where real servers are, if anybody says so.

use std::io::Write as _;

/// The address that this variable holds. Where it holds none the test says so and is skipped, except in CI, where nothing
/// is left out.
pub fn address_from(variable: &str, test: &str) -> Option<String> {
    let address = std::env::var(variable).ok().filter(|address| !address.is_empty());
    if address.is_none() {
        assert!(
            std::env::var("REAL_SERVERS").as_deref() != Ok("required"),
            "{test} needs {variable}, and nothing is left out in CI"
        );
        // Past the test runner, which keeps the output of tests that pass to itself.
        let _ = writeln!(std::io::stderr(), "SKIPPED: {test} needs {variable}");
    }
    address
}
