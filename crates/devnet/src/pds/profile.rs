//! What a PDS knows of an account beside its repository.

use atcomms_lexicon::{Datetime, Did, Handle};
use data_encoding::BASE32_NOPAD;
use serde::{Deserialize, Serialize};

/// An account's settings. Passwords are kept as they are: this is a network for development, and it must be
/// able to say them again after a restart.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Profile {
    pub(crate) did: Did,
    pub(crate) handle: Handle,
    pub(crate) email: String,
    /// Without one, nobody can log in.
    pub(crate) password: Option<String>,
    pub(crate) app_passwords: Vec<AppPassword>,
    pub(crate) created_at: Datetime,
    pub(crate) active: bool,
    #[serde(default)]
    pub(crate) taken_down: bool,
    /// Another PDS has the account now; what is left here is not used any more.
    #[serde(default)]
    pub(crate) moved: bool,
    /// The repository's private key, K-256, in hexadecimal.
    pub(crate) signing_key: String,
    /// The keys before: the last commit may be signed with one of them.
    #[serde(default)]
    pub(crate) former_keys: Vec<String>,
}

/// A password of limited rights.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AppPassword {
    pub(crate) name: String,
    pub(crate) password: String,
    pub(crate) created_at: Datetime,
    pub(crate) privileged: bool,
}

impl Profile {
    /// `takendown` or `deactivated`, unless the account is active.
    pub(crate) fn status(&self) -> Option<&'static str> {
        if self.taken_down {
            return Some(TAKENDOWN);
        }
        (!self.active).then_some(DEACTIVATED)
    }

    /// Finds what a password opens: the account itself (`None`), or an app password's rights.
    pub(crate) fn log_in(&self, password: &str) -> Option<Option<&AppPassword>> {
        if self.password.as_deref() == Some(password) {
            return Some(None);
        }
        self.app_passwords
            .iter()
            .find(|app| app.password == password)
            .map(Some)
    }
}

/// A new password of four groups of four characters, as app passwords have: 80 random bits.
pub(crate) fn new_password() -> String {
    let text = BASE32_NOPAD
        .encode(&rand::random::<[u8; 10]>())
        .to_lowercase();
    let mut password = String::with_capacity(19);
    for (index, char) in text.chars().enumerate() {
        if index > 0 && index % 4 == 0 {
            password.push('-');
        }
        password.push(char);
    }
    password
}

/// The status of an account that the PDS switched off.
pub(crate) const TAKENDOWN: &str = "takendown";

/// The status of an account that its owner switched off.
pub(crate) const DEACTIVATED: &str = "deactivated";
