//! Tests with the real tools: rsync daemons, sshd, database servers, dumps.

#[cfg(test)]
mod bench;
#[cfg(test)]
mod changes;
#[cfg(test)]
mod checksums;
#[cfg(test)]
mod definers;
#[cfg(test)]
mod loader_surroundings;
#[cfg(test)]
mod prove_alike;
#[cfg(test)]
mod prove_damaged_sets;
#[cfg(test)]
mod prove_fairly;
#[cfg(test)]
mod prove_good_sets;
mod prove_late_keys;
#[cfg(test)]
mod prove_sets;
#[cfg(test)]
mod rsync_daemon;
#[cfg(test)]
mod rsync_sends_and_verifies;
#[cfg(test)]
mod rsync_ssh_and_local;
#[cfg(test)]
mod sandbox_lives_and_goes;
