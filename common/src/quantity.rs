//! Kubernetes resource quantities, as far as placement counts them.
//!
//! See <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>.

/// Reads a CPU quantity (`500m`, `2`, `0.1`) as millicores, rounded up. `None` where it is no quantity.
#[must_use]
pub fn millicores(text: &str) -> Option<u64> {
    scaled(text, 1000)
}

/// Reads a memory quantity (`64Mi`, `1G`, `128974848`) as bytes, rounded up. `None` where it is no quantity.
#[must_use]
pub fn bytes(text: &str) -> Option<u64> {
    scaled(text, 1)
}

/// `text` times `scale`, rounded up to a whole number; saturates.
fn scaled(text: &str, scale: u128) -> Option<u64> {
    let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || number.len() > 32 {
        return None;
    }
    let (numerator, denominator): (u128, u128) = match suffix {
        "n" => (1, 1_000_000_000),
        "u" => (1, 1_000_000),
        "m" => (1, 1000),
        "" => (1, 1),
        "k" => (1000, 1),
        "M" => (1_000_000, 1),
        "G" => (1_000_000_000, 1),
        "T" => (1_000_000_000_000, 1),
        "P" => (1_000_000_000_000_000, 1),
        "E" => (1_000_000_000_000_000_000, 1),
        "Ki" => (1 << 10, 1),
        "Mi" => (1 << 20, 1),
        "Gi" => (1 << 30, 1),
        "Ti" => (1 << 40, 1),
        "Pi" => (1 << 50, 1),
        "Ei" => (1 << 60, 1),
        exponent => {
            let power: i32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
            let ten = 10_u128.checked_pow(power.unsigned_abs())?;
            if power < 0 { (1, ten) } else { (ten, 1) }
        }
    };
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let places = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let value = digits.checked_mul(numerator)?.checked_mul(scale)?.div_ceil(denominator.checked_mul(places)?);
    Some(u64::try_from(value).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_does() {
        for (text, expected) in [
            ("500m", 500),
            ("2", 2000),
            ("0.1", 100),
            ("1e3m", 0),
            ("100u", 1),
            (".5", 500),
            ("1e2", 100_000),
        ] {
            assert_eq!(millicores(text), (expected != 0).then_some(expected), "{text}");
        }
        for (text, expected) in
            [("64Mi", 64 << 20), ("1G", 1_000_000_000), ("1.5Gi", 3 << 29), ("128974848", 128_974_848)]
        {
            assert_eq!(bytes(text), Some(expected), "{text}");
        }
        for bad in ["", "Mi", "1Qi", "-1", "1 Gi", "abc", "1e99"] {
            assert_eq!(bytes(bad), None, "{bad}");
        }
    }
}
