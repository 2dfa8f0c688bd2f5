//! What was read from a text, shared for as long as anybody uses it.
//!
//! croner keeps five thousand years of each expression, and sets them one by one. A reload reads the expressions of ten thousand
//! jobs that are in force already.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// So many texts are remembered before it is looked which of them nobody uses any more.
const FEW: usize = 1_000;

/// Values by the texts that they were read from.
#[derive(Debug)]
pub(super) struct InUse<T> {
    known: Mutex<Known<T>>,
}

#[derive(Debug)]
struct Known<T> {
    values: BTreeMap<String, Weak<T>>,
    /// With so many it is looked which of them are used.
    swept_at: usize,
}

impl<T> InUse<T> {
    pub(super) const fn new() -> Self {
        Self {
            known: Mutex::new(Known {
                values: BTreeMap::new(),
                swept_at: FEW,
            }),
        }
    }

    /// The value of `text` that is in use, else what `read` makes of it.
    ///
    /// # Errors
    /// Those of `read`, of which nothing is remembered.
    pub(super) fn get_or_read<E>(
        &self,
        text: &str,
        read: impl FnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = known().values.get(text).and_then(Weak::upgrade) {
            return Ok(value);
        }
        let value = Arc::new(read()?);
        let mut known = known();
        if known.values.len() >= known.swept_at {
            known.values.retain(|_, value| value.strong_count() > 0);
            known.swept_at = FEW.max(known.values.len() * 2);
        }
        known.values.insert(text.to_owned(), Arc::downgrade(&value));
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_once_while_it_is_used_and_forgotten_afterwards() {
        let in_use: InUse<usize> = InUse::new();
        let first = in_use.get_or_read("0 4 * * *", || Ok::<_, ()>(1)).unwrap();
        let again = in_use.get_or_read("0 4 * * *", || Err(())).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        drop((first, again));
        assert_eq!(in_use.get_or_read("0 4 * * *", || Err(2)), Err(2));
        let kept: Vec<_> = (0..2 * FEW)
            .map(|number| {
                in_use
                    .get_or_read(&format!("kept {number}"), || Ok::<_, ()>(number))
                    .unwrap()
            })
            .collect();
        for number in 0..10 * FEW {
            in_use
                .get_or_read(&format!("left {number}"), || Ok::<_, ()>(number))
                .unwrap();
        }
        let remembered = in_use.known.lock().unwrap().values.len();
        assert!(
            (kept.len()..=2 * kept.len()).contains(&remembered),
            "{remembered}"
        );
    }
}
