//! Where passwords come from: a file or a credential, never a key.

use crate::document::complaint;
use crate::section::{Entry, Section};
use mykeeper_domain::server::PasswordSource;
use rustix::fs::OFlags;
use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Reads `password_file` and `password_credential` of a section.
pub(crate) fn read_source(section: &mut Section<'_>, base: &Path) -> PasswordSource {
    read_source_at(section, base).0
}

/// As [`read_source`], with the key that it stands under.
pub(crate) fn read_source_at<'d>(
    section: &mut Section<'d>,
    base: &Path,
) -> (PasswordSource, Option<Entry<'d>>) {
    read_secret(section, ("password_file", "password_credential"), base)
}

/// The same for another secret, under its own two keys.
pub(crate) fn read_secret<'d>(
    section: &mut Section<'d>,
    keys: (&'static str, &'static str),
    base: &Path,
) -> (PasswordSource, Option<Entry<'d>>) {
    let (file, credential) = (section.take(keys.0), section.take(keys.1));
    let entry = file.clone().or_else(|| credential.clone());
    if let (Some(_), Some(credential)) = (&file, &credential) {
        let what = keys.0.strip_suffix("_file").unwrap_or("password");
        credential.key_spot.mistake(
            complaint(format!("the {what} is to come from two places"))
                .help(format!("keep either {} or {}", keys.0, keys.1)),
        );
    }
    (read_either(file, credential, base), entry)
}

fn read_either(file: Option<Entry<'_>>, credential: Option<Entry<'_>>, base: &Path) -> PasswordSource {
    if let Some(entry) = &file
        && entry.text().is_some_and(|text| text.contains("://"))
    {
        entry.spot.mistake(
            complaint(format!("`{}` names a file, and this is a URL", entry.key))
                .help("write the URL into the first line of a file that only its owner may read (chmod 600), and name that"),
        );
        return PasswordSource::None;
    }
    if let Some(path) = file.and_then(|entry| entry.path_beside(base)) {
        return PasswordSource::File(path);
    }
    let Some(entry) = credential else {
        return PasswordSource::None;
    };
    match entry.text() {
        Some(name) if name.contains('/') || name == "." || name == ".." => {
            entry.spot.mistake(
                complaint("a credential is named, not given as a path")
                    .help("write the part before the colon of LoadCredential="),
            );
            PasswordSource::None
        }
        Some(name) => PasswordSource::Credential(name.to_owned()),
        None => PasswordSource::None,
    }
}

/// Why a password cannot be had. Reads after "failed to"; never holds the password.
#[derive(Debug, Error)]
pub enum PasswordError {
    /// It cannot be opened or read.
    #[error("read the password file {}: {}", path.display(), why_unread(path, cause))]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// A folder, pipe or device.
    #[error("read the password file {}: it is not a regular file", path.display())]
    NotAFile {
        /// Which file.
        path: PathBuf,
    },
    /// Others than its owner may read or change it.
    #[error(
        "read the password file {}: others than its owner may read or change it (mode {mode:04o}); run: chmod 600 {}",
        path.display(),
        shell_word(path)
    )]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It belongs to someone else, who could read and change it.
    #[error(
        "read the password file {}: it belongs to user {owner}, neither to root nor to the user that runs this; run: chown {user} {}",
        path.display(),
        shell_word(path)
    )]
    Owner {
        /// Which file.
        path: PathBuf,
        /// Numeric id of its owner.
        owner: u32,
        /// Numeric id of the user that this process runs as.
        user: u32,
    },
    /// Its first line is empty.
    #[error("read the password file {}: its first line is empty; write the password there", path.display())]
    Empty {
        /// Which file.
        path: PathBuf,
    },
    /// Its first line is no text, or longer than any password.
    #[error("read the password file {}: its first line is no text of at most {MAX_BYTES} bytes", path.display())]
    NoText {
        /// Which file.
        path: PathBuf,
    },
    /// There are no credentials.
    #[error(
        "read the credential {name:?}: there is no credentials directory; run the service with LoadCredential={name}:/path/of/the/file, or use a password_file"
    )]
    NoCredentials {
        /// The credential's name.
        name: String,
    },
}

