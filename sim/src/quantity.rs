//! Resource quantities in their canonical form: `1000m` is `1`, `1024Mi` is `1Gi`, `0.5` is `500m`.
//!
//! Exact decimal arithmetic in 128 bits; never a float.

const BINARY: [(&str, u32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];
const DECIMAL: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];

/// How a quantity was written decides how it is written back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Binary,
    Decimal,
    Exponent,
}

/// A quantity in units of 10^-9.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Quantity {
    nano: i128,
    format: Format,
}

/// The canonical form, or `None` if this is no quantity.
#[must_use]
pub(crate) fn canonical(text: &str) -> Option<String> {
    parse(text).map(print)
}

fn parse(text: &str) -> Option<Quantity> {
    let (negative, body) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let end = body.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(body.len());
    let (number, suffix) = body.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || number.len() > 30 {
        return None;
    }
    let digits: i128 = format!("0{whole}{fraction}").parse().ok()?;
    let places = i32::try_from(fraction.len()).ok()?;
    let (nano, format) = if let Some((_, shift)) = BINARY.iter().find(|(name, _)| *name == suffix) {
        let scaled = digits.checked_mul(1_i128 << shift)?;
        (shift_ten(scaled, 9 - places)?, Format::Binary)
    } else if let Some((_, exponent)) = DECIMAL.iter().find(|(name, _)| *name == suffix) {
        (shift_ten(digits, 9 - places + exponent)?, Format::Decimal)
    } else {
        let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
        (shift_ten(digits, 9 - places + exponent)?, Format::Exponent)
    };
    Some(Quantity { nano: if negative { -nano } else { nano }, format })
}

/// Times a power of ten; what is below a nano is rounded up, as the server does.
fn shift_ten(value: i128, exponent: i32) -> Option<i128> {
    let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
    if exponent >= 0 { value.checked_mul(power) } else { Some((value + power - 1) / power) }
}

fn print(quantity: Quantity) -> String {
    const NANO: i128 = 1_000_000_000;
    let Quantity { nano, format } = quantity;
    if nano == 0 {
        return "0".to_owned();
    }
    // Binary needs a whole number of at least 1024; else it is written as a decimal.
    if format == Format::Binary && nano % NANO == 0 && (nano / NANO).abs() >= 1024 {
        let value = nano / NANO;
        for (suffix, shift) in BINARY.iter().rev() {
            if value % (1_i128 << shift) == 0 {
                return format!("{}{suffix}", value >> shift);
            }
        }
        return value.to_string();
    }
    for (suffix, exponent) in DECIMAL.iter().rev() {
        let unit = 10_i128.pow((exponent + 9).unsigned_abs());
        if nano % unit == 0 {
            let value = nano / unit;
            return match format {
                Format::Exponent if *exponent != 0 => format!("{value}e{exponent}"),
                Format::Exponent => value.to_string(),
                _ => format!("{value}{suffix}"),
            };
        }
    }
    nano.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_come_back_canonical() {
        let cases = [
            ("1000m", "1"),
            ("1024Mi", "1Gi"),
            ("0.5", "500m"),
            ("100m", "100m"),
            ("1.5Gi", "1536Mi"),
            ("1000Mi", "1000Mi"),
            ("2000", "2k"),
            ("0", "0"),
            ("512", "512"),
            ("1Ki", "1Ki"),
            ("64Mi", "64Mi"),
            ("1e3", "1e3"),
            ("0.1Gi", "107374182400m"),
            ("1023", "1023"),
            ("-1500m", "-1500m"),
            ("3G", "3G"),
        ];
        for (input, output) in cases {
            assert_eq!(canonical(input).as_deref(), Some(output), "{input}");
        }
        assert_eq!(canonical("lots"), None);
        assert_eq!(canonical(""), None);
        assert_eq!(canonical("1.2.3"), None);
    }
}
