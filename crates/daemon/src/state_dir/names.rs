//! Names of files made of other names.

/// A name as that of a file: names may be longer, in bytes, than a file name can be.
pub(crate) fn file_name_of(name: &str) -> String {
    const LONGEST: usize = 180;
    if name.len() <= LONGEST {
        return name.to_owned();
    }
    let cut = (0..=LONGEST)
        .rev()
        .find(|at| name.is_char_boundary(*at))
        .unwrap_or(0);
    format!("{}-{:016x}", &name[..cut], checksum(name))
}

/// FNV-1a, 64 bits: the same in every process and version, which std's hasher does not promise.
pub(crate) fn checksum(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}
