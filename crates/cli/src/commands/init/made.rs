//! What init, or import, has made and the service is to have. It is held open, and given away by what is held: whoever may write to
//! the folder around it can put something else under its name, a link to another's file say, which root must not give away.

use crate::acting_user::ServiceUser;
use crate::output::say;
use anyhow::{Context, bail};
use rustix::fs::{CWD, Dir, Mode, OFlags, mkdirat, openat};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::{Path, PathBuf};

/// One file, or one folder.
pub(crate) struct Made {
    path: PathBuf,
    held: File,
    is_ours: bool,
}

impl Made {
    /// Makes the folder, mode 0750.
    pub(super) fn folder(path: &Path) -> io::Result<Self> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::AlreadyExists.into());
        };
        let parent = openat(
            CWD,
            parent,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        mkdirat(&parent, name, Mode::RWXU | Mode::RGRP | Mode::XGRP)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let held = File::from(openat(&parent, name, flags, Mode::empty())?);
        // Nothing but itself and its parent.
        let entries = Dir::read_from(&held)?.take(3).count();
        let is_ours = is_own(&held)? && entries <= 2;
        Ok(Self {
            path: path.to_owned(),
            held,
            is_ours,
        })
    }

    /// Takes up the file that was just made with this text.
    pub(crate) fn file(path: &Path, text: &str) -> anyhow::Result<Self> {
        let read = || -> io::Result<(File, bool)> {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let held = File::from(openat(CWD, path, flags, Mode::empty())?);
            let metadata = held.metadata()?;
            let mut is_ours = is_own(&held)? && metadata.is_file() && metadata.nlink() == 1;
            if is_ours {
                let mut there = secrecy::zeroize::Zeroizing::new(Vec::with_capacity(text.len() + 1));
                let most = text.len() as u64 + 1;
                (&held).take(most).read_to_end(&mut there)?;
                is_ours = there.as_slice() == text.as_bytes();
            }
            Ok((held, is_ours))
        };
        let (held, is_ours) = read().with_context(|| format!("cannot open {} again", path.display()))?;
        Ok(Self {
            path: path.to_owned(),
            held,
            is_ours,
        })
    }

    /// Gives it to the service, who is to read or to write it.
    pub(super) fn give_to(&self, service: &ServiceUser) -> anyhow::Result<()> {
        if !self.is_ours {
            bail!(
                "{} is not what was made a moment ago: someone has put another in its place",
                self.path.display()
            );
        }
        fchown(&self.held, Some(service.user), Some(service.group))
            .with_context(|| format!("{} cannot be given away", self.path.display()))
    }
}

/// Gives all that can be given, and says what cannot. Whether all was.
pub(crate) fn give_all(service: &ServiceUser, made: impl Iterator<Item = anyhow::Result<Made>>) -> bool {
    let mut all = true;
    for made in made {
        if let Err(error) = made.and_then(|made| made.give_to(service)) {
            all = false;
            say(&format!(
                "warning: {error:#}; give it to user {}, as whom the service runs",
                service.user
            ));
        }
    }
    all
}

fn is_own(held: &File) -> io::Result<bool> {
    Ok(held.metadata()?.uid() == rustix::process::geteuid().as_raw())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn somebody() -> ServiceUser {
        ServiceUser {
            state_dir: PathBuf::new(),
            user: 65_534,
            group: 65_534,
        }
    }

    fn owner(path: &Path) -> u32 {
        std::fs::symlink_metadata(path).unwrap().uid()
    }

    #[test]
    fn what_was_put_under_its_name_meanwhile_is_not_given_away() {
        if !rustix::process::geteuid().is_root() {
            return; // only root can give a file away
        }
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("shadow"), "secret\n").unwrap();

        let sets = Made::folder(&at("sets")).unwrap();
        std::fs::rename(at("sets"), at("aside")).unwrap();
        symlink(at("shadow"), at("sets")).unwrap();
        sets.give_to(&somebody()).unwrap();
        assert_eq!((owner(&at("shadow")), owner(&at("aside"))), (0, 65_534));

        // A link to a file, a second name of a file, and a file of another's making.
        symlink(at("shadow"), at("link")).unwrap();
        assert!(Made::file(&at("link"), "secret\n").is_err());
        std::fs::hard_link(at("shadow"), at("name")).unwrap();
        let named = Made::file(&at("name"), "secret\n").unwrap();
        assert!(named.give_to(&somebody()).is_err());
        std::fs::write(at("other"), "else\n").unwrap();
        let other = Made::file(&at("other"), "secret\n").unwrap();
        assert!(other.give_to(&somebody()).is_err());
        assert_eq!((owner(&at("shadow")), owner(&at("other"))), (0, 0));

        std::fs::write(at("own"), "secret\n").unwrap();
        Made::file(&at("own"), "secret\n")
            .unwrap()
            .give_to(&somebody())
            .unwrap();
        assert_eq!(owner(&at("own")), 65_534);
    }
}
