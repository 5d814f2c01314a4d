//! A file of JSON lines that only grows: what a server knows beside its firehose.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::StartError;

/// An append-only file of lines of one type, or nothing at all for a server in memory.
pub(crate) struct Journal<T> {
    file: Option<(File, u64)>,
    line: PhantomData<fn(&T)>,
}

impl<T: Serialize + DeserializeOwned> Journal<T> {
    /// A journal that forgets everything.
    pub(crate) fn in_memory() -> Self {
        Self {
            file: None,
            line: PhantomData,
        }
    }

    /// Opens or creates a journal, and reads its lines. A last line without its end was never answered:
    /// it is cut off. Any other line that cannot be read is an error.
    pub(crate) fn open(path: PathBuf) -> Result<(Self, Vec<T>), StartError> {
        let failed = |source| StartError::Data {
            path: path.clone(),
            source,
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(failed)?;
        let whole = text
            .rfind('\n')
            .map_or("", |end| text.get(..=end).unwrap_or(""));
        if whole.len() < text.len() {
            tracing::warn!(path = %path.display(), "cut off a line that was not written to its end");
            file.set_len(whole.len() as u64).map_err(failed)?;
            file.seek(SeekFrom::End(0)).map_err(failed)?;
        }
        let lines = whole
            .lines()
            .enumerate()
            .map(|(index, line)| read_line(&path, index, line))
            .collect::<Result<_, _>>()?;
        let journal = Self {
            file: Some((file, whole.len() as u64)),
            line: PhantomData,
        };
        Ok((journal, lines))
    }

    /// Appends a line, whole or not at all.
    pub(crate) fn append(&mut self, line: &T) -> io::Result<()> {
        let Some((file, length)) = &mut self.file else {
            return Ok(());
        };
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        if let Err(error) = file.write_all(&bytes) {
            file.set_len(*length)?;
            file.seek(SeekFrom::Start(*length))?;
            return Err(error);
        }
        *length += bytes.len() as u64;
        Ok(())
    }
}

fn read_line<T: DeserializeOwned>(path: &Path, index: usize, line: &str) -> Result<T, StartError> {
    serde_json::from_str(line).map_err(|error| StartError::Corrupt {
        path: path.to_owned(),
        reason: format!("line {}: {error}", index + 1),
    })
}

/// Writes a small JSON file at once: a reader, or a process killed here, finds it whole or not at all.
pub(crate) fn write_whole(path: &Path, content: &impl Serialize) -> Result<(), StartError> {
    let failed = |source| StartError::Data {
        path: path.to_owned(),
        source,
    };
    let bytes = serde_json::to_vec_pretty(content)
        .map_err(io::Error::from)
        .map_err(failed)?;
    let temporary = path.with_extension("new");
    std::fs::write(&temporary, bytes).map_err(failed)?;
    std::fs::rename(&temporary, path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_survive_a_torn_one_is_cut_off_and_a_broken_one_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let (mut journal, lines) = Journal::<u32>::open(path.clone()).unwrap();
        assert!(lines.is_empty());
        journal.append(&1).unwrap();
        journal.append(&2).unwrap();
        std::fs::write(&path, "1\n2\n3").unwrap();
        let (mut journal, lines) = Journal::<u32>::open(path.clone()).unwrap();
        assert_eq!(lines, [1, 2]);
        journal.append(&4).unwrap();
        let (_, lines) = Journal::<u32>::open(path.clone()).unwrap();
        assert_eq!(lines, [1, 2, 4]);
        std::fs::write(&path, "1\nx\n3\n").unwrap();
        let Err(error) = Journal::<u32>::open(path) else {
            panic!("a broken line was read");
        };
        assert!(error.to_string().contains("line 2"), "{error}");
    }
}
