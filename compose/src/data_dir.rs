//! The folder that holds the embedded event log and catalog, locked against a second process.

use std::fs::{File, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// A locked data folder; unlocked when dropped, or when the process ends in whatever way.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum DataDirError {
    #[error("DATA_DIR {path} is in use by another process (its lock file {lock} is held): stop that one, or give this one another DATA_DIR", path = path.display(), lock = lock.display())]
    InUse { path: PathBuf, lock: PathBuf },
    #[error("DATA_DIR {path} cannot be used: {source}", path = path.display())]
    Unusable { path: PathBuf, source: std::io::Error },
}

impl DataDir {
    /// Makes the folder where it is missing, and locks it.
    ///
    /// Simulated and real data never share a folder: prices people trade on must not mix with made-up ones.
    ///
    /// # Errors
    /// If another process holds it, or it cannot be written to.
    pub fn lock(root: &Path, simulated: bool) -> Result<Self, DataDirError> {
        let path = root.join(if simulated { "simulated" } else { "live" });
        let unusable = |source| DataDirError::Unusable { path: path.clone(), source };
        std::fs::create_dir_all(&path).map_err(unusable)?;
        let lock_path = path.join("lock");
        let mut lock = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&lock_path)
            .map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DataDirError::InUse { path, lock: lock_path }),
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
        lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id())).map_err(unusable)?;
        Ok(DataDir { path, _lock: lock })
    }

    /// Where the embedded event log keeps its file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The embedded catalog's file.
    #[must_use]
    pub fn catalog(&self) -> PathBuf {
        self.path.join("catalog.db")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lock_is_refused_with_the_folders_name_and_free_after_the_first_is_gone() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let first = DataDir::lock(root.path(), true).expect("free");
        let error = DataDir::lock(root.path(), true).expect_err("held").to_string();
        assert!(error.contains("in use by another process") && error.contains("simulated"), "{error}");
        drop(first);
        DataDir::lock(root.path(), true).expect("free again");
    }

    #[test]
    fn simulated_and_real_data_do_not_share_a_folder() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let simulated = DataDir::lock(root.path(), true).expect("free");
        let live = DataDir::lock(root.path(), false).expect("free");
        assert_ne!(simulated.catalog(), live.catalog());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        let error = DataDir::lock(file.path(), true).expect_err("a file is no folder").to_string();
        assert!(error.contains(file.path().to_str().expect("UTF-8")), "{error}");
    }
}
