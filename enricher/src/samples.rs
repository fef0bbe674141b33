//! Where tests find real responses and published vectors: beside the workspace, not in it.

use std::io::Write as _;
use std::path::PathBuf;

/// A file of the folder with test inputs. Where it is missing the test says so and is skipped, except in CI, where that
/// is a failure.
pub fn read(path: &str) -> Option<String> {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared").join(path);
    match std::fs::read_to_string(&file) {
        Ok(text) => Some(text),
        Err(error) => {
            let said = format!("{} cannot be read: {error}", file.display());
            assert!(std::env::var("CI").is_err(), "{said}");
            // Not eprintln: the test runner would keep that to itself.
            let _ = writeln!(std::io::stderr(), "SKIPPED: {said}");
            None
        }
    }
}
