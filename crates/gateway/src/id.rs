//! Ids in the provider's own shapes. Those of result lines follow from the row, so that a line that is
//! written twice is the same line.

use sha2::{Digest, Sha256};
use uuid::Uuid;

const ALPHANUMERICS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// `file-` and 22 alphanumerics.
pub(crate) fn file() -> String {
    let mut rest = Uuid::new_v4().as_u128();
    let mut id = String::from("file-");
    for _ in 0..22 {
        let digit = usize::try_from(rest % 62).unwrap_or_default();
        id.push(char::from(ALPHANUMERICS[digit]));
        rest /= 62;
    }
    id
}

/// `batch_` and 32 hexadecimal digits.
pub(crate) fn batch() -> String {
    format!("batch_{}", Uuid::new_v4().simple())
}

/// `req_` and 32 hexadecimal digits.
pub(crate) fn request() -> String {
    format!("req_{}", Uuid::new_v4().simple())
}

/// The ids of a result line: `batch_req_` and 24 hexadecimal digits, and the 32 of its request.
pub(crate) fn line(batch: &str, row: u32) -> (String, String) {
    let digest = hex(&Sha256::digest(format!("{batch}/{row}")));
    (format!("batch_req_{}", &digest[..24]), digest[32..].to_owned())
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_the_shapes_that_clients_expect() {
        let id = file();
        assert_eq!(id.len(), 5 + 22);
        assert!(id[5..].chars().all(|digit| digit.is_ascii_alphanumeric()));
        assert_ne!(file(), id);
        assert_eq!(batch().len(), 6 + 32);
        let (line_id, request_id) = line("batch_1", 7);
        assert_eq!((line_id.len(), request_id.len()), (10 + 24, 32));
        assert_eq!(line("batch_1", 7).0, line_id);
        assert_ne!(line("batch_1", 8).0, line_id);
    }
}
