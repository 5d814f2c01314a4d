//! The file that keeps logins between commands. It holds secrets: only its owner can read it (mode 0600).
//! It is replaced as a whole, under a lock, so that commands that run at once do not undo each other.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use atcomms::lexicon::{Address, Did};
use atcomms::publish::SavedSession;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::once::Once;

/// The version of the file's layout.
const VERSION: u32 = 1;

/// What the file holds.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Contents {
    version: u32,
    /// The login that commands use without `--as`: the newest.
    pub(crate) current: Option<Did>,
    pub(crate) logins: BTreeMap<Did, Login>,
}

/// One login.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Login {
    /// The directory that the account is in.
    pub(crate) plc: Url,
    /// The session, tokens included.
    pub(crate) session: SavedSession,
    /// Records that were sent with `--once`, by the caller's key.
    #[serde(default)]
    pub(crate) once: BTreeMap<String, Once>,
}

impl Default for Contents {
    fn default() -> Self {
        Contents {
            version: VERSION,
            current: None,
            logins: BTreeMap::new(),
        }
    }
}

/// The state file.
#[derive(Clone, Debug)]
pub(crate) struct State {
    path: PathBuf,
}

impl State {
    pub(crate) fn at(path: Option<PathBuf>) -> Result<Self> {
        let path = match path {
            Some(path) => path,
            None => dirs::data_dir()
                .context("your data folder is unknown: say where to keep logins with --state FILE")?
                .join("atcomms")
                .join("state.json"),
        };
        Ok(State { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A file that belongs to this one.
    pub(crate) fn beside(&self, what: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".");
        name.push(what);
        name.into()
    }

    /// What the file holds; nothing if it is not there.
    pub(crate) fn read(&self) -> Result<Contents> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Contents::default()),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", self.path.display()));
            }
        };
        let contents: Contents = serde_json::from_slice(&text).with_context(|| {
            format!(
                "{} is not a state file of atcomms: move it away and log in again",
                self.path.display()
            )
        })?;
        if contents.version != VERSION {
            bail!(
                "{} has version {}, and this program knows {VERSION}: use a newer atcomms, or another --state",
                self.path.display(),
                contents.version
            );
        }
        Ok(contents)
    }

    /// Changes the file under its lock.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Contents) -> Result<T>) -> Result<T> {
        let folder = self
            .path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let lock_path = self.beside("lock");
        let lock = File::create(&lock_path)
            .with_context(|| format!("cannot write {}", lock_path.display()))?;
        lock.lock()
            .with_context(|| format!("cannot lock {}", lock_path.display()))?;
        let mut contents = self.read()?;
        let result = change(&mut contents)?;
        self.replace(&serde_json::to_vec_pretty(&contents)?)?;
        Ok(result)
    }

    /// Keeps a new login, which becomes the one that commands use. What was sent with `--once` under
    /// an earlier login of the same account stays known.
    pub(crate) fn keep(&self, saved: SavedSession, plc: Url) -> Result<()> {
        self.change(|contents| {
            let once = contents
                .logins
                .remove(&saved.did)
                .map(|login| login.once)
                .unwrap_or_default();
            contents.current = Some(saved.did.clone());
            contents.logins.insert(
                saved.did.clone(),
                Login {
                    plc,
                    session: saved,
                    once,
                },
            );
            Ok(())
        })
    }

    fn replace(&self, bytes: &[u8]) -> Result<()> {
        let new = self.beside("new");
        let write = || -> std::io::Result<()> {
            // One that a killed command left may have another mode.
            if let Err(error) = fs::remove_file(&new)
                && error.kind() != ErrorKind::NotFound
            {
                return Err(error);
            }
            let mut options = OpenOptions::new();
            options.write(true).create_new(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let mut file = options.open(&new)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&new, &self.path)
        };
        write().with_context(|| format!("cannot write {}", self.path.display()))
    }
}

impl Contents {
    /// The login that `--as` names, or the newest.
    pub(crate) fn login(&self, wanted: Option<&Address>) -> Result<(Did, Login)> {
        let did = match wanted {
            Some(Address::Did(did)) => Some(did.clone()),
            Some(Address::Handle(handle)) => self
                .logins
                .iter()
                .find(|(_, login)| login.session.handle == *handle)
                .map(|(did, _)| did.clone()),
            None => self.current.clone(),
        };
        let found = did.and_then(|did| self.logins.get(&did).map(|login| (did, login.clone())));
        match (found, wanted) {
            (Some(found), _) => Ok(found),
            (None, Some(address)) => {
                bail!("there is no login of {address} here: log in with `atcomms login {address}`")
            }
            (None, None) => bail!("nobody is logged in: log in with `atcomms login HANDLE`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(handle: &str) -> Login {
        let url: Url = "http://localhost:1".parse().unwrap();
        let session = SavedSession {
            pds: url.clone(),
            did: "did:plc:alice".parse().unwrap(),
            handle: handle.parse().unwrap(),
            access: "secret".into(),
            refresh: "secret".into(),
        };
        Login {
            plc: url,
            session,
            once: BTreeMap::new(),
        }
    }

    #[test]
    fn a_login_is_found_by_handle_did_or_as_the_newest() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::at(Some(folder.path().join("deep/state.json"))).unwrap();
        assert!(
            state
                .read()
                .unwrap()
                .login(None)
                .unwrap_err()
                .to_string()
                .contains("atcomms login")
        );
        let (alice, bob): (Did, Did) = (
            "did:plc:alice".parse().unwrap(),
            "did:plc:bob".parse().unwrap(),
        );
        for (did, handle) in [(&alice, "alice.test"), (&bob, "bob.test")] {
            state
                .change(|contents| {
                    contents.logins.insert(did.clone(), login(handle));
                    contents.current = Some(did.clone());
                    Ok(())
                })
                .unwrap();
        }
        let contents = state.read().unwrap();
        assert_eq!(contents.login(None).unwrap().0, bob);
        assert_eq!(
            contents
                .login(Some(&"alice.test".parse().unwrap()))
                .unwrap()
                .0,
            alice
        );
        assert_eq!(
            contents.login(Some(&alice.clone().into())).unwrap().0,
            alice
        );
        assert!(
            contents
                .login(Some(&"carol.test".parse().unwrap()))
                .unwrap_err()
                .to_string()
                .contains("carol.test")
        );
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_can_read_it_and_debug_shows_no_token() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let state = State::at(Some(folder.path().join("state.json"))).unwrap();
        state
            .change(|contents| {
                Ok(contents
                    .logins
                    .insert("did:plc:alice".parse().unwrap(), login("alice.test"))
                    .is_none())
            })
            .unwrap();
        assert_eq!(
            fs::metadata(state.path()).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert!(!format!("{:?}", state.read().unwrap()).contains("secret"));
    }

    #[test]
    fn a_file_that_is_not_ours_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        for text in ["not json", r#"{"version":9,"current":null,"logins":{}}"#] {
            fs::write(&path, text).unwrap();
            let state = State::at(Some(path.clone())).unwrap();
            assert!(state.change(|_| Ok(())).is_err());
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }
}
