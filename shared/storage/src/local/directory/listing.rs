//! Names below a prefix, in the order of their bytes, as a walk that enters a directory only when it must.

use std::fs;
use std::io;
use std::path::Path;

use crate::objects::ObjectMeta;
use crate::paths::ObjectName;

/// What is wanted, and what has been found.
pub(super) struct Listing<'a> {
    pub(super) prefix: &'a str,
    pub(super) after: &'a str,
    pub(super) limit: usize,
    pub(super) found: Vec<ObjectMeta>,
}

impl Listing<'_> {
    /// Walks one directory; `name` is its name with a slash at its end, empty for the root.
    pub(super) fn walk(&mut self, directory: &Path, name: &str) -> io::Result<()> {
        for (entry, is_directory) in read_sorted(directory)? {
            if self.found.len() >= self.limit {
                return Ok(());
            }
            let full = format!("{name}{entry}");
            if is_directory {
                let may_match = full.starts_with(self.prefix) || self.prefix.starts_with(&full);
                let is_past = self.after.starts_with(&full) || full.as_str() > self.after;
                if may_match && is_past {
                    let below = directory.join(entry.trim_end_matches('/'));
                    self.walk(&below, &full)?;
                }
            } else if full.starts_with(self.prefix) && full.as_str() > self.after {
                self.add(&directory.join(&entry), full)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, path: &Path, name: String) -> io::Result<()> {
        match fs::metadata(path) {
            Ok(metadata) => {
                self.found.push(ObjectMeta {
                    name: ObjectName::from_stored(name),
                    size: metadata.len(),
                });
                Ok(())
            }
            // Deleted meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// The entries of a directory, directories with a slash at their end: so `a-` sorts before `a/...`, as whole names do.
fn read_sorted(directory: &Path) -> io::Result<Vec<(String, bool)>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let mut sorted = Vec::new();
    for entry in entries {
        let entry = entry?;
        // Every name of ours is UTF-8.
        let Ok(mut name) = entry.file_name().into_string() else {
            continue;
        };
        let is_directory = entry.file_type()?.is_dir();
        if is_directory {
            name.push('/');
        }
        sorted.push((name, is_directory));
    }
    sorted.sort_unstable();
    Ok(sorted)
}