/// The longest password.
const MAX_BYTES: usize = 4096;

/// Reads a password: the first line of the file, or of the credential, without its end.
///
/// `None` when the source says that there is none. A file is refused when others than its owner may read or
/// change it, when it is no regular file, and when it belongs to neither root nor the user of this process. A
/// credential's folder is closed already, and systemd shows its reader in the group bits: those are not judged.
///
/// # Errors
/// [`PasswordError`], which names the path and what to run.
pub fn read_password(
    source: &PasswordSource,
    credentials_directory: Option<&Path>,
) -> Result<Option<SecretString>, PasswordError> {
    let (path, tolerated) = match source {
        PasswordSource::None => return Ok(None),
        PasswordSource::Told(password) => return Ok(Some(password.secret().clone())),
        PasswordSource::File(path) => (path.clone(), 0),
        PasswordSource::Credential(name) => {
            let directory =
                credentials_directory.ok_or_else(|| PasswordError::NoCredentials { name: name.clone() })?;
            (directory.join(name), 0o070)
        }
    };
    let failed = |cause| PasswordError::Read {
        path: path.clone(),
        cause,
    };
    // Without NONBLOCK the open itself would wait forever at a pipe.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(&path)
        .map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(PasswordError::NotAFile { path });
    }
    let user = rustix::process::geteuid().as_raw();
    if metadata.uid() != 0 && metadata.uid() != user {
        return Err(PasswordError::Owner {
            path,
            owner: metadata.uid(),
            user,
        });
    }
    let mode = metadata.mode() & 0o777;
    if mode & 0o066 & !tolerated != 0 {
        return Err(PasswordError::Exposed { path, mode });
    }
    first_line(file, &path).map(Some)
}

fn first_line(file: File, path: &Path) -> Result<SecretString, PasswordError> {
    // One allocation, so that no copy stays behind when it grows.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_BYTES + 2));
    file.take(MAX_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|cause| PasswordError::Read {
            path: path.to_owned(),
            cause,
        })?;
    let is_cut = bytes.len() > MAX_BYTES;
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let line = &bytes[..end.unwrap_or(bytes.len())];
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.is_empty() {
        return Err(PasswordError::Empty {
            path: path.to_owned(),
        });
    }
    match std::str::from_utf8(line) {
        Ok(text) if (end.is_some() || !is_cut) && !text.contains('\0') => Ok(SecretString::from(text)),
        _ => Err(PasswordError::NoText {
            path: path.to_owned(),
        }),
    }
}

/// The cause, and what to do about it.
fn why_unread(path: &Path, cause: &std::io::Error) -> String {
    match cause.kind() {
        ErrorKind::NotFound => {
            "it is not there; write the password into its first line, for its owner alone (mode 0600), or name another"
                .to_owned()
        }
        ErrorKind::PermissionDenied => {
            let user = rustix::process::geteuid().as_raw();
            format!(
                "user {user}, as which this runs, may not read it; run: chown {user} {}, and let that user enter its \
                 folder",
                shell_word(path)
            )
        }
        _ => cause.to_string(),
    }
}

fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "/._-+@%,".contains(c));
    if is_plain {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;
    use std::os::unix::fs::PermissionsExt;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn file(&self, content: &[u8], mode: u32) -> PasswordSource {
            let path = self.0.path().join("x.password");
            std::fs::write(&path, content).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            PasswordSource::File(path)
        }
    }

    fn exposed(source: &PasswordSource, directory: Option<&Path>) -> Result<Option<String>, String> {
        read_password(source, directory)
            .map(|password| password.map(|password| password.expose_secret().to_owned()))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_password_is_the_first_line_without_its_end() {
        let folder = Folder::new();
        for (content, expected) in [
            (&b"hunter2"[..], "hunter2"),
            (b"hunter2\n", "hunter2"),
            (b"hunter2\r\nsecond line\n", "hunter2"),
            (b" \xe5\xaf\x86\xe7\xa0\x81 #;\"\n", " 密码 #;\""),
        ] {
            assert_eq!(
                exposed(&folder.file(content, 0o600), None),
                Ok(Some(expected.to_owned()))
            );
        }
        assert_eq!(exposed(&PasswordSource::None, None), Ok(None));
    }

    #[test]
    fn a_file_that_others_may_read_is_refused_with_the_command_that_closes_it() {
        let folder = Folder::new();
        for mode in [0o644, 0o640, 0o604, 0o660, 0o622] {
            let error = exposed(&folder.file(b"hunter2\n", mode), None).unwrap_err();
            assert!(error.contains(&format!("mode {mode:04o}")), "{error}");
            assert!(error.contains("run: chmod 600 /"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        for mode in [0o600, 0o400, 0o700] {
            assert!(
                exposed(&folder.file(b"hunter2\n", mode), None).is_ok(),
                "{mode:o}"
            );
        }
    }

    #[test]
    fn what_holds_no_password_is_refused() {
        let folder = Folder::new();
        for content in [&b""[..], b"\n", b"\r\n", b"\nhunter2\n"] {
            let error = exposed(&folder.file(content, 0o600), None).unwrap_err();
            assert!(error.contains("first line is empty"), "{error}");
        }
        for content in [&b"\xff\xfe\n"[..], b"a\0b\n", &[b'x'; 5000]] {
            let error = exposed(&folder.file(content, 0o600), None).unwrap_err();
            assert!(error.contains("no text"), "{error}");
        }
    }

    #[test]
    fn a_folder_and_a_pipe_are_refused_at_once() {
        let folder = Folder::new();
        let error = exposed(&PasswordSource::File(folder.0.path().to_owned()), None).unwrap_err();
        assert!(error.contains("not a regular file"), "{error}");
        let pipe = folder.0.path().join("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        let error = exposed(&PasswordSource::File(pipe), None).unwrap_err();
        assert!(error.contains("not a regular file"), "{error}");
    }

    #[test]
    fn a_file_of_another_user_is_refused() {
        let folder = Folder::new();
        let source = folder.file(b"hunter2\n", 0o600);
        let PasswordSource::File(path) = &source else {
            unreachable!()
        };
        if std::os::unix::fs::chown(path, Some(65_534), None).is_err() {
            return; // only root can give a file away
        }
        let error = exposed(&source, None).unwrap_err();
        assert!(error.contains("belongs to user 65534"), "{error}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = exposed(&PasswordSource::File("/nowhere/x.password".into()), None).unwrap_err();
        assert_eq!(
            error,
            "read the password file /nowhere/x.password: it is not there; write the password into its first line, for \
             its owner alone (mode 0600), or name another"
        );
        let denied = PasswordError::Read {
            path: "/etc/mykeeper/x.password".into(),
            cause: ErrorKind::PermissionDenied.into(),
        };
        let user = rustix::process::geteuid().as_raw();
        assert!(
            denied
                .to_string()
                .contains(&format!("user {user}, as which this runs"))
        );
        assert!(denied.to_string().contains("chown"), "{denied}");
    }

    #[test]
    fn a_credential_comes_from_the_credentials_directory() {
        let folder = Folder::new();
        folder.file(b"hunter2\n", 0o440);
        let credential = PasswordSource::Credential("x.password".into());
        assert_eq!(
            exposed(&credential, Some(folder.0.path())),
            Ok(Some("hunter2".to_owned()))
        );
        folder.file(b"hunter2\n", 0o444);
        assert!(
            exposed(&credential, Some(folder.0.path()))
                .unwrap_err()
                .contains("mode 0444")
        );
        assert!(
            exposed(&credential, None)
                .unwrap_err()
                .contains("LoadCredential=x.password:")
        );
    }

    #[test]
    fn paths_are_quoted_for_the_shell() {
        assert_eq!(shell_word(Path::new("/etc/a b'c")), r"'/etc/a b'\''c'");
    }
}
