//! Bytes that travel with a record, as a blob: where they come from and what is said of them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use tokio::fs::File;
use tokio::io::AsyncRead;

use crate::upload::UploadError;

pub(crate) type Reader = Box<dyn AsyncRead + Send + Unpin>;

/// A source that can be read once, or anew for each try.
pub(crate) enum Source {
    File(PathBuf),
    Bytes(Bytes),
    /// `None` once it has been read. The mutex is never locked; it makes the source `Sync`.
    Reader(Mutex<Option<Reader>>, Option<u64>),
}

/// An opened source.
pub(crate) struct Opened {
    pub(crate) reader: Reader,
    /// Its size in bytes, if known.
    pub(crate) size: Option<u64>,
}

/// Bytes to be sent as a blob, and what the record says of them.
///
/// A file is read as it is sent, a piece at a time. **What is attached is public**, also after the
/// record is deleted.
pub struct Attachment {
    pub(crate) source: Source,
    pub(crate) name: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) role: Option<String>,
    mime_type: Option<String>,
    /// What an error calls it, where its source would say nothing to the user.
    label: Option<String>,
}

impl Attachment {
    /// A file. Its name, without the folders, becomes the attachment's name.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        Self {
            name,
            ..Self::of(Source::File(path))
        }
    }

    /// Bytes in memory.
    pub fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self::of(Source::Bytes(bytes.into()))
    }

    /// A reader, with its size in bytes if that is known. It can be read once: a transfer that
    /// breaks is not tried again.
    pub fn reader(reader: impl AsyncRead + Send + Unpin + 'static, size: Option<u64>) -> Self {
        Self::of(Source::Reader(Mutex::new(Some(Box::new(reader))), size))
    }

    /// A copy in the store, as an error calls it.
    pub(crate) fn copy(path: PathBuf, label: String, mime_type: &str) -> Self {
        Self {
            label: Some(label),
            mime_type: Some(mime_type.to_owned()),
            ..Self::of(Source::File(path))
        }
    }

    fn of(source: Source) -> Self {
        Self {
            source,
            name: None,
            description: None,
            role: None,
            mime_type: None,
            label: None,
        }
    }

    /// What it is called for people.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// What it is, for people.
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// What it is for, for programs.
    pub fn role(mut self, role: impl Into<String>) -> Self {
        self.role = Some(role.into());
        self
    }

    /// Its MIME type, instead of one guessed from the name. The PDS may know better: it looks at
    /// the bytes, and its word goes into the record.
    pub fn mime_type(mut self, mime_type: impl Into<String>) -> Self {
        self.mime_type = Some(mime_type.into());
        self
    }

    /// The MIME type that is sent.
    pub(crate) fn sent_mime_type(&self) -> &str {
        self.mime_type
            .as_deref()
            .unwrap_or_else(|| guess(self.name.as_deref()))
    }

    /// What an error calls it.
    pub(crate) fn shown(&self) -> String {
        if let Some(label) = &self.label {
            return label.clone();
        }
        match (&self.source, &self.name) {
            (Source::File(path), _) => path.display().to_string(),
            (_, Some(name)) => format!("the attachment {name:?}"),
            (Source::Bytes(bytes), None) => format!("the attachment of {} bytes", bytes.len()),
            (Source::Reader(..), None) => "the attachment".to_owned(),
        }
    }

    /// Its size in bytes, if it is known before it is read. A file that is missing shows here,
    /// before anything is sent.
    pub(crate) async fn size(&self) -> Result<Option<u64>, UploadError> {
        match &self.source {
            Source::File(path) => file_size(path).await.map(Some),
            Source::Bytes(bytes) => Ok(Some(len(bytes))),
            Source::Reader(_, size) => Ok(*size),
        }
    }

    /// Whether it can be read again for a second try.
    pub(crate) fn is_repeatable(&self) -> bool {
        !matches!(self.source, Source::Reader(..))
    }

    /// Opens it for one try; `None` if it was read before and cannot be read again.
    pub(crate) async fn open(&mut self) -> Result<Option<Opened>, UploadError> {
        Ok(match &mut self.source {
            Source::File(path) => {
                let size = Some(file_size(path).await?);
                let file = File::open(&*path).await.map_err(unreadable(path))?;
                Some(Opened {
                    reader: Box::new(file),
                    size,
                })
            }
            Source::Bytes(bytes) => {
                let size = Some(len(bytes));
                Some(Opened {
                    reader: Box::new(std::io::Cursor::new(bytes.clone())),
                    size,
                })
            }
            Source::Reader(reader, size) => {
                let reader = reader
                    .get_mut()
                    .unwrap_or_else(PoisonError::into_inner)
                    .take();
                reader.map(|reader| Opened {
                    reader,
                    size: *size,
                })
            }
        })
    }
}

impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Attachment({})", self.shown())
    }
}

async fn file_size(path: &Path) -> Result<u64, UploadError> {
    let metadata = tokio::fs::metadata(path).await.map_err(unreadable(path))?;
    if !metadata.is_file() {
        return Err(UploadError::NotAFile {
            path: path.to_owned(),
        });
    }
    Ok(metadata.len())
}

fn unreadable(path: &Path) -> impl FnOnce(std::io::Error) -> UploadError {
    let what = path.display().to_string();
    move |source| UploadError::Unreadable { what, source }
}

fn len(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// What is sent for a name that says nothing.
const UNKNOWN: &str = "application/octet-stream";

/// The types that a PDS cannot tell by the bytes: text in its kinds. All others it finds itself.
const BY_ENDING: [(&str, &str); 12] = [
    ("css", "text/css"),
    ("csv", "text/csv"),
    ("diff", "text/x-diff"),
    ("htm", "text/html"),
    ("html", "text/html"),
    ("json", "application/json"),
    ("log", "text/plain"),
    ("md", "text/markdown"),
    ("patch", "text/x-diff"),
    ("svg", "image/svg+xml"),
    ("txt", "text/plain"),
    ("xml", "application/xml"),
];

fn guess(name: Option<&str>) -> &'static str {
    let ending = name
        .and_then(|name| name.rsplit_once('.'))
        .map(|(_, ending)| ending);
    let found = ending.and_then(|ending| {
        BY_ENDING
            .iter()
            .find(|(known, _)| ending.eq_ignore_ascii_case(known))
    });
    found.map_or(UNKNOWN, |(_, mime_type)| mime_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_gives_the_type_that_is_sent() {
        assert_eq!(
            Attachment::file("/tmp/Notes.MD").sent_mime_type(),
            "text/markdown"
        );
        assert_eq!(Attachment::file("/tmp/x.tar.gz").sent_mime_type(), UNKNOWN);
        assert_eq!(Attachment::bytes("x").sent_mime_type(), UNKNOWN);
        let said = Attachment::bytes("x").name("a.txt").mime_type("text/x-log");
        assert_eq!(said.sent_mime_type(), "text/x-log");
    }

    #[test]
    fn a_files_folders_are_not_told() {
        assert_eq!(
            Attachment::file("/home/me/secret/plan.txt").name.as_deref(),
            Some("plan.txt")
        );
    }
}
